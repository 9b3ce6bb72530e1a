"""The Litestar application: which address is served by what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote

import structlog
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.api.admin_decisions import AdminDecisions
from edge.api.documents import Documents
from edge.api.sandbox import Sandbox
from edge.api.send_message import SendApi
from edge.api.system import SystemState
from edge.errors import CoreError, CoreUnavailableError
from edge.http import EXCHANGE, Endpoint, Exchange, HttpRequest, Receive, Scope, Send, send_answer
from edge.metrics import EdgeMetrics
from edge.public_codes import PublicCode
from edge.webhooks.crm_doors import ContactLookUp, CrmTemplate
from edge.webhooks.dialect_route import DialectWebhook
from edge.webhooks.routes import ThreecxWebhook
from edge.webhooks.sms_routes import SmsProvider
from edge.webhooks.whatsapp_routes import WhatsappWebhook

THREECX_PREFIX: Final = "/integrations/3cx/webhook"
_THREECX_OWN: Final = f"{THREECX_PREFIX}/".encode("ascii")


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything the edge serves."""

    threecx: ThreecxWebhook
    crm_lookup: ContactLookUp
    crm_template: CrmTemplate
    sms: SmsProvider
    dialect: DialectWebhook
    whatsapp: WhatsappWebhook
    send_api: SendApi
    admin: AdminDecisions
    sandbox: Sandbox
    system: SystemState
    documents: Documents


class Served:
    """An endpoint, measured; whatever goes wrong in it becomes an answer without internals."""

    def __init__(
        self, name: str, endpoint: Endpoint, metrics: EdgeMetrics, monotonic: Callable[[], float]
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._metrics = metrics
        self._monotonic = monotonic
        self._logger = structlog.get_logger("edge.app")

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answers one request; never raises an Exception."""
        started = self._monotonic()
        try:
            answer = await self._endpoint(request)
        except CoreUnavailableError as error:
            self._logger.warning("core_unavailable", route=self._name, error=str(error))
            answer = answers.unavailable(error.retry_after_seconds)
        except CoreError as error:
            # The edge's own call was refused: a wrong token or a bug, and nothing the caller could mend.
            self._logger.error(
                "core_refused_the_edge", route=self._name, error=type(error).__name__, text=str(error)
            )
            answer = answers.unavailable()
        except Exception:
            self._logger.exception("request_failed", route=self._name)
            answer = answers.error(public_codes.INTERNAL_ERROR)
        self._metrics.answered(self._name, answer.status, answer.code, self._monotonic() - started)
        return answer


class App:
    """The ASGI application: the hot webhook at once, everything else through the router.

    The webhook does without the router's own layers, which would cost as much as all its checks together.
    """

    def __init__(self, webhook: Served, rest: Litestar) -> None:
        self._webhook = webhook
        self._rest = rest

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves one request."""
        # The address as it was written: a path that was decoded and tidied could be one that a proxy in front took
        # for another address.
        if scope["type"] == "http" and scope["raw_path"].startswith(_THREECX_OWN):
            await _serve_hot(scope, receive, send, self._webhook)
        else:
            await self._rest(scope, receive, send)


def create_app(routes: Routes, metrics: EdgeMetrics, monotonic: Callable[[], float]) -> App:
    """The application. It owns nothing: what it serves is started and stopped by whoever built it."""

    def served(name: str, endpoint: Endpoint) -> Served:
        return Served(name, endpoint, metrics, monotonic)

    dialect = "/integrations/3cx/dialect/{integration_id:str}"
    webhook = "/webhooks/whatsapp/{backend:str}/{instance_id:str}"
    lookup = "/integrations/3cx/crm/{integration_id:str}/lookup"
    template = "/integrations/3cx/{integration_id:str}/crm-template.xml"
    handlers = [
        _plain("POST", lookup, served("crm_lookup", routes.crm_lookup)),
        _plain("GET", template, served("crm_template", routes.crm_template)),
        _plain("POST", dialect, served("threecx_dialect", routes.dialect)),
        _plain("GET", dialect, served("threecx_dialect", routes.dialect), head=False),
        _plain("POST", webhook, served("whatsapp_webhook", routes.whatsapp.post)),
        _plain("GET", webhook, served("whatsapp_handshake", routes.whatsapp.handshake)),
        _plain("POST", "/integrations/3cx/sms/{integration_id:str}", served("threecx_sms", routes.sms)),
        _plain("POST", "/api/send-message", served("send_message", routes.send_api.send)),
        _plain("GET", "/api/messages/{message_id:str}", served("get_message", routes.send_api.message)),
        _plain("GET", "/admin/decisions", served("admin_decisions", routes.admin.newest)),
        _plain("GET", "/admin/decisions/{log_id:str}", served("admin_decision", routes.admin.one)),
        _plain("POST", "/sandbox/{instance_id:str}/messages", served("sandbox_write", routes.sandbox.write)),
        _plain("GET", "/sandbox/{instance_id:str}/messages", served("sandbox_phone", routes.sandbox.phone)),
        _plain("GET", "/sandbox/{instance_id:str}/threecx", served("sandbox_inbox", routes.sandbox.inbox)),
        _plain("GET", "/healthz", served("healthz", routes.system.healthy)),
        _plain("GET", "/readyz", served("readyz", routes.system.ready)),
        _plain("GET", "/", served("hello", routes.system.hello)),
        _plain("GET", "/openapi.json", served("openapi", routes.documents.openapi)),
        _plain("GET", "/postman.json", served("postman", routes.documents.postman)),
    ]
    rest = Litestar(
        route_handlers=handlers,
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: _http_error, Exception: _unexpected},
    )
    return App(served("threecx_webhook", routes.threecx), rest)


async def _serve_hot(scope: Scope, receive: Receive, send: Send, endpoint: Served) -> None:
    offered = scope.get("extensions", {}).get(EXCHANGE)
    exchange: Exchange | None = None if offered is None else offered(send)
    tail = scope["raw_path"].removeprefix(_THREECX_OWN).removesuffix(b"/").decode("ascii")
    if "%" in tail:
        tail = unquote(tail)
    if not tail or "/" in tail:
        await send_answer(send, answers.error(public_codes.NOT_FOUND))
    elif scope["method"] != "POST":
        await send_answer(send, answers.error(public_codes.METHOD_NOT_ALLOWED, headers=(("allow", "POST"),)))
    else:
        answer = await endpoint(HttpRequest(scope, receive, {"integration_id": tail}, exchange))
        await send_answer(send, answer, exchange)


def _plain(method: Method, path: str, endpoint: Served, *, head: bool = True) -> HTTPRouteHandler:
    async def handler(request: Request[Any, Any, Any]) -> Response[bytes]:
        params = {name: str(value) for name, value in request.path_params.items()}
        return _response(await endpoint(HttpRequest(cast(Scope, request.scope), request.receive, params)))

    # Whoever asks with HEAD gets the head of the very answer: the server keeps the body to itself. Where a GET
    # brings an event, HEAD has nothing to ask for.
    methods: list[Method] = ["GET", "HEAD"] if method == "GET" and head else [method]
    return HTTPRouteHandler(path, http_method=methods)(handler)


def _response(answer: HttpAnswer) -> Response[bytes]:
    return Response(
        answer.body, status_code=answer.status, headers=dict(answer.headers), media_type=answer.content_type
    )


_BY_STATUS: Final[dict[int, PublicCode]] = {
    404: public_codes.NOT_FOUND,
    405: public_codes.METHOD_NOT_ALLOWED,
}


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code >= 500:
        return _unexpected(request, error)
    public = _BY_STATUS.get(error.status_code, public_codes.BAD_REQUEST)
    allow = (error.headers or {}).get("allow", "")
    return _response(answers.error(public, headers=(("allow", allow),) if allow else ()))


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    structlog.get_logger("edge.app").error(
        "request_failed", path_length=len(request.scope["path"]), exc_info=error
    )
    return _response(answers.error(public_codes.INTERNAL_ERROR))

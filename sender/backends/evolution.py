"""Evolution API v2: builds `sendText`, reads its answers by one literal table. Pure.

Facts from https://github.com/EvolutionAPI/evolution-api (v2.3.6, v2.3.7), issues too; see each row's source.
It has no idempotency and no client token: a repeated request is a repeated message.
"""

from collections.abc import Mapping

from sender.backends import cloud_api
from sender.backends.evolution_chats import CHATS
from sender.backends.wire import (
    Backend,
    Row,
    endpoint,
    json_body,
    json_object,
    lid_digits,
    member,
    phone_digits,
    probe_failure,
    result,
    text_of,
    transport_result,
)
from sender.model import (
    AttemptResult,
    Connection,
    Consequence,
    Exchange,
    HttpAnswer,
    HttpRequest,
    InstanceState,
    Outcome,
    Recipient,
    TransportFailure,
    UnaddressableError,
)

_REPO = "https://github.com/EvolutionAPI/evolution-api"
_SERVICE = f"{_REPO}/blob/2.3.6/src/api/integrations/channel/whatsapp/whatsapp.baileys.service.ts"
_BUSINESS = f"{_REPO}/blob/2.3.6/src/api/integrations/channel/meta/whatsapp.business.service.ts"
_MAIN = f"{_REPO}/blob/2.3.6/src/main.ts"

_A, _R, _U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN
_CLOSED, _PAUSE = Consequence.INSTANCE_CLOSED, Consequence.PAUSE_INSTANCE

CODES: Mapping[str, Row] = {
    row.code: row
    for row in (
        Row("evolution_accepted", _A, "The instance took the message.", _SERVICE),
        Row(
            "evolution_no_message_id",
            _U,
            "The instance answered with success but named no message; it may have been sent.",
            _BUSINESS,
        ),
        Row(
            "evolution_request_refused",
            _R,
            "The instance refused the form of the request.",
            f"{_REPO}/blob/2.3.6/src/validate/message.schema.ts",
        ),
        Row(
            "evolution_not_on_whatsapp",
            _R,
            "The instance says that this number is not on WhatsApp. It can be wrong.",
            f"{_REPO}/issues/2308",
            Consequence.NOT_ON_WHATSAPP,
        ),
        Row(
            "evolution_sent_unconfirmed",
            _U,
            "The instance failed to record the message after it had left; it was almost surely sent.",
            f"{_REPO}/issues/978",
        ),
        Row(
            "evolution_failed_while_sending",
            _U,
            "The instance failed in the middle of sending; the message may have left.",
            _SERVICE,
        ),
        Row(
            "evolution_connection_closed",
            _R,
            "The instance's connection to WhatsApp was closed before sending.",
            f"{_REPO}/issues/1286",
            _CLOSED,
        ),
        Row(
            "evolution_instance_not_loaded",
            _R,
            "The instance is known but not loaded; it needs a restart or a new connection.",
            f"{_REPO}/issues/1412",
            _CLOSED,
        ),
        Row(
            "evolution_instance_missing",
            _R,
            "The instance does not exist at this address.",
            f"{_REPO}/blob/2.3.6/src/api/guards/instance.guard.ts",
            _PAUSE,
        ),
        Row(
            "evolution_route_missing",
            _R,
            "The base URL does not lead to an Evolution API.",
            _MAIN,
        ),
        Row(
            "evolution_unauthorized",
            _R,
            "The API key was refused.",
            f"{_REPO}/blob/2.3.6/src/api/guards/auth.guard.ts",
            _PAUSE,
        ),
        Row("evolution_forbidden", _R, "The request was forbidden on the way.", _MAIN),
        Row(
            "evolution_rate_limited",
            _R,
            "Something in front of the instance limits the rate.",
            "https://www.rfc-editor.org/rfc/rfc6585#section-4",
            Consequence.SLOW_INSTANCE,
        ),
        Row(
            "evolution_redirected",
            _R,
            "The base URL leads elsewhere; redirects are not followed.",
            "https://www.rfc-editor.org/rfc/rfc9110#section-15.4",
        ),
        Row("evolution_refused", _R, "The request was refused.", _MAIN),
        Row("evolution_server_failed", _U, "The instance failed; the message may have been sent.", _MAIN),
        Row(
            "evolution_answer_cut_short",
            _U,
            "The answer was cut short or too large; the message may have been sent.",
            _MAIN,
        ),
    )
}
"""What every answer means. Answers that carry a Graph error go by the Cloud API's table."""

_BY_STATUS: Mapping[int, str] = {
    401: "evolution_unauthorized",
    403: "evolution_forbidden",
    429: "evolution_rate_limited",
}


def build(connection: Connection, recipient: Recipient, text: str, correlation_id: str) -> HttpRequest:
    """`POST {base}/message/sendText/{instance}`. `correlation_id` is unused: the API has no place for it."""
    return HttpRequest(
        method="POST",
        url=endpoint(connection.base_url, "message", "sendText", connection.external_name),
        headers={"apikey": connection.api_token, "Content-Type": "application/json"},
        body=json_body({"number": _number(recipient), "text": text}),
    )


def _number(recipient: Recipient) -> str:
    if recipient.phone:
        return phone_digits(recipient.phone)
    if recipient.lid:
        # Bare digits would be looked up as a phone number and reported as not on WhatsApp.
        return f"{lid_digits(recipient.lid)}@lid"
    raise UnaddressableError("Evolution API reaches people by phone number or linked id only.")


def parse(exchange: Exchange) -> AttemptResult:
    """What the answer to `sendText` means."""
    if isinstance(exchange, TransportFailure):
        return transport_result("evolution", exchange)
    if not exchange.complete:
        return result(CODES["evolution_answer_cut_short"], exchange)
    if 200 <= exchange.status < 300:
        return _success(exchange)
    message = member(json_object(exchange.body), "response", "message")
    return result(CODES[_code(exchange.status, message)], exchange, detail=_words(message))


def _success(answer: HttpAnswer) -> AttemptResult:
    body = json_object(answer.body)
    message_id = text_of(member(body, "key", "id"))
    if message_id:
        return result(CODES["evolution_accepted"], answer, external_message_id=message_id)
    if isinstance(body.get("code"), int):
        # The business channel hands on the Graph API's error object under a status of success.
        return cloud_api.graph_error_result(body, answer, prefix="evolution_graph")
    return result(CODES["evolution_no_message_id"], answer)


def _code(status: int, message: object) -> str:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 400:
        return _code_400(message)
    if status == 404:
        return _code_404(_words(message))
    if status >= 500:
        return _code_500(status, _words(message))
    return "evolution_redirected" if 300 <= status < 400 else "evolution_refused"


def _code_400(message: object) -> str:
    parts = message if isinstance(message, list) else [message]
    if any(isinstance(part, list) for part in parts):
        return "evolution_request_refused"
    if any(isinstance(part, dict) and part.get("exists") is False for part in parts):
        return "evolution_not_on_whatsapp"
    if "prisma" in _words(message).casefold():
        return "evolution_sent_unconfirmed"
    # Whatever else is thrown inside the send comes as 400 too, before or after the message left.
    return "evolution_failed_while_sending"


def _code_404(words: str) -> str:
    if words.startswith("Cannot "):
        return "evolution_route_missing"
    return "evolution_instance_missing" if "instance does not exist" in words else "evolution_refused"


def _code_500(status: int, words: str) -> str:
    if status == 500 and "Connection Closed" in words:
        return "evolution_connection_closed"
    if status == 500 and "Cannot read properties of undefined (reading 'textMessage')" in words:
        return "evolution_instance_not_loaded"
    return "evolution_server_failed"


def _words(message: object) -> str:
    """The text in `response.message`, which is a string or a list, whichever the version gives."""
    if isinstance(message, list):
        return " ".join(part for part in message if isinstance(part, str))
    return text_of(message)


def build_probe(connection: Connection) -> HttpRequest:
    """`GET {base}/instance/connectionState/{instance}`."""
    return HttpRequest(
        method="GET",
        url=endpoint(connection.base_url, "instance", "connectionState", connection.external_name),
        headers={"apikey": connection.api_token},
    )


def parse_probe(exchange: Exchange) -> InstanceState:
    """The instance's state. A missing `state` means that the instance is not loaded in memory."""
    if isinstance(exchange, TransportFailure):
        return probe_failure(exchange)
    body = json_object(exchange.body)
    if 200 <= exchange.status < 300 and "instance" in body:
        state = text_of(member(body, "instance", "state"))
        if state in {"open", "connecting"}:
            return InstanceState(state, "reported")
        return InstanceState("close", "reported" if state else "not_loaded")
    if exchange.status == 401:
        return InstanceState("close", "credentials_refused")
    if exchange.status == 404 and "instance does not exist" in _words(member(body, "response", "message")):
        return InstanceState("close", "instance_missing")
    return InstanceState("", f"http_{exchange.status}", "The back end did not tell the instance's state.")


EVOLUTION = Backend("evolution", build, parse, build_probe, parse_probe, CHATS)

"""Stand-in for Meta's WhatsApp Cloud API: `/messages`, the number's health, and signed webhooks.

Wire format: https://github.com/facebook/openapi (business messaging). `python -m peers.cloud_api`.
"""

import hashlib
import hmac
import json
import re
import time
from typing import Any, Self

from aiohttp import web

from peers.backend_peer import BackendPeer, json_object
from peers.peer import run

PHONE = re.compile(r"\+[1-9]\d{6,14}")
REQUIRED_FIELDS = {"messaging_product", "type", "text"}
ALLOWED_FIELDS = REQUIRED_FIELDS | {
    "recipient_type",
    "to",
    "recipient",
    "context",
    "biz_opaque_callback_data",
}


class CloudApiPeer(BackendPeer):
    """One phone number. `number_status` and `can_send` are what its health says."""

    name = "cloud_api"

    def __init__(self, phone_number_id: str, token: str, app_secret: str) -> None:
        super().__init__()
        self.phone_number_id = phone_number_id
        self.token = token
        self.app_secret = app_secret
        self.number_status = "CONNECTED"
        self.can_send = "AVAILABLE"

    @classmethod
    async def start(
        cls,
        port: int = 0,
        *,
        phone_number_id: str = "106540352242922",
        token: str = "cloud-test-token",
        app_secret: str = "cloud-app-secret",
    ) -> Self:
        """A running stand-in."""
        return await cls(phone_number_id, token, app_secret)._listen(port)

    def routes(self, app: web.Application) -> None:
        app.router.add_post(r"/{version:v\d+\.\d+}/{number}/messages", self._messages)
        app.router.add_get(r"/{version:v\d+\.\d+}/{number}", self._number)
        app.router.add_route("*", "/{path:.*}", self._no_route)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        refusal = await self._door(request)
        if refusal is not None:
            return refusal
        body = await json_object(request)
        fault = _fault(body)
        if fault or body is None:
            return await self.refuse(request, 400, error(100, "Invalid parameter", fault))
        to = str(body.get("to") or body.get("recipient"))
        message_id = f"wamid.HBgLTEST{self.next_number():012d}"
        success = sent(to, message_id)
        return await self.take_send(request, to, body["text"]["body"], message_id, success, 200)

    async def _number(self, request: web.Request) -> web.StreamResponse:
        refusal = await self._door(request)
        if refusal is not None:
            return refusal
        health = {"can_send_message": self.can_send, "entities": []}
        return web.json_response(
            {
                "id": self.phone_number_id,
                "status": self.number_status,
                "quality_rating": "GREEN",
                "health_status": health,
            }
        )

    async def _door(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return await self.refuse(request, 401, error(190, "Access token has expired", "token"))
        if request.match_info["number"] != self.phone_number_id:
            return await self.refuse(request, 400, error(33, "Object does not exist", "phone number id"))
        return None

    async def _no_route(self, request: web.Request) -> web.Response:
        return await self.refuse(request, 400, error(2500, "Unknown path components", request.path))

    async def post_message(
        self, url: str, phone: str, text: str, *, message_id: str = "", at: float | None = None
    ) -> int:
        """A person writes: posts a signed `messages` change."""
        digits = phone.lstrip("+")
        # A business-scoped id is one person's, and long.
        user_id = f"US.{digits:0>20}"
        message = {
            "from": digits,
            "from_user_id": user_id,
            "id": message_id or f"wamid.HBgLIN{self.next_number():012d}",
            "timestamp": str(int(time.time() if at is None else at)),
            "type": "text",
            "text": {"body": text},
        }
        contact = {"profile": {"name": "Test User"}, "wa_id": digits, "user_id": user_id}
        return await self.post_value(url, {"contacts": [contact], "messages": [message]})

    async def post_receipt(
        self,
        url: str,
        external_message_id: str,
        kind: str,
        phone: str = "+966500000000",
        *,
        correlation_id: str = "",
        error_code: int = 131026,
    ) -> int:
        """`sent`, `delivered`, `read` or `failed`: posts a signed status."""
        status: dict[str, Any] = {
            "id": external_message_id,
            "status": kind,
            "timestamp": str(int(time.time())),
            "recipient_id": phone.lstrip("+"),
        }
        if correlation_id:
            status["biz_opaque_callback_data"] = correlation_id
        if kind == "failed":
            status["errors"] = [
                {"code": error_code, "title": "Undeliverable", "error_data": {"details": "test"}}
            ]
        return await self.post_value(url, {"statuses": [status]})

    async def post_value(self, url: str, value: dict[str, Any], field: str = "messages") -> int:
        """Posts any change, signed over the raw bytes, non-ASCII and slashes escaped as the real one does."""
        metadata = {"display_phone_number": "15550783881", "phone_number_id": self.phone_number_id}
        change = {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
        envelope = {
            "object": "whatsapp_business_account",
            "entry": [{"id": "102290129340398", "changes": [change]}],
        }
        body = json.dumps(envelope, ensure_ascii=True).replace("/", "\\/").encode()
        signature = hmac.new(self.app_secret.encode(), body, hashlib.sha256).hexdigest()
        return await self.post(url, body, {"X-Hub-Signature-256": f"sha256={signature}"})


def _fault(body: dict[str, Any] | None) -> str:
    if body is None or body.get("messaging_product") != "whatsapp":
        return "messaging_product"
    if set(body) - ALLOWED_FIELDS or REQUIRED_FIELDS - set(body) or body.get("type", "text") != "text":
        return "unexpected parameter"
    text = body.get("text")
    if (
        not isinstance(text, dict)
        or not isinstance(text.get("body"), str)
        or not 0 < len(text["body"]) <= 4096
    ):
        return "text"
    if len(body.get("biz_opaque_callback_data", "")) > 512:
        return "biz_opaque_callback_data"
    if "to" in body:
        # The real API takes numbers without `+` and may send to another country; here that is a mistake.
        return "" if PHONE.fullmatch(str(body["to"])) else "to"
    return "" if re.fullmatch(r"[A-Z]{2}\.\w+(\.\w+)?", str(body.get("recipient", ""))) else "recipient"


def error(code: int, message: str, details: str, **more: Any) -> dict[str, Any]:
    """The error body. `more` adds keys such as `is_transient`."""
    return {
        "error": {
            "message": f"(#{code}) {message}",
            "type": "OAuthException",
            "code": code,
            "error_data": {"messaging_product": "whatsapp", "details": details},
            "fbtrace_id": "AAAAAAAAAAAAAAAA",
            **more,
        }
    }


def sent(to: str, message_id: str) -> dict[str, Any]:
    """The body of a success."""
    contact = {"input": to, "wa_id": to[1:]} if to.startswith("+") else {"input": to, "user_id": to}
    return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": message_id}]}


def main() -> None:
    """Runs the stand-in as a program."""
    run(CloudApiPeer.start, "the Cloud API")


if __name__ == "__main__":
    main()

"""Stand-in for Evolution API v2: `sendText`, `findMessages`, `connectionState`, and its webhooks.

Wire format: https://github.com/EvolutionAPI/evolution-api (v2.3.6). `python -m peers.evolution`.
"""

import json
import re
import time
from datetime import datetime
from typing import Any, Self

from aiohttp import web

from peers.backend_peer import BackendPeer, json_object
from peers.peer import Received, run

ALLOWED_FIELDS = {
    "number",
    "text",
    "delay",
    "linkPreview",
    "quoted",
    "mentionsEveryOne",
    "mentioned",
    "encoding",
}
NUMBER = re.compile(r"\d{5,17}|\d+@(lid|s\.whatsapp\.net|g\.us)")
RECEIPTS = {"sent": "SERVER_ACK", "delivered": "DELIVERY_ACK", "read": "READ", "failed": "ERROR"}


class EvolutionPeer(BackendPeer):
    """One Evolution server with one instance. `state` is what `connectionState` says; "" for not loaded."""

    name = "evolution"

    def __init__(self, instance: str, api_key: str, webhook_headers: dict[str, str] | None) -> None:
        super().__init__()
        self.instance = instance
        self.api_key = api_key
        self.webhook_headers = webhook_headers or {}
        self.state = "open"

    @classmethod
    async def start(
        cls,
        port: int = 0,
        *,
        instance: str = "acme-main",
        api_key: str = "evolution-test-key",
        webhook_headers: dict[str, str] | None = None,
    ) -> Self:
        """A running stand-in."""
        return await cls(instance, api_key, webhook_headers)._listen(port)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/message/sendText/{instance}", self._send_text)
        app.router.add_post("/chat/findMessages/{instance}", self._find_messages)
        app.router.add_get("/instance/connectionState/{instance}", self._connection_state)
        app.router.add_route("*", "/{path:.*}", self._no_route)

    async def _send_text(self, request: web.Request) -> web.StreamResponse:
        refusal = await self._door(request)
        if refusal is not None:
            return refusal
        body = await json_object(request)
        faults = _faults(body)
        if faults or body is None:
            return await self.refuse(request, 400, error(400, "Bad Request", [faults]))
        if self.state == "":
            words = "Cannot read properties of undefined (reading 'textMessage')"
            return await self.refuse(request, 500, error(500, "Internal Server Error", words))
        if self.state != "open":
            return await self.refuse(request, 500, error(500, "Internal Server Error", "Connection Closed"))
        number = str(body["number"])
        message_id = f"3EB0{self.next_number():016X}"
        success = sent(number, str(body["text"]), message_id)
        return await self.take_send(request, number, str(body["text"]), message_id, success, 201)

    async def _find_messages(self, request: web.Request) -> web.StreamResponse:
        """What was sent in one chat, the newest first, as the real one shows it."""
        refusal = await self._door(request)
        if refusal is not None:
            return refusal
        script = self.next_script("findMessages", or_anyones=False)
        if script is not None:
            return await self.play(request, script)
        asked = await json_object(request) or {}
        where = asked["where"]
        if where["key"]["fromMe"] is not True:
            return await self.refuse(request, 400, error(400, "Bad Request", ["only what was sent is kept"]))
        since, until = (
            datetime.fromisoformat(where["messageTimestamp"][end]).timestamp() for end in ("gte", "lte")
        )
        shown = [
            _record(each)
            for each in reversed(self.accepted)
            if _jid(each.to) == where["key"]["remoteJid"] and since <= int(each.at) <= until
        ]
        page = shown[: int(asked.get("offset", 50))]
        listed = {"total": len(shown), "pages": 1, "currentPage": 1, "records": page}
        return web.json_response({"messages": listed})

    async def _connection_state(self, request: web.Request) -> web.StreamResponse:
        refusal = await self._door(request)
        if refusal is not None:
            return refusal
        instance: dict[str, str] = {"instanceName": self.instance}
        if self.state:
            instance["state"] = self.state
        return web.json_response({"instance": instance})

    async def _door(self, request: web.Request) -> web.Response | None:
        if request.headers.get("apikey") != self.api_key:
            return await self.refuse(request, 401, error(401, "Unauthorized", "Unauthorized"))
        name = request.match_info["instance"]
        if name != self.instance:
            words = [f'The "{name}" instance does not exist']
            return await self.refuse(request, 404, error(404, "Not Found", words))
        return None

    async def _no_route(self, request: web.Request) -> web.Response:
        words = [f"Cannot {request.method} {request.path}"]
        return await self.refuse(request, 404, error(404, "Not Found", words))

    async def post_message(
        self,
        url: str,
        phone: str,
        text: str,
        *,
        message_id: str = "",
        at: float | None = None,
        push_name: str = "Test Customer",
        **key: Any,
    ) -> int:
        """A person writes: posts `messages.upsert`. `key` overrides parts of the message's key."""
        digits = phone.lstrip("+")
        message_key = {
            "remoteJid": f"{digits}@s.whatsapp.net",
            "fromMe": False,
            "id": message_id or f"3EB1{self.next_number():016X}",
            "participant": "",
            "addressingMode": "pn",
        }
        record = {
            "key": {**message_key, **key},
            "pushName": push_name,
            "status": "DELIVERY_ACK",
            "message": {"conversation": text},
            "messageType": "conversation",
            "messageTimestamp": int(time.time() if at is None else at),
            "instanceId": "0b9f6c0e-5d6e-4a9e-9a0b-2f5d1a7c3e11",
            "source": "android",
        }
        return await self.post_event(url, "messages.upsert", record)

    async def post_receipt(
        self, url: str, external_message_id: str, kind: str, phone: str = "+966500000000"
    ) -> int:
        """`sent`, `delivered`, `read` or `failed`: posts `messages.update`."""
        update = {
            "keyId": external_message_id,
            "remoteJid": f"{phone.lstrip('+')}@s.whatsapp.net",
            "fromMe": True,
            "status": RECEIPTS[kind],
            "instanceId": "0b9f6c0e-5d6e-4a9e-9a0b-2f5d1a7c3e11",
        }
        return await self.post_event(url, "messages.update", update)

    async def post_state(self, url: str, state: str, reason: int = 200) -> int:
        """Posts `connection.update`."""
        record = {"instance": self.instance, "state": state, "statusReason": reason}
        return await self.post_event(url, "connection.update", record)

    async def post_event(self, url: str, event: str, record: Any) -> int:
        """Posts any event, with the headers that the webhook was set up with. Returns the HTTP status."""
        envelope = {
            "event": event,
            "instance": self.instance,
            "data": record,
            "destination": url,
            "date_time": "2026-07-01T09:30:00.000Z",
            "sender": "5511900000001@s.whatsapp.net",
            "server_url": self.base_url,
            "apikey": None,
        }
        return await self.post(url, json.dumps(envelope, ensure_ascii=False).encode(), self.webhook_headers)


def _faults(body: dict[str, Any] | None) -> list[str]:
    if body is None:
        return ["instance is not of a type(s) object"]
    faults = [f'instance requires property "{name}"' for name in ("number", "text") if name not in body]
    faults += [f"instance.{name} is not allowed" for name in sorted(set(body) - ALLOWED_FIELDS)]
    for name in ("number", "text"):
        if name in body and not (isinstance(body[name], str) and body[name]):
            faults.append(f"instance.{name} is not of a type(s) string")
    if not faults and not NUMBER.fullmatch(body["number"]):
        faults.append("instance.number does not match pattern")
    return faults


def error(status: int, name: str, message: Any) -> dict[str, Any]:
    """The error envelope."""
    return {"status": status, "error": name, "response": {"message": message}}


def not_on_whatsapp(number: str) -> dict[str, Any]:
    """The body that says that a number is not on WhatsApp."""
    return error(400, "Bad Request", [{"jid": f"{number}@s.whatsapp.net", "exists": False, "number": number}])


def sent(number: str, text: str, message_id: str) -> dict[str, Any]:
    """The body of a success."""
    jid = number if "@" in number else f"{number}@s.whatsapp.net"
    return {
        "key": {"remoteJid": jid, "fromMe": True, "id": message_id},
        "pushName": "Você",
        "status": "PENDING",
        "message": {"conversation": text},
        "contextInfo": None,
        "messageType": "conversation",
        "messageTimestamp": int(time.time()),
        "instanceId": "0b9f6c0e-5d6e-4a9e-9a0b-2f5d1a7c3e11",
        "source": "unknown",
    }


def _jid(number: str) -> str:
    return number if "@" in number else f"{number}@s.whatsapp.net"


def _record(message: Received) -> dict[str, Any]:
    """A message as `findMessages` shows it."""
    return {
        "id": f"cm{message.external_message_id}",
        "key": {"id": message.external_message_id, "fromMe": True, "remoteJid": _jid(message.to)},
        "pushName": "Você",
        "messageType": "conversation",
        "message": {"conversation": message.text},
        "messageTimestamp": int(message.at),
        "instanceId": "0b9f6c0e-5d6e-4a9e-9a0b-2f5d1a7c3e11",
        "source": "web",
        "contextInfo": None,
        "MessageUpdate": [{"status": "SERVER_ACK"}],
    }


def main() -> None:
    """Runs the stand-in as a program."""
    run(EvolutionPeer.start, "Evolution API")


if __name__ == "__main__":
    main()

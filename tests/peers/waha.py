"""Stand-in for WAHA: `sendText`, a chat's messages, a session's state, and webhooks signed with HMAC-SHA512.

Source of the wire format: https://waha.devlike.pro/docs. `python -m peers.waha`.
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

CHAT_ID = re.compile(r"\d{5,20}@(c\.us|lid|g\.us)")
ALLOWED_FIELDS = {
    "session",
    "chatId",
    "text",
    "reply_to",
    "mentions",
    "linkPreview",
    "linkPreviewHighQuality",
    "id",
}
RECEIPTS = {"failed": (-1, "ERROR"), "sent": (1, "SERVER"), "delivered": (2, "DEVICE"), "read": (3, "READ")}


class WahaPeer(BackendPeer):
    """One WAHA with one session. `status` is the session's."""

    name = "waha"

    def __init__(self, session: str, api_key: str, hmac_key: str) -> None:
        super().__init__()
        self.session = session
        self.api_key = api_key
        self.hmac_key = hmac_key
        self.status = "WORKING"
        self.reach_out_lock = False

    @classmethod
    async def start(
        cls,
        port: int = 0,
        *,
        session: str = "default",
        api_key: str = "waha-test-key",
        hmac_key: str = "waha-hmac-key",
    ) -> Self:
        """A running stand-in."""
        return await cls(session, api_key, hmac_key)._listen(port)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/api/sendText", self._send_text)
        app.router.add_get("/api/sessions/{session}", self._session_state)
        app.router.add_get("/api/{session}/chats/{chat}/messages", self._chat_messages)
        app.router.add_route("*", "/{path:.*}", self._no_route)

    async def _send_text(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("X-Api-Key") != self.api_key:
            return await self.refuse(request, 401, {"message": "Unauthorized", "statusCode": 401})
        body = await json_object(request)
        faults = _faults(body)
        if faults or body is None:
            answer = {"message": faults, "error": "Bad Request", "statusCode": 400}
            return await self.refuse(request, 400, answer)
        if body["session"] != self.session:
            answer = {
                "message": f'Session "{body["session"]}" does not exist',
                "error": "Not Found",
                "statusCode": 404,
            }
            return await self.refuse(request, 404, answer)
        if self.status != "WORKING":
            return await self.refuse(request, 422, not_working(self.session, self.status))
        chat = str(body["chatId"])
        message_id = f"3EB0{self.next_number():016X}"
        success = sent(chat, str(body["text"]), f"true_{chat}_{message_id}")
        return await self.take_send(request, chat, str(body["text"]), message_id, success, 201)

    async def _chat_messages(self, request: web.Request) -> web.StreamResponse:
        """What was sent in one chat, the newest first."""
        if request.headers.get("X-Api-Key") != self.api_key:
            return await self.refuse(request, 401, {"message": "Unauthorized", "statusCode": 401})
        script = self.next_script("chats", or_anyones=False)
        if script is not None:
            return await self.play(request, script)
        if request.query.get("filter.fromMe") != "true" or request.match_info["session"] != self.session:
            return await self.refuse(request, 404, {"message": "Session not found", "statusCode": 404})
        since, most = int(request.query["filter.timestamp.gte"]), int(request.query["limit"])
        shown = [
            {
                **sent(each.to, each.text, f"true_{each.to}_{each.external_message_id}"),
                "timestamp": int(each.at),
            }
            for each in reversed(self.accepted)
            if each.to == request.match_info["chat"] and int(each.at) >= since
        ]
        return web.json_response(shown[:most])

    async def _session_state(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("X-Api-Key") != self.api_key:
            return await self.refuse(request, 401, {"message": "Unauthorized", "statusCode": 401})
        if request.match_info["session"] != self.session:
            return await self.refuse(request, 404, {"message": "Session not found", "statusCode": 404})
        lock = {"isActive": self.reach_out_lock}
        return web.json_response(
            {"name": self.session, "status": self.status, "me": {"reachoutTimelock": lock}}
        )

    async def _no_route(self, request: web.Request) -> web.Response:
        words = f"Cannot {request.method} {request.path}"
        return await self.refuse(request, 404, {"message": words, "error": "Not Found", "statusCode": 404})

    async def post_message(
        self,
        url: str,
        phone: str,
        text: str,
        *,
        message_id: str = "",
        at: float | None = None,
        event: str = "message",
    ) -> int:
        """A person writes: posts a signed `message` (or `message.any`)."""
        chat = f"{phone.lstrip('+')}@c.us"
        payload = {
            **sent(chat, text, message_id or f"false_{chat}_3EB1{self.next_number():016X}"),
            "timestamp": int(time.time() if at is None else at),
            "from": chat,
            "fromMe": False,
            "source": "app",
        }
        return await self.post_event(url, event, payload)

    async def post_receipt(
        self, url: str, external_message_id: str, kind: str, phone: str = "+966500000000"
    ) -> int:
        """`sent`, `delivered`, `read` or `failed`: posts a signed `message.ack`. The id is the bare one."""
        ack, name = RECEIPTS[kind]
        chat = f"{phone.lstrip('+')}@c.us"
        payload = {
            "id": f"true_{chat}_{external_message_id}",
            "from": chat,
            "to": chat,
            "fromMe": True,
            "ack": ack,
            "ackName": name,
        }
        return await self.post_event(url, "message.ack", payload)

    async def post_event(self, url: str, event: str, payload: Any) -> int:
        """Posts any event, signed over the raw bytes. Returns the HTTP status."""
        envelope = {
            "id": f"evt_{self.next_number():026d}",
            "timestamp": int(time.time() * 1000),
            "event": event,
            "session": self.session,
            "metadata": {},
            "me": {"id": "5511900000001@c.us", "pushName": "Acme"},
            "payload": payload,
            "engine": "GOWS",
            "environment": {"version": "2026.7.1", "engine": "GOWS", "tier": "PLUS", "browser": None},
        }
        body = json.dumps(envelope, ensure_ascii=False).encode()
        mac = hmac.new(self.hmac_key.encode(), body, hashlib.sha512).hexdigest()
        headers = {
            "X-Webhook-Request-Id": str(envelope["id"]),
            "X-Webhook-Timestamp": str(envelope["timestamp"]),
            "X-Webhook-Hmac": mac,
            "X-Webhook-Hmac-Algorithm": "sha512",
        }
        return await self.post(url, body, headers)


def _faults(body: dict[str, Any] | None) -> list[str]:
    if body is None:
        return ["body must be an object"]
    faults = [f"property {name} should not exist" for name in sorted(set(body) - ALLOWED_FIELDS)]
    faults += [
        f"{name} must be a string"
        for name in ("session", "chatId", "text")
        if not isinstance(body.get(name), str) or not body[name]
    ]
    if not faults and not CHAT_ID.fullmatch(body["chatId"]):
        faults.append("chatId has an unknown form")
    return faults


def not_working(session: str, status: str) -> dict[str, Any]:
    """The body of a 422 for a session that cannot send."""
    words = "Session status is not as expected. Try again later or restart the session"
    return {"error": words, "session": session, "status": status, "expected": ["WORKING"]}


def failed(words: str) -> dict[str, Any]:
    """The body of a 500 that carries an engine's exception."""
    return {
        "statusCode": 500,
        "timestamp": "2026-07-01T09:30:00.000Z",
        "exception": {"message": words, "code": 2, "details": words, "name": "Error"},
        "request": {"path": "/api/sendText", "method": "POST", "body": {}, "query": {}},
        "version": {"version": "2026.7.1", "engine": "GOWS", "tier": "PLUS"},
    }


def sent(chat: str, text: str, message_id: str) -> dict[str, Any]:
    """The body of a success: a WAMessage."""
    return {
        "id": message_id,
        "timestamp": int(time.time()),
        "from": chat,
        "fromMe": True,
        "source": "api",
        "to": None,
        "participant": None,
        "body": text,
        "hasMedia": False,
        "media": None,
        "ack": 1,
        "ackName": "SERVER",
        "location": None,
        "vCards": None,
        "replyTo": None,
        "_data": {},
    }


def main() -> None:
    """Runs the stand-in as a program."""
    run(WahaPeer.start, "WAHA")


if __name__ == "__main__":
    main()

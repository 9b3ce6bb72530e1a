"""Stand-in for a 3CX phone system that takes the gateway for its provider of text messages.

`python -m peers.pbx`. A script's key is the customer's number, or `*`. Envelopes go to `/sms/generic/{key}`; what an
agent types is posted to the provider's address, as 3CX posts it.
"""

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

from peers.backend_peer import json_object, received
from peers.peer import Peer, run

_LINE_MARK = "[Gateway]"


@dataclass(slots=True)
class Entry:
    """One message in a chat. `who` is `customer`, `gateway` or `agent`; `ticked` is what an agent sees of a reply."""

    who: str
    text: str
    ticked: bool = True


@dataclass(frozen=True, slots=True)
class Typed:
    """What came of something an agent typed."""

    status: int
    body: bytes
    ticked: bool
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The provider's answer."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The code of a refusal."""
        return str(self.json["errors"][0]["code"])


class PbxPeer(Peer):
    """A phone system with one messaging trunk. `numbers` are its DIDs; an envelope for another one is refused."""

    name = "pbx"

    def __init__(self, numbers: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.key = secrets.token_hex(16)
        self.numbers = numbers
        self.provider_url = ""
        self.api_key = ""
        self.chats: dict[tuple[str, str], list[Entry]] = {}
        self.receipts: list[Any] = []
        self.auto_answer = ""
        self._answers: set[asyncio.Task[Typed]] = set()

    @classmethod
    async def start(cls, port: int = 0, *, numbers: tuple[str, ...] = ()) -> Self:
        """A running stand-in."""
        return await cls(numbers)._listen(port)

    @property
    def sms_url(self) -> str:
        """What an administrator copies from the trunk's settings."""
        return f"{self.base_url}/sms/generic/{self.key}"

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/sms/generic/{key}", self._envelope)
        app.router.add_post("/{path:.*}", self._elsewhere)

    def chat(self, number: str, customer: str) -> list[Entry]:
        """One chat, the oldest message first."""
        return self.chats.setdefault((number, customer), [])

    async def type(self, number: str, customer: str, text: str, **more: Any) -> Typed:
        """An agent types: posted to the provider as a trunk does, and ticked if it took it and said something."""
        entry = Entry("agent", text, ticked=False)
        self.chat(number, customer).append(entry)
        typed = await self.post_raw(
            json.dumps({"from": number, "to": customer, "text": text} | more).encode()
        )
        entry.ticked = typed.ticked
        return typed

    async def post_raw(self, raw: bytes, **headers: str) -> Typed:
        """Posts bytes to the provider with the API key, or with the headers that are given."""
        sent = {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"} | headers
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        async with self._session.post(self.provider_url, data=raw, headers=sent) as response:
            body = await response.read()
            ticked = 200 <= response.status < 300 and bool(body)
            found = {name.lower(): value for name, value in response.headers.items()}
            return Typed(response.status, body, ticked, found)

    async def wait_chat(self, number: str, customer: str, count: int, seconds: float = 10.0) -> list[Entry]:
        """The chat's messages that came in, once there are `count` of them. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                found = [each for each in self.chat(number, customer) if each.who != "agent"]
                if len(found) >= count:
                    return found
                self._arrived.clear()
                await self._arrived.wait()

    async def auto_answered(self) -> None:
        """Returns when every automatic answer so far was posted."""
        await asyncio.gather(*self._answers)

    async def stop(self) -> None:
        """Closes the server; what is being answered is let go."""
        for answer in self._answers:
            answer.cancel()
        await super().stop()

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        self.note(await received(request))
        return web.Response(status=404)

    async def _envelope(self, request: web.Request) -> web.StreamResponse:
        body = await json_object(request)
        payload = _payload(body)
        if request.match_info["key"] != self.key or payload is None:
            self.note(await received(request))
            status = 400 if request.match_info["key"] == self.key else 404
            return web.Response(status=status, text="<html>no such provider</html>", content_type="text/html")
        customer, number = payload["from"]["phone_number"], payload["to"][0]["phone_number"]
        if self.numbers and number not in self.numbers and body and _is_message(body):
            self.note(await received(request, customer, str(payload.get("text", ""))))
            return web.Response(status=404)
        script = self.next_script(customer)
        takes = script is None or script.accepts or (200 <= (script.status or 200) < 300 and not script.drop)
        if takes:
            self._take(body or {}, payload, number, customer)
        self.note(await received(request, customer, str(payload.get("text", "")), payload["id"], takes))
        return await self.play(request, script) if script is not None else web.Response(status=200)

    def _take(self, body: dict[str, Any], payload: dict[str, Any], number: str, customer: str) -> None:
        if not _is_message(body):
            self.receipts.append(payload)
            return
        text = payload["text"]
        who = "gateway" if text.startswith(_LINE_MARK) else "customer"
        self.chat(number, customer).append(Entry(who, text))
        if self.auto_answer:
            answer = asyncio.create_task(self.type(number, customer, self.auto_answer))
            self._answers.add(answer)
            answer.add_done_callback(self._answers.discard)


def _is_message(body: dict[str, Any]) -> bool:
    return bool(body["data"]["event_type"] == "message.received")


def _payload(body: dict[str, Any] | None) -> dict[str, Any] | None:
    """The payload of an envelope that a trunk would understand, or None."""
    try:
        data = (body or {})["data"]
        payload: dict[str, Any] = data["payload"]
        words: tuple[Any, ...] = (data["event_type"], data["id"], payload["id"])
        words = (*words, payload["from"]["phone_number"])
        recipients = payload["to"]
        if not isinstance(recipients, list) or not recipients[0]["phone_number"].startswith("+"):
            return None
        if data["event_type"] == "message.received":
            words = (*words, payload["text"], payload["received_at"])
    except (KeyError, TypeError, IndexError, AttributeError):
        return None
    return payload if all(isinstance(each, str) and each for each in words) else None


def main() -> None:
    """Runs the stand-in as a program."""
    run(PbxPeer.start, "3CX's messaging trunk")


if __name__ == "__main__":
    main()

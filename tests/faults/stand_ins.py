"""The stand-ins of the outside, which note when everything arrived: what a WhatsApp instance and a 3CX saw."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from peers.evolution import EvolutionPeer
from peers.peer import Received, Script
from peers.threecx import ThreecxPeer

API_KEY = "faults-api-key"
WEBHOOK_TOKEN = "faults-webhook-token"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that reached an instance. `accepted`: it counts as sent, whatever was answered. Times in seconds."""

    at: float
    instance: str
    phone: str
    text: str
    external_id: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class Forwarded:
    """An event that reached 3CX."""

    at: float
    event: str
    phone: str
    external_id: str
    taken: bool


class Instances(EvolutionPeer):
    """One Evolution server with any number of instances."""

    name = "faulty-evolution"

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__("", API_KEY, {"X-Webhook-Token": WEBHOOK_TOKEN})
        self._now = now
        self.arrivals: list[Arrival] = []
        self.half_answers = False
        self.repeats_ids = False
        self.tells_before_it_answers = False
        self.owner: dict[str, str] = {}
        """Address of the gateway's webhook by name of the instance."""

    async def listen(self) -> "Instances":
        """Begins to serve."""
        return await self._listen(0)

    async def _door(self, request: web.Request) -> web.Response | None:
        self.instance = request.match_info["instance"]
        return await super()._door(request)

    def next_number(self) -> int:
        """Every second message gets the id of the one before it, while ids are repeated."""
        number = super().next_number()
        return number - number % 2 if self.repeats_ids else number

    def note(self, received: Received) -> None:
        """Notes when a message arrived."""
        super().note(received)
        if received.external_message_id:
            instance = received.path.rpartition("/")[2]
            phone = f"+{received.to}"
            arrived = Arrival(
                self._now(),
                instance,
                phone,
                received.text,
                received.external_message_id,
                received.accepted,
            )
            self.arrivals.append(arrived)

    async def take_send(
        self, request: web.Request, to: str, text: str, external_message_id: str, success: Any, status: int
    ) -> web.StreamResponse:
        """As scripted; or with half an answer; or with the receipt before the answer."""
        answer = await super().take_send(request, to, text, external_message_id, success, status)
        if self.half_answers and isinstance(answer, web.Response) and answer.body:
            return await _half(request, bytes(answer.body))  # type: ignore[arg-type]
        if self.tells_before_it_answers and (url := self.owner.get(request.match_info["instance"])):
            await self.report(url, request.match_info["instance"], external_message_id, "delivered", f"+{to}")
        return answer

    async def report(self, url: str, instance: str, external_id: str, kind: str, phone: str) -> int:
        """Posts a receipt; 0 if nobody answered."""
        self.instance = instance
        try:
            return await self.post_receipt(url, external_id, kind, phone)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0


async def _half(request: web.Request, body: bytes) -> web.StreamResponse:
    """Announces a whole answer, writes half of it, and closes."""
    answer = web.StreamResponse(status=201, headers={"Content-Length": str(len(body))})
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


REFUSED = Script(status=400, body={"response": {"message": [{"exists": False, "number": "1"}]}})
"""The instance refuses the message for certain."""

TAKEN_AND_SILENT = Script(drop="before_answer", accepts=True)
TAKEN_AND_FAILED = Script(status=503, accepts=True)
NOT_TAKEN_AND_FAILED = Script(status=502)
SLOW_DOWN = Script(status=429)
SLOW_DOWN_FOR_A_SECOND = Script(status=429, headers={"Retry-After": "1"})


class Threecx(ThreecxPeer):
    """A 3CX that notes when events arrived."""

    name = "faulty-threecx"

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(None)
        self._now = now
        self.forwarded: list[Forwarded] = []

    async def listen(self) -> "Threecx":
        """Begins to serve."""
        return await self._listen(0)

    def note(self, received: Received) -> None:
        """Notes when an event arrived."""
        super().note(received)
        body = received.json
        self.forwarded.append(
            Forwarded(
                self._now(),
                str(body.get("event", "")),
                received.to,
                str(body.get("external_message_id", "")),
                received.accepted,
            )
        )

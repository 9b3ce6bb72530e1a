"""The client: customers who write, agents who reply, and all that they were told. It repeats like the real ones."""

import asyncio
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from faults.evidence import Answer, Paused, Request, Written
from faults.stand_ins import WEBHOOK_TOKEN
from faults.world import Line, World
from hubgate.policy.v1 import controls_pb2
from support.gateway import CoreClient

_ANSWER_SECONDS = 9.0
_DELIVERIES = 40
_DAY = 86_400.0
_numbers = itertools.count(1)


@dataclass(slots=True)
class Client:
    """Asks through the edges in turn, and writes everything down."""

    world: World
    session: aiohttp.ClientSession
    rng: random.Random
    _edges: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._edges = itertools.cycle(self.world.edge_urls())

    def now(self) -> float:
        """The world's time."""
        return self.world.clock.now()

    async def reply(self, line: Line, phone: str, *, key: bool = False, tries: int = 1) -> Request:
        """An agent's reply. With a key it is repeated, the same, until it is answered or the tries are spent."""
        token = f"t{next(_numbers)}"
        text = f"Your ticket has been updated. #{token}"
        request = Request(token, line.account_id, phone, text, f"key-{token}" if key else "")
        self.world.record.requests.append(request)
        for attempt in range(tries if key else 1):
            if attempt:
                await asyncio.sleep(self.rng.uniform(0.05, 0.4))
            answer = await self._ask(line, request)
            request.answers.append(answer)
            if answer.status and answer.status not in (429, 502, 503):
                break
        return request

    async def repeat(self, line: Line, request: Request) -> Answer:
        """Asks once more what was asked before, under the same key."""
        answer = await self._ask(line, request)
        request.answers.append(answer)
        return answer

    async def _ask(self, line: Line, request: Request) -> Answer:
        body = {
            "event_type": "outbound_message",
            "to": request.phone,
            "message_text": request.text,
            "message_purpose": "support",
        }
        headers = {"X-WhatsApp-Gateway-3CX-Secret": line.secret, "Content-Type": "application/json"}
        if request.key:
            headers["Idempotency-Key"] = request.key
        asked_at = self.now()
        status, retry_after, raw = await self._post(line.path, json.dumps(body).encode(), headers)
        return Answer(asked_at, self.now(), status, _object(raw), retry_after)

    async def write(
        self, line: Line, phone: str, text: str = "Hello", *, ago: float = 0.0, copies: int = 1
    ) -> Written:
        """A person writes; the instance delivers it until it is taken, or so many times at once."""
        written = self.note(line, phone, text, ago=ago)
        await self.deliver(line, written, copies)
        return written

    def note(self, line: Line, phone: str, text: str = "Hello", *, ago: float = 0.0) -> Written:
        """What a person wrote, before anybody delivers it."""
        number = next(_numbers)
        written = Written(line.instance_id, phone, f"3EB1{number:016X}", text, float(int(self.now() - ago)))
        self.world.record.written.append(written)
        return written

    async def deliver(self, line: Line, written: Written, copies: int = 1) -> None:
        """Delivers what was written, as back ends do: again and again until it is taken."""
        await self.deliver_together(line, [written], upsert(line.name, [written]), copies)

    async def deliver_together(self, line: Line, batch: list[Written], body: bytes, copies: int = 1) -> None:
        """Delivers a body that holds all of these."""
        for written in batch:
            written.first_posted_at = written.first_posted_at or self.now()
        for _ in range(_DELIVERIES):
            statuses = await asyncio.gather(*(self.post_inbound(line, body) for _ in range(copies)))
            if 200 in statuses:
                for written in batch:
                    written.acknowledged_at = written.acknowledged_at or self.now()
                return
            await asyncio.sleep(self.rng.uniform(0.1, 0.4))

    async def post_inbound(self, line: Line, body: bytes) -> int:
        """Posts to the instance's webhook; returns the status, 0 for no answer."""
        headers = {"X-Webhook-Token": WEBHOOK_TOKEN, "Content-Type": "application/json"}
        return (await self._post(line.inbound_path, body, headers))[0]

    async def pause(self, line: Line) -> tuple[Paused, str] | None:
        """Pauses an instance; None if nobody took it."""
        request = controls_pb2.CreatePauseRequest(
            scope=controls_pb2.PAUSE_SCOPE_INSTANCE, scope_id=line.instance_id, reason="faults"
        )

        async def ask(core: CoreClient) -> Any:
            return await core.call(core.admin.CreatePause, request)

        created = await self.world.administer(ask)
        paused = Paused(line.instance_id, self.now())
        self.world.record.pauses.append(paused)
        return paused, created.pause.pause_id

    async def lift(self, paused: Paused, pause_id: str) -> None:
        """Lifts a pause, and whatever else was set while its answer was lost."""
        paused.lift_asked_at = self.now()

        async def ask(core: CoreClient) -> None:
            listed = await core.call(core.admin.ListPauses, controls_pb2.ListPausesRequest(page_size=1_000))
            for pause in listed.pauses:
                if pause.scope_id == paused.instance_id:
                    await core.call(
                        core.admin.LiftPause, controls_pb2.LiftPauseRequest(pause_id=pause.pause_id)
                    )

        await self.world.administer(ask)

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        try:
            async with self.session.post(next(self._edges) + path, data=body, headers=headers) as answer:
                raw = await answer.read()
                return answer.status, answer.headers.get("Retry-After", ""), raw
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, "", b""


def upsert(name: str, written: list[Written], broken: int = 0) -> bytes:
    """The body of `messages.upsert` for what was written; so many elements more cannot be read."""
    elements: list[Any] = [
        {
            "key": {"remoteJid": f"{each.phone[1:]}@s.whatsapp.net", "fromMe": False, "id": each.external_id},
            "pushName": "Customer",
            "message": {"conversation": each.text},
            "messageType": "conversation",
            "messageTimestamp": int(each.provider_at),
        }
        for each in written
    ]
    for place in range(broken):
        elements.insert(len(elements) // 2, {"key": {"id": place}, "message": 7})
    data = elements[0] if len(elements) == 1 else elements
    return json.dumps({"event": "messages.upsert", "instance": name, "data": data}).encode()


def session() -> aiohttp.ClientSession:
    """A client's connections."""
    return aiohttp.ClientSession(
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
        connector=aiohttp.TCPConnector(limit=256),
    )


def fresh_phone() -> str:
    """A number that nobody else has in this run."""
    return f"+96650{next(_numbers):07d}"


def closing_in(seconds: float) -> float:
    """How long ago a person wrote whose window, less its margin, closes in so many seconds."""
    return _DAY - 60.0 - seconds


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

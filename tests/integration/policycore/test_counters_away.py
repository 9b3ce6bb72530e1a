"""Redis gone, slow, flushed or begun anew: decisions go on, take little longer, and allow nothing they must not."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from policycore.counters.memory import MemoryCounters
from policycore.counters.redis import BUDGET_SECONDS, RedisCounters, open_client
from policycore.model import Action
from policycore.ports import Admission, Counters, Turn, TurnRequest
from policycore.reasons import ReasonCode
from policycore.store import tables
from servers.redis import RedisServer, running_redis
from support.core_parts import CoreParts, open_core

MOST_LONGER_SECONDS = 0.050
"""What a decision may take longer without Redis: promised in the README."""

AWAY_SECONDS = 5.0


class Proxy:
    """Stands between the counters and Redis; holds answers back, or cuts the line."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.delay_seconds = 0.0
        self.asked = 0
        self.answered = 0

    async def start(self) -> str:
        """Listens; returns the URL."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def cut(self) -> None:
        """Refuses everybody from now on, and hangs up on those who are connected."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, server_writer}
        for work in (self._ask(reader, server_writer), self._answer(server_reader, writer)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while words := await reader.read(65_536):
            self.asked += 1
            writer.write(words)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while words := await reader.read(65_536):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            self.answered += 1
            writer.write(words)


class Counted:
    """Counters that count how often they are waited for."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.waits = 0

    async def admit(self, admissions: Sequence[Admission]) -> list[float]:
        self.waits += 1
        return await self._counters.admit(admissions)

    async def reserve_turns(self, requests: Sequence[TurnRequest], *, peek: bool = False) -> list[Turn]:
        self.waits += 1
        return await self._counters.reserve_turns(requests, peek=peek)

    async def give_back_turns(self, requests: Sequence[TurnRequest]) -> None:
        self.waits += 1
        await self._counters.give_back_turns(requests)

    async def healthy(self) -> bool:
        return await self._counters.healthy()


class Office:
    """A core on counters in a Redis behind a proxy."""

    def __init__(self, core: CoreParts, proxy: Proxy, counted: Counted) -> None:
        self.core = core
        self.proxy = proxy
        self.counted = counted

    async def limit(self, daily: int) -> None:
        """The account's own quota."""
        values = {"plan": 4, "daily_limit": daily, "monthly_limit": 1_000}
        await self.core.change(tables.accounts.update().values(values))
        await self.core.config.refresh()

    async def reasons(self, count: int, **more: Any) -> list[ReasonCode]:
        """What so many replies, one after the other, are answered with."""
        found = []
        for number in range(count):
            answer = await self.core.reply(f"Part {number} of the answer.", **more)
            found.append(answer.decision.reason)
        return found


@contextlib.asynccontextmanager
async def _open(server: RedisServer, folder: Path) -> AsyncIterator[Office]:
    proxy = Proxy(server.port)
    counters = RedisCounters(open_client(await proxy.start()), MemoryCounters(time.monotonic), time.monotonic)
    counted = Counted(counters)
    core = await open_core(f"sqlite+aiosqlite:///{folder}/core.db", counters=counted)
    try:
        # A pace that no test here meets, so that turns are asked for.
        await core.change(tables.instances.update().values(messages_per_second=500.0, burst=1_000))
        await core.config.refresh()
        await counters.warm_up()
        await core.inbound("Hello")
        yield Office(core, proxy, counted)
    finally:
        await core.close()
        await counters.close()
        await proxy.cut()


@pytest.fixture
async def office(redis_server: RedisServer, redis_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    """A core whose Redis is well, as yet."""
    async with _open(redis_server, tmp_path) as made:
        yield made


async def _trouble(office: Office, kind: str) -> None:
    if kind == "gone":
        await office.proxy.cut()
    else:
        office.proxy.delay_seconds = AWAY_SECONDS


@pytest.mark.parametrize("kind", ["gone", "slow"])
async def test_a_decision_waits_for_the_counters_twice_and_never_for_their_answer(
    office: Office, kind: str
) -> None:
    await office.core.reply("First.", limit=60)
    await _trouble(office, kind)
    answered = office.proxy.answered
    for number in range(6):
        before = office.counted.waits
        answer = await office.core.reply(f"Then {number}.", limit=60)
        assert answer.decision.action is Action.SEND
        waits = office.counted.waits - before
        assert waits * BUDGET_SECONDS <= MOST_LONGER_SECONDS, "each wait ends after its budget"
    assert office.proxy.answered == answered, "nobody waited until Redis answered"


async def test_a_breaker_leaves_an_ill_redis_alone(office: Office) -> None:
    await _trouble(office, "slow")
    await office.reasons(4)
    asked = office.proxy.asked
    await office.reasons(10)
    # One probe a second may look whether it is back.
    assert office.proxy.asked - asked <= 2
    assert not await office.counted.healthy()


@pytest.mark.parametrize("kind", ["gone", "slow"])
async def test_without_redis_limits_hold_all_the_same(office: Office, kind: str) -> None:
    await _trouble(office, kind)
    reasons = await office.reasons(5, limit=3)
    assert reasons == [ReasonCode.ALLOWED] * 3 + [ReasonCode.WEBHOOK_RATE_LIMITED] * 2


@pytest.mark.parametrize("kind", ["gone", "slow"])
async def test_without_redis_nothing_is_wrongly_allowed(office: Office, kind: str) -> None:
    await office.limit(2)
    await _trouble(office, kind)
    reasons = await office.reasons(4)
    assert reasons == [ReasonCode.ALLOWED] * 2 + [ReasonCode.DAILY_QUOTA_SPENT] * 2
    await office.core.inbound("STOP")
    [refused] = await office.reasons(1)
    assert refused is ReasonCode.RECIPIENT_SUPPRESSED
    strangers = await office.reasons(1, phone_text="+966500000009")
    assert strangers == [ReasonCode.WINDOW_NEVER_OPENED]


async def test_a_redis_that_forgets_or_begins_anew_lets_nothing_over_a_quota(tmp_path: Path) -> None:
    with running_redis() as server:
        async with _open(server, tmp_path) as office:
            await office.limit(7)
            replies = [
                asyncio.create_task(office.core.reply(f"Part {number} of the answer."))
                for number in range(30)
            ]
            client = Redis(port=server.port)
            await client.flushall()
            await client.aclose()
            # A replica that took over without the last second's writes is a Redis that has lost them.
            server.kill()
            server.start()
            answers = await asyncio.gather(*replies)
            answers += [await office.core.reply("One more.") for _ in range(3)]
            sent = [answer for answer in answers if answer.decision.action is Action.SEND]
            assert len(sent) == len(office.core.senders.sent) == 7
            [day] = [
                row.used
                for row in await office.core.rows(tables.quota_usage)
                if len(row.period) == len("2026-03-14")
            ]
            assert day == 7

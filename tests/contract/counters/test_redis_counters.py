"""What only the Redis counters promise: they are shared, forget by themselves, and a Redis that is ill costs
little.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from policycore.counters.memory import MemoryCounters
from policycore.counters.redis import RedisCounters, open_client
from policycore.ports import Admission, TurnRequest
from servers.redis import running_redis

LIMITED = Admission("int_a", 2)
PACED = TurnRequest("ins_a", "psn_a", 1.0, 1, 1.0, 1)


@contextlib.asynccontextmanager
async def opened(url: str, budget: float = 2.0) -> AsyncIterator[RedisCounters]:
    counters = RedisCounters(
        open_client(url), MemoryCounters(time.monotonic), time.monotonic, budget_seconds=budget
    )
    try:
        yield counters
    finally:
        await counters.close()


async def _eventually(probe: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = probe()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not come about")


async def test_two_processes_share_one_count(redis_url: str) -> None:
    async with opened(redis_url) as one, opened(redis_url) as other:
        assert await one.admit([LIMITED]) == [0.0]
        assert await other.admit([LIMITED]) == [0.0]
        assert (await one.admit([LIMITED]))[0] > 0
        assert (await one.reserve_turns([PACED]))[0].instance_wait_seconds == 0.0
        assert (await other.reserve_turns([PACED]))[0].instance_wait_seconds > 0.5


async def test_never_more_than_the_limit_however_many_ask_at_once(redis_url: str) -> None:
    async with opened(redis_url) as one, opened(redis_url) as other:
        calls = [side.admit([Admission("int_a", 60)] * 5) for side in (one, other) for _ in range(20)]
        waits = [wait for answer in await asyncio.gather(*calls) for wait in answer]
        assert sum(wait == 0.0 for wait in waits) == 60


async def test_keys_run_out_and_share_a_slot(redis_url: str) -> None:
    async with opened(redis_url) as counters:
        await counters.admit([LIMITED])
        await counters.reserve_turns([PACED])
    client = Redis.from_url(redis_url, decode_responses=True)
    try:
        keys = sorted(await client.keys("*"))
        assert keys == [
            "hubgate:admit:{int_a}:60000000",
            "hubgate:turn:{ins_a}",
            "hubgate:turn:{ins_a}:psn_a",
        ]
        assert 0 < await client.pttl(keys[0]) <= 60_002
        for key in keys[1:]:
            assert 0 < await client.pttl(key) <= 1_002
    finally:
        await client.aclose()


async def test_a_redis_that_forgot_the_scripts_is_taught_again(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    try:
        async with opened(redis_url) as counters:
            await counters.admit([LIMITED])
            await client.script_flush()
            await counters.admit([LIMITED, Admission("int_b", 1)])
            assert (await counters.admit([LIMITED]))[0] > 0, "both earlier requests were counted in Redis"
            assert await client.llen("hubgate:admit:{int_a}:60000000") == 2
    finally:
        await client.aclose()


async def test_a_clock_that_steps_back_locks_nobody_out(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    try:
        ahead = int((time.time() + 7 * 3600) * 1_000_000)
        await client.lpush("hubgate:admit:{int_a}:60000000", ahead, ahead)
        await client.set("hubgate:turn:{ins_a}", ahead)
        async with opened(redis_url) as counters:
            assert await counters.admit([LIMITED]) == [0.0]
            assert (await counters.reserve_turns([PACED]))[0].reserved
    finally:
        await client.aclose()


async def test_without_redis_this_process_counts_alone_at_once() -> None:
    async with opened("redis://127.0.0.1:1/0", budget=0.02) as counters:
        began = time.monotonic()
        waits = [wait for _ in range(50) for wait in await counters.admit([LIMITED])]
        assert time.monotonic() - began < 1.0
        assert waits[:2] == [0.0, 0.0]
        assert min(waits[2:]) > 0, "the twin limits as well"
        assert not await counters.healthy()


async def test_a_redis_that_hangs_costs_a_few_budgets() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.read()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with opened(f"redis://127.0.0.1:{port}/0", budget=0.02) as counters:
            began = time.monotonic()
            for _ in range(200):
                assert len(await counters.reserve_turns([PACED])) == 1
            assert time.monotonic() - began < 1.0
            assert not await counters.healthy()
    finally:
        for writer in connections:
            writer.close()
        server.close()


async def test_when_redis_is_back_it_counts_again() -> None:
    with running_redis() as server:
        async with opened(server.url, budget=0.5) as counters:
            assert await counters.healthy()
            server.kill()
            for _ in range(4):
                await counters.admit([LIMITED])
            assert not await counters.healthy()
            server.start()
            await _eventually(counters.healthy)
            assert await counters.admit([LIMITED]) == [0.0], "Redis begins anew; the twin had spent the limit"


async def test_a_late_answer_is_never_taken_for_the_next_one(redis_url: str) -> None:
    """A call that ran out of budget must not leave its answer behind in the connection."""
    client = Redis.from_url(redis_url)
    try:
        async with opened(redis_url, budget=0.15) as counters:
            await counters.warm_up()
            assert await counters.admit([Admission("int_a", 1)]) == [0.0]
            await client.client_pause(400, all=True)
            await counters.admit([Admission("int_b", 1)])
            await asyncio.sleep(0.5)
            for _ in range(5):
                assert (await counters.admit([Admission("int_a", 1)]))[0] > 50
                assert await counters.reserve_turns([PACED], peek=True) != []
            assert await counters.healthy()
    finally:
        await client.aclose()

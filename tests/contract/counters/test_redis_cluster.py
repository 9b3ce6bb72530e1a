"""The counters on a real cluster of three members: one script for each slot, sent together, and members that come and
go.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from policycore.counters.memory import MemoryCounters
from policycore.counters.redis import RedisCounters, open_client
from policycore.ports import Admission, TurnRequest
from servers.redis import RedisClusterOfThree, running_redis_cluster

NAMES = [f"int_{number}" for number in range(60)]


@pytest.fixture(scope="module")
def running() -> Iterator[RedisClusterOfThree]:
    with running_redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running: RedisClusterOfThree) -> RedisClusterOfThree:
    """Three members, empty."""
    for member in running.members:
        member.clear()
    return running


@contextlib.asynccontextmanager
async def opened(cluster: RedisClusterOfThree, budget: float = 2.0) -> AsyncIterator[RedisCounters]:
    counters = RedisCounters(
        open_client(cluster.url), MemoryCounters(time.monotonic), time.monotonic, budget_seconds=budget
    )
    try:
        assert await counters.warm_up()
        yield counters
    finally:
        await counters.close()


async def _eventually(probe: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if await probe():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not come about")


async def _ask(port: int, *words: str) -> Any:
    client = Redis(port=port, decode_responses=True)
    try:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]  # its stubs lack types
    finally:
        await client.aclose()


async def _scripts_run(cluster: RedisClusterOfThree) -> list[int]:
    """How many scripts each member has run."""
    told = [await _ask(member.port, "INFO", "commandstats") for member in cluster.members]
    return [each.get("cmdstat_evalsha", {"calls": 0})["calls"] for each in told]


async def test_one_batch_is_counted_on_every_member_and_by_everybody(cluster: RedisClusterOfThree) -> None:
    async with opened(cluster) as one, opened(cluster) as other:
        batch = [Admission(name, 2) for name in NAMES]
        assert set(await one.admit(batch)) == {0.0}
        assert set(await other.admit(batch)) == {0.0}
        assert min(await one.admit(batch)) > 50
        turns = [TurnRequest(name, "psn_1", 1.0, 1, 1.0, 1) for name in NAMES]
        assert all(turn.instance_wait_seconds == 0.0 for turn in await one.reserve_turns(turns))
        assert all(turn.instance_wait_seconds > 0.5 for turn in await other.reserve_turns(turns))
        assert await one.healthy() and await other.healthy()
    sizes = [await _ask(member.port, "DBSIZE") for member in cluster.members]
    assert min(sizes) > 0
    assert sum(sizes) == 3 * len(NAMES)


async def test_a_slot_is_one_script_and_a_member_one_journey(cluster: RedisClusterOfThree) -> None:
    slots = {key_slot(name.encode()) for name in NAMES}
    async with opened(cluster) as counters:
        before = await _scripts_run(cluster)
        await counters.admit([Admission(name, 5) for name in NAMES for _ in range(3)])
        after = await _scripts_run(cluster)
    assert sum(after) - sum(before) == len(slots)


async def test_never_more_than_the_limit_however_many_ask_at_once(cluster: RedisClusterOfThree) -> None:
    async with opened(cluster, budget=20) as one, opened(cluster, budget=20) as other:
        batch = [Admission(name, 20) for name in NAMES[:10]]
        answers = await asyncio.gather(*(side.admit(batch) for side in (one, other) for _ in range(20)))
    passed = [sum(answer[place] == 0.0 for answer in answers) for place in range(len(batch))]
    assert passed == [20] * len(batch)


async def test_members_that_forgot_the_scripts_or_everything_are_taught_again(
    cluster: RedisClusterOfThree,
) -> None:
    async with opened(cluster) as counters:
        batch = [Admission(name, 1) for name in NAMES]
        await counters.admit(batch)
        await _ask(cluster.members[1].port, "SCRIPT", "FLUSH")
        assert min(await counters.admit(batch)) > 50, "still counted in Redis"
        cluster.members[2].clear()
        passed = sum(wait == 0.0 for wait in await counters.admit(batch))
        assert 0 < passed < len(NAMES), "what was flushed begins anew; nothing else does"
        assert await counters.healthy()


async def test_a_late_answer_of_one_member_is_never_taken_for_the_next_one(
    cluster: RedisClusterOfThree,
) -> None:
    async with opened(cluster, budget=0.15) as counters:
        batch = [Admission(name, 1) for name in NAMES]
        assert set(await counters.admit(batch)) == {0.0}
        await _ask(cluster.members[0].port, "CLIENT", "PAUSE", "400", "ALL")
        await counters.admit([Admission(f"other_{number}", 1) for number in range(30)])
        await asyncio.sleep(0.5)
        await _eventually(counters.healthy)
        for _ in range(5):
            assert min(await counters.admit(batch)) > 50


async def test_a_member_that_ends_leaves_each_process_to_itself_until_it_is_back(
    cluster: RedisClusterOfThree,
) -> None:
    lost = cluster.members[0]
    async with opened(cluster, budget=0.5) as counters:
        lost.kill()
        batch = [Admission(name, 1) for name in NAMES]
        for _ in range(5):
            assert len(await counters.admit(batch)) == len(batch)
        assert min(await counters.admit(batch)) > 0, "this process counts, and limits"
        assert not await counters.healthy()
        lost.start()
        cluster.wait_until_whole()
        await _eventually(counters.healthy)
        await _eventually(lambda: _all_pass(counters))


async def _all_pass(counters: RedisCounters) -> bool:
    """Whether integrations that nobody has counted yet are counted in the cluster."""
    fresh = [Admission(f"back_{number}", 1) for number in range(30)]
    await counters.admit(fresh)
    return await counters.healthy() and min(await counters.admit(fresh)) > 50

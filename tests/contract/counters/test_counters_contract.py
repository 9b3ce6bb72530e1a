"""What every implementation of the counters promises, run on the twin and on a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from policycore.counters.memory import MemoryCounters
from policycore.counters.redis import RedisCounters, open_client
from policycore.ports import Admission, Counters, Turn, TurnRequest
from servers.redis import RedisClusterOfThree, running_redis_cluster


@dataclass(frozen=True)
class CountersUnderTest:
    """`let_pass` makes so many seconds pass for the counters."""

    counters: Counters
    let_pass: Callable[[float], Awaitable[None]]


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    async def move(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture(scope="module")
def redis_cluster() -> Iterator[RedisClusterOfThree]:
    """A cluster of this file's own."""
    with running_redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster_url(redis_cluster: RedisClusterOfThree) -> str:
    """URL of an empty cluster."""
    for member in redis_cluster.members:
        member.clear()
    return redis_cluster.url


@pytest.fixture(params=["memory", "redis", "cluster"])
async def under_test(request: pytest.FixtureRequest) -> AsyncIterator[CountersUnderTest]:
    if request.param == "memory":
        clock = HandClock()
        yield CountersUnderTest(MemoryCounters(clock), clock.move)
        return
    client = open_client(request.getfixturevalue(f"{request.param}_url"))
    # The budget is generous: what is tested here is the arithmetic, not how busy this machine is.
    shared = RedisCounters(client, MemoryCounters(time.monotonic), time.monotonic, budget_seconds=2.0)
    assert await shared.warm_up()
    yield CountersUnderTest(shared, asyncio.sleep)
    assert await shared.healthy(), "the test ran on the twin, not on Redis"
    await shared.close()


def turn(
    instance: str = "ins_a",
    person: str = "psn_a",
    *,
    rate: float = 0.0,
    burst: int = 1,
    pair_rate: float = 0.0,
    pair_burst: int = 1,
    max_wait: float = 30.0,
) -> TurnRequest:
    return TurnRequest(instance, person, rate, burst, pair_rate, pair_burst, max_wait)


async def test_admits_up_to_the_limit_and_says_when_the_next_may(under_test: CountersUnderTest) -> None:
    waits = await under_test.counters.admit([Admission("int_a", 3)] * 5)
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert all(59.0 < wait <= 60.0 for wait in waits[3:])


async def test_refused_requests_do_not_count(under_test: CountersUnderTest) -> None:
    brief = Admission("int_a", 2, 0.4)
    assert await under_test.counters.admit([brief] * 2) == [0.0, 0.0]
    for _ in range(3):
        (wait,) = await under_test.counters.admit([brief])
        assert 0 < wait <= 0.4
    await under_test.let_pass(0.45)
    assert await under_test.counters.admit([brief] * 2) == [0.0, 0.0]


async def test_the_window_slides(under_test: CountersUnderTest) -> None:
    """A fixed window would admit two at its end and two more at the beginning of the next."""
    brief = Admission("int_a", 2, 0.6)
    assert await under_test.counters.admit([brief]) == [0.0]
    await under_test.let_pass(0.4)
    assert await under_test.counters.admit([brief]) == [0.0]
    await under_test.let_pass(0.25)
    first, second = await under_test.counters.admit([brief, brief])
    assert first == 0.0
    assert 0 < second <= 0.4


async def test_a_wait_that_was_named_is_enough(under_test: CountersUnderTest) -> None:
    brief = Admission("int_a", 1, 0.3)
    assert await under_test.counters.admit([brief]) == [0.0]
    (wait,) = await under_test.counters.admit([brief])
    await under_test.let_pass(wait + 0.01)
    assert await under_test.counters.admit([brief]) == [0.0]


async def test_keys_do_not_touch_each_other(under_test: CountersUnderTest) -> None:
    mixed = [Admission("int_a", 1), Admission("int_b", 1), Admission("int_a", 1), Admission("int_b", 2)]
    waits = await under_test.counters.admit(mixed)
    assert [wait == 0.0 for wait in waits] == [True, True, False, True]


async def test_a_limit_of_nothing_admits_nothing(under_test: CountersUnderTest) -> None:
    assert await under_test.counters.admit([Admission("int_a", 0)]) == [60.0]


async def test_a_limit_may_be_lowered_and_raised_again(under_test: CountersUnderTest) -> None:
    assert await under_test.counters.admit([Admission("int_a", 10)] * 10) == [0.0] * 10
    (refused,) = await under_test.counters.admit([Admission("int_a", 3)])
    assert refused > 59
    waits = await under_test.counters.admit([Admission("int_a", 12)] * 3)
    assert [wait == 0.0 for wait in waits] == [True, True, False]


async def test_nothing_asked_is_nothing_answered(under_test: CountersUnderTest) -> None:
    assert await under_test.counters.admit([]) == []
    assert await under_test.counters.reserve_turns([]) == []
    await under_test.counters.give_back_turns([])


async def test_a_burst_passes_and_then_turns_are_spaced(under_test: CountersUnderTest) -> None:
    turns = await under_test.counters.reserve_turns([turn(rate=1.0, burst=5)] * 8)
    waits = [one.instance_wait_seconds for one in turns]
    assert waits[:5] == [0.0] * 5
    assert waits[5:] == pytest.approx([1.0, 2.0, 3.0], abs=0.2)
    assert all(one.reserved and one.pair_wait_seconds == 0.0 for one in turns)


async def test_pair_and_instance_are_counted_side_by_side(under_test: CountersUnderTest) -> None:
    one = turn(person="psn_a", rate=100.0, burst=10, pair_rate=1.0, pair_burst=1)
    other = turn(person="psn_b", rate=100.0, burst=10, pair_rate=1.0, pair_burst=1)
    turns = await under_test.counters.reserve_turns([one, one, other])
    assert [t.pair_wait_seconds for t in turns] == pytest.approx([0.0, 1.0, 0.0], abs=0.2)
    assert all(t.instance_wait_seconds == 0.0 for t in turns)


async def test_a_pair_is_of_one_instance(under_test: CountersUnderTest) -> None:
    turns = await under_test.counters.reserve_turns(
        [turn("ins_a", pair_rate=1.0), turn("ins_b", pair_rate=1.0), turn("ins_a", pair_rate=1.0)]
    )
    assert [t.pair_wait_seconds for t in turns] == pytest.approx([0.0, 0.0, 1.0], abs=0.2)


async def test_too_long_a_wait_reserves_nothing(under_test: CountersUnderTest) -> None:
    """The refused ones do not push the queue further away, neither the instance's nor the pair's."""
    slow = turn(rate=0.1, burst=1, pair_rate=0.1, pair_burst=5, max_wait=15.0)
    turns = await under_test.counters.reserve_turns([slow] * 4)
    assert [t.reserved for t in turns] == [True, True, False, False]
    assert turns[2].instance_wait_seconds == pytest.approx(20.0, abs=0.5)
    assert turns[3].instance_wait_seconds == pytest.approx(20.0, abs=0.5)
    (pair_only,) = await under_test.counters.reserve_turns([turn(pair_rate=0.1, pair_burst=3)], peek=True)
    assert pair_only.pair_wait_seconds == 0.0, "two of three were reserved, so the third is free"


async def test_looking_reserves_nothing(under_test: CountersUnderTest) -> None:
    paced = turn(rate=1.0, burst=1)
    for _ in range(3):
        assert await under_test.counters.reserve_turns([paced], peek=True) == [Turn(0.0, 0.0, False)]
    assert await under_test.counters.reserve_turns([paced]) == [Turn(0.0, 0.0, True)]
    (seen,) = await under_test.counters.reserve_turns([paced], peek=True)
    assert seen.instance_wait_seconds == pytest.approx(1.0, abs=0.2)


async def test_turns_come_back_with_time(under_test: CountersUnderTest) -> None:
    paced = turn(rate=10.0, burst=2, pair_rate=10.0, pair_burst=2)
    await under_test.counters.reserve_turns([paced] * 2)
    await under_test.let_pass(0.3)
    turns = await under_test.counters.reserve_turns([paced] * 3)
    assert [t.instance_wait_seconds for t in turns[:2]] == [0.0, 0.0]
    assert 0 < turns[2].instance_wait_seconds <= 0.1


async def test_what_is_given_back_is_free_again(under_test: CountersUnderTest) -> None:
    paced = turn(rate=1.0, burst=2, pair_rate=0.5, pair_burst=2)
    await under_test.counters.reserve_turns([paced] * 4)
    await under_test.counters.give_back_turns([paced] * 2)
    (seen,) = await under_test.counters.reserve_turns([paced], peek=True)
    assert seen.instance_wait_seconds == pytest.approx(1.0, abs=0.2)
    assert seen.pair_wait_seconds == pytest.approx(2.0, abs=0.2)


async def test_giving_back_more_than_was_taken_earns_nothing(under_test: CountersUnderTest) -> None:
    paced = turn(rate=1.0, burst=2)
    await under_test.counters.reserve_turns([paced])
    await under_test.counters.give_back_turns([paced] * 5)
    turns = await under_test.counters.reserve_turns([paced] * 3)
    assert [t.instance_wait_seconds for t in turns] == pytest.approx([0.0, 0.0, 1.0], abs=0.2)


async def test_no_pace_never_waits(under_test: CountersUnderTest) -> None:
    await under_test.counters.reserve_turns([turn(rate=0.1, burst=1)] * 2)
    turns = await under_test.counters.reserve_turns([turn(rate=0.0)] * 50)
    assert turns == [Turn(0.0, 0.0, True)] * 50


async def test_answers_keep_the_order_of_a_mixed_batch(under_test: CountersUnderTest) -> None:
    batch = [turn(f"ins_{i % 3}", f"psn_{i % 2}", rate=1.0, burst=1 + i % 3, max_wait=0.5) for i in range(9)]
    turns = await under_test.counters.reserve_turns(batch)
    assert [t.reserved for t in turns] == [True, True, True, False, True, True, False, False, True]

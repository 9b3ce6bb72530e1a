"""The twin's promises over any sequence of calls, and that it forgets."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from policycore.counters.memory import SWEEP_EVERY, MemoryCounters, pace_of
from policycore.ports import Admission, TurnRequest

steps = st.lists(st.floats(min_value=0.0, max_value=25.0), min_size=1, max_size=80)


class HandClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@given(steps=steps, limit=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_no_rolling_window_ever_holds_more_than_the_limit(steps: list[float], limit: int) -> None:
    clock = HandClock()
    counters = MemoryCounters(clock)
    admitted: list[float] = []
    for step in steps:
        clock.seconds += step
        (wait,) = asyncio.run(counters.admit([Admission("k", limit)]))
        recent = sum(at > clock.seconds - 60 + 0.001 for at in admitted)
        if wait == 0.0:
            admitted.append(clock.seconds)
            assert recent + 1 <= limit
        else:
            assert recent >= limit - 1
            assert wait <= 60


@given(steps=steps, burst=st.integers(1, 6), rate=st.sampled_from([0.2, 0.5, 1.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_no_stretch_of_time_holds_more_than_burst_and_rate(
    steps: list[float], burst: int, rate: float
) -> None:
    clock = HandClock()
    counters = MemoryCounters(clock)
    starts: list[float] = []
    for step in steps:
        clock.seconds += step / 5
        (turn,) = asyncio.run(counters.reserve_turns([TurnRequest("i", "p", rate, burst, 0.0, 1)]))
        assert turn.reserved == (turn.instance_wait_seconds <= 30)
        if turn.reserved:
            starts.append(clock.seconds + turn.instance_wait_seconds)
    assert starts == sorted(starts), "turns are first come, first served"
    for i, begin in enumerate(starts):
        for j in range(i, len(starts)):
            assert j - i + 1 <= burst + (starts[j] - begin) * rate + 0.001


async def test_what_has_run_out_is_forgotten() -> None:
    clock = HandClock()
    counters = MemoryCounters(clock)
    for number in range(SWEEP_EVERY // 2 - 1):
        await counters.admit([Admission(f"int_{number}", 1)])
        await counters.reserve_turns([TurnRequest(f"ins_{number}", "p", 1.0, 1, 1.0, 1)])
    clock.seconds += 61
    for _ in range(3):
        await counters.admit([Admission("int_new", 1)])
    assert list(counters._admitted) == [("int_new", 60_000_000)]
    assert counters._turns == {}


def test_a_pace_costs_whole_microseconds_and_never_less_than_the_rate_allows() -> None:
    assert pace_of(3.0, 5).interval == 333_334
    assert pace_of(3.0, 5).tolerance == 4 * 333_334
    assert pace_of(1.0, 0) == pace_of(1.0, 1)
    assert pace_of(0.0, 5).interval == pace_of(-1.0, 5).interval == 0

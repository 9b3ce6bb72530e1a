"""The schedule of tries, and when a message stops holding up others."""

from datetime import timedelta
from itertools import pairwise

import pytest

from policycore.dispatch.retry import (
    DELAYS,
    LEAST_PERSISTENCE,
    MOST_TRIES,
    delay_after,
    exhausted,
    is_set_aside,
)

ALMOST_ONE = 1 - 2**-53


def test_twelve_tries_take_at_least_four_days_even_with_the_shortest_jitter() -> None:
    assert MOST_TRIES == 12
    shortest = sum((delay_after(tries, None, 0.0) for tries in range(1, MOST_TRIES)), timedelta())
    longest = sum((delay_after(tries, None, ALMOST_ONE) for tries in range(1, MOST_TRIES)), timedelta())
    assert shortest >= LEAST_PERSISTENCE == timedelta(days=4)
    assert longest < timedelta(days=7)


@pytest.mark.parametrize("tries", range(1, MOST_TRIES))
def test_jitter_spreads_a_delay_by_a_fifth_either_way(tries: int) -> None:
    plan = DELAYS[tries - 1]
    assert delay_after(tries, None, 0.5) == pytest.approx(plan, rel=1e-9)
    assert delay_after(tries, None, 0.0) == pytest.approx(plan * 0.8, rel=1e-9)
    assert delay_after(tries, None, ALMOST_ONE) == pytest.approx(plan * 1.2, rel=1e-9)


def test_delays_grow_and_the_last_one_stays() -> None:
    assert all(earlier < later for earlier, later in pairwise(DELAYS))
    assert delay_after(40, None, 0.5) == DELAYS[-1]


@pytest.mark.parametrize(
    ("tries", "asked", "expected"),
    [
        (1, 90.0, timedelta(seconds=90)),
        (1, 1.0, timedelta(seconds=5)),
        (1, 0.0, timedelta(seconds=5)),
        (1, -5.0, timedelta(seconds=5)),
        (1, 10_000_000.0, timedelta(hours=24)),
        (1, float("inf"), timedelta(hours=24)),
        (11, 60.0, timedelta(hours=36)),
    ],
)
def test_what_the_other_side_asks_for_is_kept_up_to_a_day(
    tries: int, asked: float, expected: timedelta
) -> None:
    assert delay_after(tries, asked, 0.5) == expected


def test_given_up_after_twelve_tries_but_not_before_four_days() -> None:
    assert exhausted(12, timedelta(days=4))
    assert not exhausted(11, timedelta(days=30))
    assert not exhausted(12, timedelta(days=3))
    assert exhausted(15, timedelta(days=4, seconds=1))


@pytest.mark.parametrize(
    ("tries", "others_passed", "aside"),
    [(1, True, False), (2, True, False), (3, True, True), (3, False, False), (9, False, False)],
)
def test_set_aside_is_a_message_that_fails_while_others_pass(
    tries: int, others_passed: bool, aside: bool
) -> None:
    assert is_set_aside(tries, others_passed=others_passed) is aside

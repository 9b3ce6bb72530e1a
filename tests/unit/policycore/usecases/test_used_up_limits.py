"""What is remembered of windows that are used up."""

from datetime import UTC, datetime, timedelta

from policycore.ports import Admission
from policycore.usecases.used_up_limits import UsedUpLimits

NOW = datetime(2026, 5, 8, 10, tzinfo=UTC)
WINDOW = Admission("int_1", 600)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_nothing_is_known_of_a_window_that_refused_nobody() -> None:
    assert UsedUpLimits().wait_seconds(WINDOW, NOW) == 0.0


def test_a_window_is_full_until_the_time_that_was_named() -> None:
    limits = UsedUpLimits()
    limits.note(WINDOW, 12.0, NOW)
    assert limits.wait_seconds(WINDOW, after(2)) == 10.0
    assert limits.wait_seconds(WINDOW, after(12)) == 0.0
    assert limits.wait_seconds(WINDOW, after(2)) == 0.0


def test_another_integration_or_another_limit_is_another_window() -> None:
    limits = UsedUpLimits()
    limits.note(WINDOW, 12.0, NOW)
    assert limits.wait_seconds(Admission("int_2", 600), NOW) == 0.0
    assert limits.wait_seconds(Admission("int_1", 900), NOW) == 0.0


def test_a_clock_that_was_moved_back_refuses_nobody() -> None:
    limits = UsedUpLimits()
    limits.note(WINDOW, 12.0, NOW)
    assert limits.wait_seconds(WINDOW, after(-3600)) == 0.0


def test_memory_is_bounded_and_makes_room_for_what_is_new() -> None:
    limits = UsedUpLimits()
    for number in range(10_000):
        limits.note(Admission(f"int_{number}", 600), 1.0, NOW)
    limits.note(Admission("int_late", 600), 5.0, NOW)
    assert limits.wait_seconds(Admission("int_late", 600), NOW) == 0.0
    limits.note(Admission("int_late", 600), 5.0, after(2))
    assert limits.wait_seconds(Admission("int_late", 600), after(2)) == 5.0

"""When an event is posted again, when it is given up, and when it no longer holds up the next ones. Pure."""

from datetime import timedelta

DELAYS: tuple[timedelta, ...] = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=8),
    timedelta(hours=18),
    timedelta(hours=24),
    timedelta(hours=30),
    timedelta(hours=36),
)
"""Between one try and the next. Five days in all, so that even the shortest jitter leaves four."""

MOST_TRIES = len(DELAYS) + 1
LEAST_PERSISTENCE = timedelta(days=4)
JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(hours=24)
TRIES_BEFORE_SET_ASIDE = 3


def delay_after(tries: int, retry_after_seconds: float | None, random: float) -> timedelta:
    """How long to wait after `tries` failed tries (at least 1).

    `random` lies in [0, 1) and spreads the delay by 20 % either way. What the other side asked for is kept,
    up to a
    day, but it never makes the delay shorter.
    """
    planned = DELAYS[min(tries, len(DELAYS)) - 1] * (1 - JITTER + 2 * JITTER * random)
    if retry_after_seconds is None or retry_after_seconds <= 0:
        return planned
    asked = timedelta(seconds=min(retry_after_seconds, LONGEST_RETRY_AFTER.total_seconds()))
    return max(planned, asked)


def exhausted(tries: int, age: timedelta) -> bool:
    """Whether to give up: the tries are spent, and an early wake-up did not spend them within four days."""
    return tries >= MOST_TRIES and age >= LEAST_PERSISTENCE


def is_set_aside(tries: int, *, others_passed: bool) -> bool:
    """Whether a message no longer holds up the later ones of its person.

    It failed three times, and others passed since it failed the last time but one: it is the message, not the
    destination.
    """
    return tries >= TRIES_BEFORE_SET_ASIDE and others_passed

"""How much may wait and be under way in one policy core, and when it holds an instance back: the numbers an operator
may set. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Every bound, with its default."""

    requests_waiting: int = 2_000
    """Requests that wait for their decision, in all."""
    requests_waiting_per_account: int = 1_000
    messages_under_way: int = 20_000
    """Messages that wait for their turn or for their outcome; one account may have half of them."""
    instance_attempts: int = 128
    """Attempts under way at one instance; then nothing new is accepted for it."""
    breaker_failures: int = 5
    """Attempts in a row that a back end left without an answer before its instance is held back; 0 for never."""
    breaker_seconds: int = 15
    """For how long it is held back at first; twice as long each time in a row, up to eight times."""
    deliveries_kept_days: int = 90
    """How long events are kept after they were settled; what was given up can be replayed for 30 days."""


@dataclass(frozen=True, slots=True)
class Range:
    """The variable that sets a bound, and between which values."""

    variable: str
    least: int
    most: int


RANGES: Mapping[str, Range] = {
    "requests_waiting": Range("HUBGATE_REQUESTS_WAITING", 100, 100_000),
    "requests_waiting_per_account": Range("HUBGATE_REQUESTS_WAITING_PER_ACCOUNT", 100, 100_000),
    "messages_under_way": Range("HUBGATE_MESSAGES_UNDER_WAY", 100, 1_000_000),
    "instance_attempts": Range("HUBGATE_INSTANCE_ATTEMPTS", 1, 10_000),
    "breaker_failures": Range("HUBGATE_BREAKER_FAILURES", 0, 1_000),
    "breaker_seconds": Range("HUBGATE_BREAKER_SECONDS", 1, 3_600),
    "deliveries_kept_days": Range("HUBGATE_DELIVERIES_KEPT_DAYS", 30, 3_650),
}
"""By the name of the bound."""

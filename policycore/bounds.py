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
}
"""By the name of the bound."""

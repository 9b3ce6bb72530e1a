"""Calendar periods of quotas, in an account's time zone, and whose share of them a message uses. Pure.

Days have 23 or 25 hours where clocks change, and months their own lengths: a period is named by its local
date, never by a count of seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from zoneinfo import ZoneInfo

from policycore.model import Intent, Source

LONGEST_KEY = 64
"""Characters of what a count is kept under."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The day and the month that hold a moment: their names (`2026-03-14`, `2026-03`) and when the next ones
    begin (UTC).
    """

    day: str
    month: str
    day_resets_at: datetime
    month_resets_at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """A caller's share of its account's quotas. `key` is what its messages are counted under, beside the account."""

    caller: str
    percent: int
    key: str

    def of(self, limit: int) -> int:
        """How much of a quota it is, in whole messages."""
        return limit * self.percent // 100


def share_of(intent: Intent, shares: Sequence[tuple[str, int]]) -> Share | None:
    """The share that a message of this caller uses: its own, or else that of the door it comes through, if the
    rules name one.
    """
    named = dict(shares)
    for caller in (_caller(intent), intent.source.value):
        if caller in named:
            return Share(caller, named[caller], _share_key(intent.account_id, caller))
    return None


def _caller(intent: Intent) -> str:
    """How rules name the caller itself."""
    if intent.source is Source.SERVICE:
        return f"service:{intent.caller}"
    return (intent.api_key_id if intent.source is Source.SEND_API else intent.integration_id) or ""


def _share_key(account_id: str, caller: str) -> str:
    key = f"{account_id}/{caller}"
    if len(key) <= LONGEST_KEY:
        return key
    return f"{account_id}/{sha256(caller.encode()).hexdigest()[:32]}"


def periods(now: datetime, zone: ZoneInfo) -> Periods:
    """The periods `now` (aware) lies in."""
    return _periods(int(now.timestamp() // 1), zone)


@lru_cache(maxsize=4_096)
def _periods(second: int, zone: ZoneInfo) -> Periods:
    """The periods of a whole second of the epoch: clocks change, and days begin, at whole seconds only."""
    local = datetime.fromtimestamp(second, zone)
    tomorrow = local.date() + timedelta(days=1)
    next_month = (local.date().replace(day=1) + timedelta(days=32)).replace(day=1)
    return Periods(
        day=local.strftime("%Y-%m-%d"),
        month=local.strftime("%Y-%m"),
        day_resets_at=datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).astimezone(UTC),
        month_resets_at=datetime(next_month.year, next_month.month, 1, tzinfo=zone).astimezone(UTC),
    )

"""Calendar periods of quotas, in an account's time zone. Pure.

Days have 23 or 25 hours where clocks change, and months their own lengths: a period is named by its local
date, never by a count of seconds.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Periods:
    """The day and the month that hold a moment: their names (`2026-03-14`, `2026-03`) and when the next ones
    begin (UTC).
    """

    day: str
    month: str
    day_resets_at: datetime
    month_resets_at: datetime


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

"""The time that a whole world lives in: this machine's, or a shifted one, so that a border can be crossed at will."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

BEFORE_SECONDS = 20.0
"""So long before a border a shifted world is begun: its company works before it even if the machine is busy."""

_OFFSET_SQL = """
CREATE SCHEMA shifted;
CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
  AS 'SELECT pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => {seconds})';
CREATE FUNCTION shifted.now() RETURNS timestamptz LANGUAGE sql STABLE
  AS 'SELECT pg_catalog.now() + pg_catalog.make_interval(secs => {seconds})';
GRANT USAGE ON SCHEMA shifted TO PUBLIC;
"""
_PATH_SQL = 'ALTER DATABASE "{database}" SET search_path = shifted, pg_catalog, public'


class Clock:
    """`now` in seconds of a world that is `shift_seconds` ahead."""

    def __init__(self, shift_seconds: float = 0.0) -> None:
        self.shift_seconds = shift_seconds

    def now(self) -> float:
        """Seconds since 1970, there."""
        return time.time() + self.shift_seconds


def shift_statements(database: str, seconds: float) -> tuple[str, str]:
    """What gives every later connection to a database a clock that is so far ahead."""
    return _OFFSET_SQL.format(seconds=repr(seconds)), _PATH_SQL.format(database=database)


Border = Callable[[datetime], datetime]
"""The next border after a moment (UTC)."""


def end_of_month(now: datetime) -> datetime:
    """The next first of a month in Riyadh."""
    local = now.astimezone(ZoneInfo("Asia/Riyadh"))
    first = (local.replace(day=1) + timedelta(days=32)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    return first.astimezone(UTC)


def change_of_clocks(now: datetime) -> datetime:
    """The next time that clocks change in New York."""
    zone = ZoneInfo("America/New_York")
    hour = now.replace(minute=0, second=0, microsecond=0)
    for _ in range(24 * 366):
        after = hour + timedelta(hours=1)
        if hour.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            return after
        hour = after
    raise ValueError("clocks change twice a year in New York")


def end_of_the_odd_day(now: datetime) -> datetime:
    """The midnight in New York that ends the day of 23 or 25 hours on which clocks change."""
    zone = ZoneInfo("America/New_York")
    day = change_of_clocks(now).astimezone(zone).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)

"""Calendar days and months: named by the local date, 23 and 25 hours long where clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policycore.fair_use import periods

_ZONES = ["UTC", "Asia/Riyadh", "Africa/Cairo", "America/Havana", "Pacific/Auckland", "America/St_Johns"]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Africa/Cairo", date(2026, 4, 24), 23),
        ("Africa/Cairo", date(2026, 10, 29), 25),
        ("America/Havana", date(2026, 3, 8), 23),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(zone: str, day: date, hours: float) -> None:
    place = ZoneInfo(zone)
    noon = datetime.combine(day, time(12), place)
    today = periods(noon.astimezone(UTC), place)
    yesterday = periods((noon - timedelta(days=1)).astimezone(UTC), place)
    assert today.day == day.isoformat()
    assert today.day_resets_at - yesterday.day_resets_at == timedelta(hours=hours)


@given(
    st.integers(1_600_000_000, 2_100_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    st.sampled_from(_ZONES),
)
def test_a_period_ends_where_the_next_one_begins(now: datetime, zone: str) -> None:
    place = ZoneInfo(zone)
    found = periods(now, place)
    assert found.day.startswith(found.month)
    for end, name in ((found.day_resets_at, "day"), (found.month_resets_at, "month")):
        assert end > now
        before, after = periods(end - timedelta(microseconds=1), place), periods(end, place)
        assert getattr(before, name) == getattr(found, name) != getattr(after, name)

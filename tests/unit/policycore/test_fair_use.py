"""Calendar days and months: named by the local date, 23 and 25 hours long where clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policycore.fair_use import LONGEST_KEY, Share, periods, share_of
from policycore.model import EventType, Intent, Source

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


SHARES = (("threecx", 80), ("service", 30), ("int_2", 15), ("service:billing", 10))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"integration_id": "int_1"}, ("threecx", 80)),
        ({"integration_id": "int_2"}, ("int_2", 15)),
        ({"source": Source.SERVICE, "caller": "billing"}, ("service:billing", 10)),
        ({"source": Source.SERVICE, "caller": "int_2"}, ("service", 30)),
        ({"source": Source.SEND_API, "api_key_id": "key_1"}, None),
    ],
)
def test_a_caller_uses_its_own_share_or_its_doors(
    changes: dict[str, Any], expected: tuple[str, int] | None
) -> None:
    intent = replace(Intent("acc_1", Source.THREECX, "edge", EventType.OUTBOUND_MESSAGE), **changes)
    share = share_of(intent, SHARES)
    assert (share and (share.caller, share.percent)) == expected
    if share is not None:
        assert share.key == f"acc_1/{share.caller}"


def test_a_share_is_whole_messages_and_never_more_than_its_part() -> None:
    assert [Share("x", 33, "k").of(limit) for limit in (0, 1, 3, 100)] == [0, 0, 0, 33]
    assert Share("x", 100, "k").of(7) == 7


def test_what_a_long_name_is_counted_under_fits_and_differs() -> None:
    names = ["service:" + "n" * 150 + end for end in "ab"]
    shares = [
        share_of(Intent("acc_" + "a" * 20, Source.SERVICE, name[8:], EventType.OUTBOUND_MESSAGE), [(name, 1)])
        for name in names
    ]
    keys = {share.key for share in shares if share}
    assert len(keys) == 2
    assert all(len(key) <= LONGEST_KEY for key in keys)

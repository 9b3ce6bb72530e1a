"""Moments as text: the short way writes what `isoformat` writes."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policycore.model import iso, iso_seconds

ZONES = st.sampled_from(
    [None, UTC, UTC, ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata"), timezone(timedelta(seconds=-3661))]
)


@given(st.datetimes(timezones=ZONES))
def test_moments_are_written_as_isoformat_writes_them(moment: datetime) -> None:
    assert iso(moment) == moment.isoformat()
    assert iso_seconds(moment) == moment.isoformat(timespec="seconds")


@pytest.mark.parametrize("microsecond", [0, 1, 10, 123_400, 999_999])
def test_fractions_of_a_second(microsecond: int) -> None:
    moment = datetime(2026, 5, 8, 9, 0, 0, microsecond, tzinfo=UTC)
    assert iso(moment) == moment.isoformat()
    assert iso_seconds(moment) == "2026-05-08T09:00:00+00:00"

"""Dates in a PBX's culture: understood where one meaning is likely, left alone otherwise."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.webhooks.threecx.pbx_dates import AHEAD, REPORTED_WITHIN, read_moment

START = datetime(2026, 1, 15, 9, 30, 12, tzinfo=UTC)
RECEIVED = (START + timedelta(minutes=3)).timestamp()


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-15T09:30:12Z",
        "2026-01-15T09:30:12.4567Z",
        "2026-01-15 09:30:12",
        "2026-01-15T12:30:12+03:00",
        "2026-01-15T04:30:12-0500",
        "2026-01-15T09.30.12Z",
        "2026/01/15 09:30:12",
        "01/15/2026 09:30:12",
        "1/15/2026 9:30:12 AM",
        "15/01/2026 09:30:12",
        "15.01.2026 09:30:12",
        "15-01-2026 9:30:12",
        "15/01/26 09:30:12",
        "15/01/2026, 09:30:12",
        "15/01/2026 09:30:12 \u0635",
        "\u0661\u0665\u200f/\u0660\u0661\u200f/\u0662\u0660\u0662\u0666 \u0660\u0669:\u0663\u0660:\u0661\u0662 \u0635",
        "  15/01/2026\u00a009:30:12  ",
        "15/01/2026 09:30:12 a.m.",
        "1768469412",
        "1768469412000",
    ],
)
def test_what_is_meant_is_understood(written: str) -> None:
    assert read_moment(written, RECEIVED) == START.timestamp()


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[CallStartTimeUTC]",
        '[01/15/2026 09:30:12].ToString("yyyy-MM-ddTHH:mm:ssZ")',
        "26/07/1447 09:30:12",
        "1447-07-26T09:30:12Z",
        "26/07/47 09:30:12 \u0635",
        "15/01/2569 09:30:12",
        "1404/10/25 09:30:12",
        "31/02/2026 09:30:12",
        "15/01/2026",
        "15/01/2026 25:30:12",
        "15/01/2026 13:30:12 PM",
        "15/01/2026 0:30:12 AM",
        "15/01-2026 09:30:12",
        "2026-01-15T09:30:12+99:00",
        "2026-01-15T12:30:12Z",
        "2025-01-15T09:30:12Z",
        "Thursday, 15 January 2026 09:30:12",
        "9999-99-99T99:99:99Z",
        "0000-01-15T09:30:12Z",
        "17684694120000",
        "2026-01-15T09:30:12Z" + " " * 60,
        "\u0661" * 64,
        "x" * 10_000,
    ],
)
def test_what_is_no_likely_date_means_nothing(written: str) -> None:
    assert read_moment(written, RECEIVED) is None


@given(st.integers(1_600_000_000, 3_800_000_000), st.integers(0, 7 * 86_400 - 1))
def test_day_and_month_are_never_taken_for_one_another(start: int, later: int) -> None:
    moment = datetime.fromtimestamp(start, UTC)
    received = moment.timestamp() + later
    for pattern in ("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d.%m.%y %H:%M:%S"):
        assert read_moment(moment.strftime(pattern), received) in (moment.timestamp(), None)
    assert read_moment(moment.strftime("%d/%m/%Y %H:%M:%S"), received) == moment.timestamp()


@given(st.text(max_size=70))
def test_anything_may_be_written(written: str) -> None:
    moment = read_moment(written, RECEIVED)
    assert moment is None or -REPORTED_WITHIN.total_seconds() <= moment - RECEIVED <= AHEAD.total_seconds()

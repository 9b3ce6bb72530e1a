"""`Retry-After` in every form, bounded."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.retry import LONGEST_WAIT_SECONDS, retry_after_seconds

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        (" 30 ", 30.0),
        ("86401", LONGEST_WAIT_SECONDS),
        ("9" * 400, LONGEST_WAIT_SECONDS),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        ("tomorrow", None),
        ("Sun, 01 Mar 2026 12:00:10 GMT", 10.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2099 11:00:00 GMT", LONGEST_WAIT_SECONDS),
        ("Sun, 99 Mar 2026 11:00:00 GMT", None),
    ],
)
def test_values(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, NOW) == seconds


def test_without_the_header() -> None:
    assert retry_after_seconds({}, NOW) is None


def test_the_answers_own_date_stands_in_for_now() -> None:
    headers = {
        "date": format_datetime(NOW, usegmt=True),
        "retry-after": format_datetime(NOW + timedelta(minutes=2), usegmt=True),
    }
    assert retry_after_seconds(headers) == 120.0
    assert retry_after_seconds({"retry-after": headers["retry-after"]}) is None


@given(st.text(max_size=40))
def test_anything_is_read_without_an_error(value: str) -> None:
    found = retry_after_seconds({"retry-after": value, "date": value}, NOW)
    assert found is None or 0 <= found <= LONGEST_WAIT_SECONDS

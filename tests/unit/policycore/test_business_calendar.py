"""Business hours: open or closed at any moment, over midnight, with seasons and holidays, and when clocks change."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policycore.business_hours import (
    DAYS,
    Calendar,
    Closure,
    closure_at,
    opened_on,
    read_calendar,
)
from policycore.errors import Malformed

RIYADH, BERLIN = ZoneInfo("Asia/Riyadh"), ZoneInfo("Europe/Berlin")
OFFICE = [["09:00", "17:00"]]


def calendar(zone: str = "Asia/Riyadh", **parts: Any) -> Calendar:
    week = parts.pop("week", dict.fromkeys(DAYS[:3] + DAYS[6:], OFFICE))
    return read_calendar(json.dumps({"time_zone": zone, "week": week, **parts}))


def at(zone: ZoneInfo, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=zone)  # type: ignore[arg-type, misc]


def test_a_week() -> None:
    hours = calendar()
    assert closure_at(hours, at(RIYADH, 2026, 1, 12, 9, 0)) is None
    assert closure_at(hours, at(RIYADH, 2026, 1, 12, 16, 59)) is None
    night = Closure(at(RIYADH, 2026, 1, 12, 17, 0), at(RIYADH, 2026, 1, 13, 9, 0))
    assert closure_at(hours, at(RIYADH, 2026, 1, 12, 17, 0)) == night
    assert closure_at(hours, at(RIYADH, 2026, 1, 13, 8, 59)) == night
    weekend = closure_at(hours, at(RIYADH, 2026, 1, 16, 12, 0))
    assert weekend == Closure(at(RIYADH, 2026, 1, 14, 17, 0), at(RIYADH, 2026, 1, 18, 9, 0))
    assert weekend.name == "20260114T140000Z"


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    hours = calendar(
        week={"thursday": [["20:00", "02:00"]]}, holidays=[{"from": "2026-01-16", "name": "closed Friday"}]
    )
    assert closure_at(hours, at(RIYADH, 2026, 1, 16, 1, 59)) is None
    assert closure_at(hours, at(RIYADH, 2026, 1, 16, 2, 0)) is not None
    assert closure_at(hours, at(RIYADH, 2026, 1, 15, 1, 0)) is not None


def test_hours_that_touch_are_one_opening() -> None:
    hours = calendar(week={day: [["00:00", "24:00"]] for day in DAYS})
    assert closure_at(hours, at(RIYADH, 2026, 1, 12, 0, 0)) is None
    assert closure_at(hours, at(RIYADH, 2026, 1, 12, 23, 59)) is None


def test_ramadan_replaces_the_week_and_a_holiday_replaces_both() -> None:
    hours = calendar(
        seasons=[
            {
                "name": "Ramadan",
                "from": "2026-02-18",
                "to": "2026-03-19",
                "week": {day: [["21:00", "01:00"]] for day in DAYS},
            }
        ],
        holidays=[{"name": "Founding Day", "from": "2026-02-22", "to": "2026-02-22"}],
    )
    assert closure_at(hours, at(RIYADH, 2026, 2, 17, 10, 0)) is None
    assert closure_at(hours, at(RIYADH, 2026, 2, 18, 10, 0)) is not None
    assert closure_at(hours, at(RIYADH, 2026, 2, 19, 0, 30)) is None
    assert closure_at(hours, at(RIYADH, 2026, 2, 22, 0, 30)) is None
    assert closure_at(hours, at(RIYADH, 2026, 2, 22, 22, 0)) is not None
    assert closure_at(hours, at(RIYADH, 2026, 3, 20, 0, 30)) is None


def test_who_never_opens_is_always_closed() -> None:
    found = closure_at(calendar(week={}), at(RIYADH, 2026, 1, 12, 9, 0))
    assert found == Closure(None, None) and found is not None and found.name == "always"


def test_long_holidays_are_one_closure() -> None:
    hours = calendar(holidays=[{"from": "2026-06-01", "to": "2026-08-31"}])
    found = closure_at(hours, at(RIYADH, 2026, 7, 15, 12, 0))
    assert found == Closure(at(RIYADH, 2026, 5, 31, 17, 0), at(RIYADH, 2026, 9, 1, 9, 0))


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)]
)
def test_days_of_23_and_25_hours(day: date, hours: int) -> None:
    around = calendar("Europe/Berlin", week={name: [["00:00", "24:00"]] for name in DAYS})
    ((first, last),) = opened_on(around, day)
    assert last - first == timedelta(hours=hours)


def test_times_that_a_day_does_not_have_come_with_the_jump() -> None:
    jump = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    hours = calendar("Europe/Berlin", week={"sunday": [["00:00", "02:30"], ["02:30", "06:00"]]})
    assert opened_on(hours, date(2026, 3, 29)) == [
        (at(BERLIN, 2026, 3, 29, 0, 0), jump),
        (jump, at(BERLIN, 2026, 3, 29, 6, 0)),
    ]
    inside = calendar("Europe/Berlin", week={"sunday": [["02:10", "02:50"]]})
    assert opened_on(inside, date(2026, 3, 29)) == []


def test_an_hour_that_comes_twice_is_open_both_times() -> None:
    hours = calendar("Europe/Berlin", week={"sunday": [["02:00", "02:30"]]})
    ((first, last),) = opened_on(hours, date(2026, 10, 25))
    assert first == datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    assert last == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


_TIMES = st.integers(0, 1439).map(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}")
_WEEKS = st.dictionaries(
    st.sampled_from(DAYS), st.lists(st.tuples(_TIMES, _TIMES).map(list), max_size=3), max_size=7
)
_ZONES = st.sampled_from(
    ["Asia/Riyadh", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]
)
_DAYS_OF_2026 = st.integers(0, 364).map(lambda number: date(2026, 1, 1) + timedelta(days=number))
_HOLIDAYS = st.lists(
    st.tuples(_DAYS_OF_2026, st.integers(0, 30)).map(
        lambda found: {"from": found[0].isoformat(), "to": (found[0] + timedelta(days=found[1])).isoformat()}
    ),
    max_size=3,
)
_MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds


@settings(deadline=None, max_examples=300)
@given(zone=_ZONES, week=_WEEKS, holidays=_HOLIDAYS, moment=_MOMENTS)
def test_a_moment_is_open_or_lies_in_its_closure(
    zone: str, week: dict[str, Any], holidays: list[Any], moment: datetime
) -> None:
    """What every closure promises: it holds its moment, has one name, and its borders are borders."""
    hours = calendar(zone, week=week, holidays=holidays)
    found = closure_at(hours, moment)
    day = moment.astimezone(hours.zone).date()
    near = [span for distance in range(-3, 4) for span in opened_on(hours, day + timedelta(days=distance))]
    assert (found is None) == any(first <= moment < last for first, last in near)
    if found is None:
        return
    if found.began is not None:
        assert found.began <= moment
        again = closure_at(hours, found.began)
        assert again is not None and again.name == found.name
        assert closure_at(hours, found.began - timedelta(seconds=1)) is None
    if found.ends is not None:
        assert moment < found.ends
        assert closure_at(hours, found.ends) is None
        again = closure_at(hours, found.ends - timedelta(seconds=1))
        assert again is not None and again.name == found.name


@settings(deadline=None, max_examples=200)
@given(zone=_ZONES, week=_WEEKS, day=_DAYS_OF_2026)
def test_hours_last_as_long_as_they_say_but_for_changes_of_clocks(
    zone: str, week: dict[str, Any], day: date
) -> None:
    hours = calendar(zone, week=week)
    for first, last in opened_on(hours, day):
        wall = last.astimezone(hours.zone).replace(tzinfo=None) - first.astimezone(hours.zone).replace(
            tzinfo=None
        )
        assert timedelta(0) < last - first <= timedelta(hours=25)
        assert abs(wall - (last - first)) <= timedelta(hours=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"time_zone": "Mars/Olympus"}',
        '{"time_zone": 7}',
        '{"time_zone": "../etc/passwd"}',
        '{"time_zone": "UTC", "weeks": {}}',
        '{"time_zone": "UTC", "week": []}',
        '{"time_zone": "UTC", "week": {"funday": []}}',
        '{"time_zone": "UTC", "week": {"monday": [["9:00", "17:00"]]}}',
        '{"time_zone": "UTC", "week": {"monday": [["09:00", "24:01"]]}}',
        '{"time_zone": "UTC", "week": {"monday": [["24:00", "01:00"]]}}',
        '{"time_zone": "UTC", "week": {"monday": [["09:00"]]}}',
        '{"time_zone": "UTC", "week": {"monday": "09:00"}}',
        '{"time_zone": "UTC", "holidays": [{"from": "2026-02-30"}]}',
        '{"time_zone": "UTC", "holidays": [{"from": "2026-02-03", "to": "2026-02-02"}]}',
        '{"time_zone": "UTC", "holidays": [{"from": "9999-12-31"}]}',
        '{"time_zone": "UTC", "holidays": [{"from": "2026-02-03", "week": {}}]}',
        '{"time_zone": "UTC", "seasons": {}}',
        '{"time_zone": "UTC", "week": ' + "[" * 19_000,
        " " * 20_001,
    ],
)
def test_what_is_no_calendar_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Malformed, match=r"calendar: .+\."):
        read_calendar(text)

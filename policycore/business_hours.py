"""Business hours: a calendar as people write it, and whether a business is open at a moment.

Pure: the moment is an argument. A calendar's times are wall-clock times of one zone. A time that a day does not have
(clocks go forward) is the moment at which it would have come; one that a day has twice (clocks go back) is the first of
the two where hours begin, and the second where they end. Hours belong to the day on which they begin.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from policycore.errors import Malformed

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FIELD = "calendar"
LONGEST_CHARACTERS = 20_000
_MOST_SPANS = 10
_MOST_PERIODS = 400
_FARTHEST_DAYS = 400
"""How far openings are looked for: whoever is closed for longer is closed for good, as far as this goes."""

_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
_MIDNIGHT = 24 * 60
_SECOND = timedelta(seconds=1)

Span = tuple[int, int]
"""From and to, in minutes after midnight; `to` may lie in the next day, up to 48 hours after that midnight."""

Week = Mapping[int, tuple[Span, ...]]
"""Hours by day of the week, Monday 0. A day that is left out is closed."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days, the last one included, with a week of their own; a holiday's is empty."""

    first: date
    last: date
    week: Week = field(default_factory=dict)

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class Calendar:
    """Weekly hours, seasons that replace them (Ramadan), and holidays, which replace both."""

    zone: ZoneInfo
    week: Week
    seasons: tuple[Period, ...] = ()
    holidays: tuple[Period, ...] = ()


@dataclass(frozen=True, slots=True)
class Closure:
    """A time in which a business is closed. `began` and `ends` are None if that lies more than 400 days away."""

    began: datetime | None
    ends: datetime | None

    @property
    def name(self) -> str:
        """The same for every moment of it."""
        return "always" if self.began is None else self.began.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def closure_at(calendar: Calendar, moment: datetime) -> Closure | None:
    """The closure in which a moment lies; None if the business is open then."""
    began = ends = None
    for first, last in _opened_around(calendar, moment):
        if first <= moment < last:
            return None
        if last <= moment:
            began = last if began is None else max(began, last)
        else:
            ends = first if ends is None else min(ends, first)
    if began is None:
        began = next(_ends_before(calendar, moment), None)
    if ends is None:
        ends = next(_begins_after(calendar, moment), None)
    return Closure(began, ends)


def opens_or_closes_at(calendar: Calendar, moment: datetime) -> datetime | None:
    """When what is so at a moment ends; None if that lies more than 400 days away."""
    closure = closure_at(calendar, moment)
    if closure is not None:
        return closure.ends
    until = moment
    for _ in range(_FARTHEST_DAYS):
        last = max(
            (end for first, end in _opened_around(calendar, until) if first <= until < end), default=None
        )
        if last is None:
            return until
        until = last
    return None


def hours_on(calendar: Calendar, day: date) -> tuple[Span, ...]:
    """The hours that begin on a day."""
    if any(day in holiday for holiday in calendar.holidays):
        return ()
    week = next((season.week for season in calendar.seasons if day in season), calendar.week)
    return week.get(day.weekday(), ())


def opened_on(calendar: Calendar, day: date) -> list[tuple[datetime, datetime]]:
    """The hours that begin on a day, as moments in UTC; what a change of clocks leaves nothing of is left out."""
    found = []
    for begin, end in hours_on(calendar, day):
        first = _moment(calendar.zone, day, begin, fold=0)
        last = _moment(calendar.zone, day, end, fold=1)
        if first < last:
            found.append((first, last))
    return found


def _opened_around(calendar: Calendar, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Hours of the days near a moment: what reaches into it began the day before at the latest."""
    today = moment.astimezone(calendar.zone).date()
    for distance in (-2, -1, 0, 1, 2):
        yield from opened_on(calendar, today + timedelta(days=distance))


def _ends_before(calendar: Calendar, moment: datetime) -> Iterator[datetime]:
    today = moment.astimezone(calendar.zone).date()
    for distance in range(2, _FARTHEST_DAYS):
        ends = [last for _, last in opened_on(calendar, today - timedelta(days=distance)) if last <= moment]
        if ends:
            # Hours of the day before it may reach beyond these.
            before = opened_on(calendar, today - timedelta(days=distance + 1))
            yield max([*ends, *(last for _, last in before if last <= moment)])
            return


def _begins_after(calendar: Calendar, moment: datetime) -> Iterator[datetime]:
    today = moment.astimezone(calendar.zone).date()
    for distance in range(2, _FARTHEST_DAYS):
        begins = [
            first for first, _ in opened_on(calendar, today + timedelta(days=distance)) if first > moment
        ]
        if begins:
            yield min(begins)
            return


def _moment(zone: ZoneInfo, day: date, minutes: int, *, fold: int) -> datetime:
    """The moment of a wall-clock time."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
    early, late = (wall.replace(tzinfo=zone, fold=each).astimezone(UTC) for each in (0, 1))
    if early <= late:
        return late if fold else early
    # The clocks jumped over it: between the two readings lies the jump.
    low, high = late, early
    offset = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


# --- reading what people wrote


def read_calendar(text: str) -> Calendar:
    """A calendar from JSON. Errors: `Malformed`, with a sentence that says where and what.

    `{"time_zone": "Asia/Riyadh", "week": {"sunday": [["09:00", "17:00"]], …}, "seasons": [{"name": "Ramadan", "from":
    "2026-02-18", "to": "2026-03-19", "week": {…}}], "holidays": [{"from": "2026-09-23", "to": "2026-09-23"}]}`
    """
    if len(text) > LONGEST_CHARACTERS:
        _wrong(f"may have at most {LONGEST_CHARACTERS} characters.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        _wrong("is not JSON.")
    body = _object(found, "the calendar", {"time_zone", "week", "seasons", "holidays"})
    return Calendar(
        _zone(body.get("time_zone")),
        _week(body.get("week", {}), "week"),
        _periods(body.get("seasons", []), "seasons"),
        _periods(body.get("holidays", []), "holidays"),
    )


def _wrong(explanation: str) -> NoReturn:
    raise Malformed(FIELD, explanation)


def _object(found: Any, place: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(found, dict):
        _wrong(f"{place} must be an object.")
    for name in found:
        if name not in known:
            _wrong(f"{place} has no {str(name)[:32]!r}; there are {', '.join(sorted(known))}.")
    return found


def _zone(found: Any) -> ZoneInfo:
    try:
        return ZoneInfo(found)
    except (ValueError, OSError, KeyError, TypeError, AttributeError):
        _wrong("time_zone must be an IANA time zone such as Asia/Riyadh.")


def _week(found: Any, place: str) -> Week:
    days = _object(found, place, set(DAYS))
    return {
        DAYS.index(name): tuple(
            _span(each, f"{place}.{name}") for each in _list(spans, f"{place}.{name}", _MOST_SPANS)
        )
        for name, spans in days.items()
    }


def _list(found: Any, place: str, most: int) -> list[Any]:
    if not isinstance(found, list) or len(found) > most:
        _wrong(f"{place} must be a list of at most {most}.")
    return found


def _span(found: Any, place: str) -> Span:
    if not isinstance(found, list) or len(found) != 2:
        _wrong(f'{place} must hold pairs such as ["09:00", "17:00"].')
    begin, end = (_minutes(each, place) for each in found)
    if begin == _MIDNIGHT:
        _wrong(f"{place}: hours cannot begin at 24:00.")
    # An end that is no later than the beginning lies in the next day.
    return begin, end if end > begin else end + _MIDNIGHT


def _minutes(found: Any, place: str) -> int:
    match = _TIME.fullmatch(found) if isinstance(found, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else _MIDNIGHT + 1
    if minutes > _MIDNIGHT:
        _wrong(f"{place}: times are written as 00:00 to 24:00.")
    return minutes


def _periods(found: Any, place: str) -> tuple[Period, ...]:
    return tuple(
        _period(each, f"{place}[{number}]", place)
        for number, each in enumerate(_list(found, place, _MOST_PERIODS))
    )


def _period(found: Any, place: str, kind: str) -> Period:
    body = _object(found, place, {"name", "from", "to"} | ({"week"} if kind == "seasons" else set()))
    first, last = _day(body.get("from"), place), _day(body.get("to", body.get("from")), place)
    if last < first:
        _wrong(f"{place} ends before it begins.")
    return Period(first, last, _week(body.get("week", {}), f"{place}.week"))


def _day(found: Any, place: str) -> date:
    try:
        day = date.fromisoformat(found)
    except (ValueError, TypeError):
        _wrong(f"{place}: from and to are days such as 2026-09-23.")
    if not 2000 <= day.year <= 2200:
        _wrong(f"{place}: {day.isoformat()} is out of all bounds.")
    return day

"""Dates as a phone system writes them, in whatever culture it was installed with: understood or left alone.

Pure. `[CallStartTimeUTC]` of a CRM template is written in the PBX's own culture unless the template formats it, and
the formatting may fail, too (order of day and month, 12 hours, Arabic digits and calendars). A report comes soon after
its call, so of all readings of a date those count that lie shortly before the receipt. If that is exactly one, it is
meant; otherwise nobody guesses.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

REPORTED_WITHIN: Final = timedelta(days=7)
"""How long after its beginning a call or chat is reported. Day and month taken for one another are further apart."""

AHEAD: Final = timedelta(minutes=5)
"""How far the PBX's clock may be ahead of ours."""

TEXT_LIMIT: Final = 64

_DATE_AND_TIME: Final = re.compile(
    r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})"
    r"(?:T| )(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,]\d{1,9})?)?"
    r" ?(AM|PM)?"
    r" ?(Z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_EPOCH: Final = re.compile(r"(\d{10})(\d{3})?", re.ASCII)
_SPACE: Final = re.compile(r"[\s,\u060c]+")
_HALVES: Final = {"\u0635": "AM", "\u0645": "PM", "A.M.": "AM", "P.M.": "PM"}
"""Designators of the halves of a day, as cultures write them; Arabic: sad for before noon, mim for after."""


def read_moment(written: str, received_at: float) -> float | None:
    """Unix seconds of a date and time that has one meaning; UTC if it names no zone. None if it has none or several.

    `received_at` in Unix seconds. Years of other calendars (1447, 2569, 1404) lie far from it, and so mean nothing.
    """
    text = _plain(written)
    readings = {moment for moment in _readings(text) if _is_likely(moment, received_at)}
    return readings.pop() if len(readings) == 1 else None


def _plain(written: str) -> str:
    """In ASCII digits and single spaces, without marks of direction, upper case. Empty if it is too long for a date."""
    if len(written) > TEXT_LIMIT:
        return ""
    letters: list[str] = []
    for letter in written:
        digit = unicodedata.decimal(letter, None)
        if digit is not None:
            letters.append(str(digit))
        elif unicodedata.category(letter) != "Cf":
            letters.append(letter)
    text = _SPACE.sub(" ", "".join(letters)).strip().upper()
    for name, half in _HALVES.items():
        text = text.replace(name, half)
    return text


def _readings(text: str) -> list[float]:
    """Every instant the text can stand for."""
    if found := _EPOCH.fullmatch(text):
        return [float(found[1]) + int(found[2] or 0) / 1000]
    found = _DATE_AND_TIME.fullmatch(text)
    if found is None:
        return []
    first, _, second, third, hour, minute, seconds, half, zone = found.groups()
    hours = _hours(int(hour), half)
    if hours is None:
        return []
    time = (hours, int(minute), int(seconds or 0))
    orders = ((first, second, third), (third, second, first), (third, first, second))
    return [moment for order in orders if (moment := _instant(order, time, zone)) is not None]


def _hours(written: int, half: str | None) -> int | None:
    """Hours of the day; None for an hour that its half does not have."""
    if half is None:
        return written
    if not 1 <= written <= 12:
        return None
    return written % 12 + (12 if half == "PM" else 0)


def _instant(date: tuple[str, str, str], time: tuple[int, int, int], zone: str | None) -> float | None:
    """The instant of (year, month, day) as written; None if there is no such day or time."""
    year, month, day = date
    if len(year) not in (2, 4) or len(month) > 2 or len(day) > 2:
        return None
    full_year = int(year) + (2000 if len(year) == 2 else 0)
    try:
        return datetime(full_year, int(month), int(day), *time, tzinfo=_zone(zone)).timestamp()
    except (ValueError, OverflowError):
        return None


def _zone(written: str | None) -> timezone:
    """Raises ValueError for an offset of a day or more."""
    if written is None or written[0] not in "+-":
        return UTC
    digits = written[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(offset if written[0] == "+" else -offset)


def _is_likely(moment: float, received_at: float) -> bool:
    return -REPORTED_WITHIN.total_seconds() <= moment - received_at <= AHEAD.total_seconds()

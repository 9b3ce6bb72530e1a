"""Reading of JSON that nobody vouches for: every accessor takes what is there, or says that nothing is.

Pure. No accessor raises; a field of the wrong type counts as absent.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate

from edge.webhooks.whatsapp.model import NotJson

Json = Mapping[str, object]

MAX_DEPTH = 200
"""Deeper nesting is refused: no back end needs it, and some readers of JSON do not survive it."""

MAX_TEXT_CHARACTERS = 65_536
"""WhatsApp's own limit for one text; what is longer is cut."""

MAX_NAME_CHARACTERS = 256
MAX_URL_CHARACTERS = 4_096
MAX_ID_CHARACTERS = 256
MAX_KEY_CHARACTERS = 200

NOTHING: Json = {}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 1e11  # a larger number is milliseconds that came where seconds were due
_INTEGER_DIGITS = 20
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")
_DECIMAL = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,9})?")


def decode(raw: bytes) -> object:
    """Decode a body. NaN and infinities become None, a repeated key keeps its last value.

    Raises NotJson if the body is not UTF-8, is not JSON, or is nested more than `MAX_DEPTH` levels deep.
    """
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotJson("The body is not UTF-8.") from None
    _refuse_deep_nesting(raw)
    try:
        return _decode_with_long_numbers(content)
    except (json.JSONDecodeError, RecursionError):
        # Without its cause: that one quotes the body.
        raise NotJson("The body is not valid JSON.") from None


def _decode_with_long_numbers(content: str) -> object:
    try:
        return _DECODER.decode(content)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python converts no integer of more than 4,300 digits; without that integer the body is still good.
        return _LENIENT_DECODER.decode(content)


def _no_number(_: str) -> None:
    return None


def _short_integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else None


_DECODER = json.JSONDecoder(parse_constant=_no_number)
_LENIENT_DECODER = json.JSONDecoder(parse_constant=_no_number, parse_int=_short_integer)


def _refuse_deep_nesting(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS)
    depth = 0
    for start in range(0, len(brackets), 65_536):
        levels = list(accumulate(map(_STEP.__getitem__, brackets[start : start + 65_536]), initial=depth))
        if max(levels) > MAX_DEPTH:
            raise NotJson(f"The body is nested more than {MAX_DEPTH} levels deep.")
        depth = levels[-1]


def as_object(value: object) -> Json:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else NOTHING


def child(parent: Json, *names: str) -> Json:
    """The first of the named fields that is a non-empty object, else an empty one."""
    for name in names:
        value = parent.get(name)
        if isinstance(value, dict) and value:
            return value
    return NOTHING


def elements(parent: Json, name: str) -> list[object]:
    """The named list; a single value counts as a list of one, and null or nothing as an empty one."""
    value = parent.get(name)
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def clean(value: str, limit: int) -> str:
    """Cut to `limit` characters; replace what neither UTF-8 nor a database can hold."""
    return _UNSTORABLE.sub("\ufffd", value[:limit])


def text(parent: Json, *names: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """The first of the named fields that is a non-empty string, cleaned; else an empty one."""
    for name in names:
        value = parent.get(name)
        if isinstance(value, str) and value:
            return clean(value, limit)
    return ""


def name(parent: Json, *names: str) -> str:
    """As `text`, on one line and stripped: for names, titles and the like."""
    return " ".join(text(parent, *names, limit=MAX_NAME_CHARACTERS).split())


def url(parent: Json, *names: str) -> str:
    """The first of the named fields that is an http address.

    Half an address is none, so long ones are left out.
    """
    for field_name in names:
        value = parent.get(field_name)
        if (
            isinstance(value, str)
            and value.startswith(("http://", "https://"))
            and len(value) <= MAX_URL_CHARACTERS
        ):
            return clean(value, MAX_URL_CHARACTERS)
    return ""


def identifier(parent: Json, *names: str) -> str:
    """The first of the named fields that can be an id.

    Printable, no longer than 256 characters; numbers count.
    """
    for field_name in names:
        value = parent.get(field_name)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_INTEGER_DIGITS:
            return str(value)
        if isinstance(value, str):
            candidate = value.strip()
            if candidate and len(candidate) <= MAX_ID_CHARACTERS and candidate.isprintable():
                return candidate
    return ""


def flag(parent: Json, *names: str) -> bool:
    """True if one of the named fields is true, or the word in a string."""
    values = [parent.get(field_name) for field_name in names]
    return any(value is True or (isinstance(value, str) and value.lower() == "true") for value in values)


def number(value: object) -> int | float | None:
    """A finite number.

    As such, as decimal digits in a string, or as a 64-bit integer in two halves (`low`, `high`).
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**_INTEGER_DIGITS else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        found = _DECIMAL.fullmatch(value.strip())
        return None if found is None else float(value) if "." in value else int(value)
    if isinstance(value, dict):
        low, high = value.get("low"), value.get("high")
        if type(low) is int and type(high) is int and abs(low) < 2**32 and abs(high) < 2**32:
            return (high << 32) + (low & 0xFFFFFFFF)
    return None


def moment(value: object) -> datetime | None:
    """Unix seconds, or milliseconds if the number is too large for seconds, in any form `number` takes."""
    seconds = number(value)
    if seconds is None or seconds <= 0:
        return None
    milliseconds = seconds if seconds >= _LAST_SECOND else seconds * 1000
    if milliseconds >= _LAST_SECOND * 1000:
        return None
    return _EPOCH + timedelta(milliseconds=round(milliseconds))


def iso_moment(value: object) -> datetime | None:
    """A date and time as ISO 8601 with its offset.

    None without one, since it could be anybody's local time.
    """
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def event_key(*parts: str) -> str:
    """Join the parts to a key for de-duplication; a long one is replaced by its kind and a digest."""
    key = ":".join(parts)
    return key if len(key) <= MAX_KEY_CHARACTERS else f"{parts[0]}:{digest(key)}"


def receipt_key(message_id: str, kind: str, participant: str) -> str:
    """Key of a receipt. In a group there is one for every participant, who is not named in it."""
    return event_key("receipt", message_id, kind, *([digest(participant)[:16]] if participant else []))


def digest(value: object) -> str:
    """A short stable fingerprint of anything JSON can hold; equal values have equal ones."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return sha256(canonical.encode("ascii")).hexdigest()[:32]

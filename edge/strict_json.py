"""The one JSON reader for bodies from outside: strict UTF-8, one object, no duplicate keys, nesting of at
most 32.

Pure. Numbers are kept as they were written (`JsonNumber`), so that a phone written as a number loses no
digit.
"""

import json
from collections.abc import Iterable
from typing import Final, NoReturn

from edge.errors import InvalidJsonError

NESTING_LIMIT: Final = 32
"""Deepest nesting of objects and arrays that is read; the outermost object counts as 1."""

_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = " \t\r\n"


class JsonNumber(str):
    """A JSON number, as text exactly as the caller wrote it."""

    __slots__ = ()


JsonValue = None | bool | str | list["JsonValue"] | dict[str, "JsonValue"]
"""What a value can be; numbers are `JsonNumber`, a kind of `str`."""

Container = list[JsonValue] | dict[str, JsonValue]


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidJsonError("The body repeats a key in one object.")
    return made


def _constant(name: str) -> NoReturn:
    raise InvalidJsonError(f"The body holds {name}, which is not JSON.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=_constant
)


def read_object(raw: bytes) -> dict[str, JsonValue]:
    """Reads one JSON object. A leading UTF-8 byte order mark is skipped, as RFC 8259 section 8.1 permits.

    Raises InvalidJsonError with one sentence about what is wrong, without any of the body's content.
    """
    try:
        text = raw.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJsonError("The body is not valid UTF-8.") from error
    text = text.strip(_BLANKS)
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError as error:
        raise InvalidJsonError(_TOO_DEEP) from error
    except ValueError as error:
        raise InvalidJsonError("The body is not valid JSON.") from error
    if end != len(text):
        raise InvalidJsonError("The body continues after its JSON value.")
    if not isinstance(value, dict):
        raise InvalidJsonError("The body is JSON, but not an object.")
    # Counting brackets is a cheap upper bound; only a body with many of them is walked.
    if text.count("{") + text.count("[") > NESTING_LIMIT:
        _check_nesting(value)
    return value


_TOO_DEEP: Final = f"The body is nested deeper than {NESTING_LIMIT} levels."


def _check_nesting(root: dict[str, JsonValue]) -> None:
    """Walks level by level, so that no nesting can exhaust the stack."""
    level: list[Container] = [root]
    for _ in range(NESTING_LIMIT):
        below: list[Container] = []
        for container in level:
            children: Iterable[JsonValue] = container.values() if isinstance(container, dict) else container
            below.extend(child for child in children if isinstance(child, dict | list))
        if not below:
            return
        level = below
    raise InvalidJsonError(_TOO_DEEP)


def check_storable(text: str, name: str) -> str:
    """Returns `text` if it can travel and be stored; half a surrogate pair and NUL cannot.

    Raises InvalidJsonError with a sentence naming the field.
    """
    if text.isascii():
        if "\x00" in text:
            raise InvalidJsonError(f"The field {name} holds a NUL character.")
        return text
    if "\x00" in text:
        raise InvalidJsonError(f"The field {name} holds a NUL character.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidJsonError(f"The field {name} holds half of a surrogate pair.") from error
    return text

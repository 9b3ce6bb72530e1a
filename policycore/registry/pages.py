"""Owns lists in pages: a page continues after the last row's key, so nothing is counted nor skipped. Pure."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from policycore.errors import Malformed

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
_MAX_TOKEN_CHARACTERS = 1000

Row = TypeVar("Row")
Key = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: at most `size` rows after the row with the key `after`, or from the beginning."""

    size: int = DEFAULT_PAGE_SIZE
    after: Key | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page. `next_token` is empty on the last one."""

    rows: tuple[Row, ...]
    next_token: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows of a list: by column.

    `equal` values must match, `among` values be one of those given, `absent` columns hold nothing, and
    `after` columns hold nothing or a later moment.
    """

    equal: Mapping[str, object] = field(default_factory=dict)
    among: Mapping[str, frozenset[str]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    after: Mapping[str, datetime] = field(default_factory=dict)


def page_request(size: int, token: str, key_types: tuple[type, ...]) -> PageRequest:
    """The page a caller asks for. `key_types` are the types of the list's key.

    Errors: `Malformed` if the size is out of bounds or the token is not one of this list's.
    """
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise Malformed("page_size", f"must lie between 0 and {MAX_PAGE_SIZE}, and is {size}.")
    return PageRequest(size or DEFAULT_PAGE_SIZE, _read_token(token, key_types) if token else None)


def write_token(key: Key) -> str:
    """The token that continues after `key`."""
    return urlsafe_b64encode(json.dumps(key).encode("utf-8")).decode("ascii").rstrip("=")


def _read_token(token: str, key_types: tuple[type, ...]) -> Key:
    problem = Malformed("page_token", "is not a token that this list gave out.")
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise problem
    try:
        key = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, RecursionError):
        raise problem from None
    if not isinstance(key, list) or tuple(type(part) for part in key) != key_types:
        raise problem
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in key):
        raise problem
    return tuple(key)

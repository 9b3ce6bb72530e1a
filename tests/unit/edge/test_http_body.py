"""Reading a request's body: limits, patience, and callers that hang up."""

import asyncio
from typing import Any

import pytest

from edge import http
from edge.errors import BodyIncompleteError, BodyTooLargeError
from edge.http import DISCARD_LIMIT, HttpRequest


class Caller:
    """Plays the sending side of a connection."""

    def __init__(self, *chunks: bytes | None) -> None:
        self._chunks = list(chunks)
        self.taken = 0

    async def receive(self) -> dict[str, Any]:
        if not self._chunks:
            await asyncio.Event().wait()
        chunk = self._chunks.pop(0)
        if chunk is None:
            return {"type": "http.disconnect"}
        self.taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}


def request(caller: Caller, *headers: tuple[str, str]) -> HttpRequest:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    scope = {
        "headers": raw,
        "method": "POST",
        "path": "/",
        "client": ("192.0.2.1", 1),
        "query_string": b"a=1&a=2&b=",
    }
    return HttpRequest(scope, caller.receive)


async def test_chunks_become_one_body() -> None:
    assert await request(Caller(b"ab", b"cd", b"")).body(4, 5) == b"abcd"
    assert await request(Caller(b"")).body(4, 5) == b""


async def test_the_limit_holds_while_reading() -> None:
    caller = Caller(b"ab", b"cde", b"fgh", b"")
    with pytest.raises(BodyTooLargeError):
        await request(caller).body(4, 5)
    assert caller.taken == 8, "the rest is thrown away, so that the caller gets to read the answer"


async def test_no_more_than_a_bound_is_thrown_away() -> None:
    caller = Caller(*[b"x" * (1024 * 1024)] * 20)
    with pytest.raises(BodyTooLargeError):
        await request(caller).body(4, 5)
    assert caller.taken <= DISCARD_LIMIT + 2 * 1024 * 1024


async def test_a_declared_length_over_the_limit_is_believed() -> None:
    with pytest.raises(BodyTooLargeError):
        await request(Caller(b"a", b""), ("content-length", "5")).body(4, 5)


async def test_a_caller_that_waits_for_leave_is_not_given_it() -> None:
    caller = Caller(b"aaaaa", b"")
    with pytest.raises(BodyTooLargeError):
        await request(caller, ("content-length", "5"), ("expect", "100-continue")).body(4, 5)
    assert caller.taken == 0


async def test_a_slow_caller_and_one_that_hangs_up() -> None:
    with pytest.raises(BodyIncompleteError, match="in time"):
        await request(Caller(b"a")).body(4, 0.05)
    with pytest.raises(BodyIncompleteError, match="whole"):
        await request(Caller(b"a", None)).body(4, 5)


async def test_throwing_away_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DISCARD_SECONDS", 0.05)
    with pytest.raises(BodyTooLargeError):
        await request(Caller(b"abcde")).body(4, 5)


def test_headers_query_and_token() -> None:
    made = request(
        Caller(), ("x-forwarded-for", "a"), ("x-forwarded-for", "b"), ("authorization", "bearer  t ")
    )
    assert made.headers["x-forwarded-for"] == "a, b"
    assert made.query() == {"a": "1", "b": ""}
    assert made.bearer() == "t"
    assert request(Caller(), ("authorization", "Basic t")).bearer() is None
    assert request(Caller()).bearer() is None


@pytest.mark.parametrize(
    ("headers", "closes"),
    [
        ((), False),
        ((("content-length", "65536"),), False),
        ((("content-length", "65537"),), True),
        ((("content-length", "9" * 30),), False),
        ((("transfer-encoding", "chunked"),), True),
    ],
)
def test_when_an_early_answer_closes_the_connection(
    headers: tuple[tuple[str, str], ...], closes: bool
) -> None:
    assert request(Caller(), *headers).has_body_to_close_on() is closes

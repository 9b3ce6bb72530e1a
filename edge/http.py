"""One HTTP request as the edge's routes see it, and reading its body within limits while it arrives."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

from edge.answers import HttpAnswer
from edge.errors import BodyIncompleteError, BodyTooLargeError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

DISCARD_LIMIT: Final = 4 * 1024 * 1024
"""Bytes past the limit that are read and thrown away, so that an honest caller gets to see the 413."""
DISCARD_SECONDS: Final = 3.0
KEEP_OPEN_LIMIT: Final = 65_536
"""A declared body up to this size may arrive after a refusal; with a larger or undeclared one the
connection closes.
"""

EXCHANGE: Final = "hubgate.exchange"
"""The ASGI extension under which a server offers to make an `Exchange` from a request's `send`."""

QUERY_LIMIT: Final = 100
_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_TOKEN: Final = re.compile(r"[!-~]{1,512}", re.ASCII)


class Exchange(Protocol):
    """The short way for what almost every request is: a small body that is there already, a plain answer.

    Where it does not apply, the ordinary messages of ASGI say the same at more cost.
    """

    def body(self, limit: int) -> bytes | None:
        """Takes the body, if all of it has arrived and it has at most `limit` bytes; None otherwise."""
        ...

    def answer(self, status: int, headers: bytes, body: bytes) -> bool:
        """Writes a whole answer at once. `headers` are finished lines, Content-Length among them.

        False if it cannot be written so, and then nothing was written.
        """
        ...


class HttpRequest:
    """A request whose body has not been read. Header names are lower case; repeated headers are joined by
    commas.
    """

    __slots__ = ("_exchange", "_receive", "headers", "method", "params", "path", "peer", "query_string")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        params: dict[str, str] | None = None,
        exchange: Exchange | None = None,
    ) -> None:
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name = raw_name.decode("latin-1")
            value = raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        client = scope.get("client")
        self.headers = headers
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.peer: str | None = client[0] if client else None
        self.params: dict[str, str] = params if params is not None else {}
        self.query_string: bytes = scope.get("query_string", b"")
        self._receive = receive
        self._exchange = exchange

    def query(self) -> dict[str, str]:
        """Query parameters; of a repeated one, the first. What comes after `QUERY_LIMIT` of them is not read."""
        parameters = self.query_string.decode("latin-1").split("&")[:QUERY_LIMIT]
        return {
            name: values[0] for name, values in parse_qs("&".join(parameters), keep_blank_values=True).items()
        }

    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer …`, or None; what could be no token counts as none."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        token = token.strip(" ")
        # No token of ours looks otherwise, and a call to the policy core could not carry it.
        return token if scheme.lower() == "bearer" and _TOKEN.fullmatch(token) else None

    def declared_length(self) -> int | None:
        """Content-Length, if the caller declared one that can be read."""
        written = self.headers.get("content-length", "")
        return int(written) if written.isascii() and written.isdigit() and len(written) < 16 else None

    def has_body_to_close_on(self) -> bool:
        """Whether an answer before the body was read must close the connection rather than let the body
        come.
        """
        if "expect" in self.headers:
            # A caller that asked first may keep its body, and its next request would be taken for it.
            return True
        length = self.declared_length()
        if length is None:
            return "transfer-encoding" in self.headers
        return length > KEEP_OPEN_LIMIT

    async def body(
        self, limit: int, timeout_seconds: float, take: Callable[[int], None] | None = None
    ) -> bytes:
        """Reads the body, holding at most `limit` bytes, whatever Content-Length says.

        Raises BodyTooLargeError as soon as the limit is passed, BodyIncompleteError if the caller hangs up
        or takes longer than `timeout_seconds` for the whole. `take` is told of each piece before it is kept,
        and stops the reading by raising.
        """
        if self._exchange is not None and take is None:
            whole = self._exchange.body(limit)
            if whole is not None:
                return whole
        declared = self.declared_length()
        if declared is not None and declared > limit:
            # A caller that waits for `100 Continue` has sent nothing yet, and must not be asked to.
            if "expect" not in self.headers:
                await self._discard(limit + DISCARD_LIMIT)
            raise BodyTooLargeError
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._read(limit, take)
        except TimeoutError as error:
            raise BodyIncompleteError("The body did not arrive in time.") from error

    async def _read(self, limit: int, take: Callable[[int], None] | None) -> bytes:
        chunks: list[bytes] = []
        total = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BodyIncompleteError("The body did not arrive whole.")
            chunk = message.get("body", b"")
            total += len(chunk)
            if total > limit:
                chunks.clear()
                if message.get("more_body", False):
                    await self._discard(DISCARD_LIMIT)
                raise BodyTooLargeError
            if take is not None:
                take(len(chunk))
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _discard(self, remaining: int) -> None:
        """Throws away what still comes, up to `remaining` bytes and for a short while."""
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while remaining > 0:
                    message = await self._receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
                    remaining -= len(message.get("body", b""))
        except TimeoutError:
            return


def could_be_id(text: str) -> bool:
    """Whether an id from an address could be one of ours; what cannot is not asked for, since no store need bear it."""
    return _ID.fullmatch(text) is not None


Endpoint = Callable[[HttpRequest], Awaitable[HttpAnswer]]
"""Everything the edge serves: one request in, one answer out."""


async def send_answer(send: Send, answer: HttpAnswer, exchange: Exchange | None = None) -> None:
    """Sends an answer over ASGI, or at once where the server can and the answer has no headers of its own."""
    if exchange is not None and not answer.headers:
        lines = b"content-type: %b\r\ncontent-length: %d\r\n" % (
            answer.content_type.encode("latin-1"),
            len(answer.body),
        )
        if exchange.answer(answer.status, lines, answer.body):
            return
    headers = [
        (b"content-type", answer.content_type.encode("latin-1")),
        (b"content-length", str(len(answer.body)).encode("ascii")),
    ]
    headers.extend((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def closing(answer: HttpAnswer) -> HttpAnswer:
    """The same answer, closing the connection after it."""
    return HttpAnswer(
        answer.status,
        answer.body,
        answer.code,
        (*answer.headers, ("connection", "close")),
        answer.content_type,
    )

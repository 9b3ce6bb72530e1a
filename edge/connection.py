"""One client's connection: how large a head may be, how long it may take, and what may follow it.

Uvicorn waits for a head as long as the client likes, keeps as much of it as the client sends, counts trailers as
headers, and answers garbage in the place of the request before it. This protocol bounds and mends that, and leaves
everything else to uvicorn (https://github.com/encode/uvicorn/blob/main/uvicorn/protocols/http/httptools_impl.py).
"""

import asyncio
from dataclasses import dataclass
from types import MappingProxyType, MethodType
from typing import Any, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.http import EXCHANGE, Send


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one client, and all of them together, may take."""

    head_bytes: int = 32_768
    """Address and headers; also how much may come without any of it becoming a head or a piece of a body."""
    head_seconds: float = 15.0
    """From the connection, or a head's first byte, to the head's end."""
    pipelined_requests: int = 32
    """Requests that may wait behind the one that is being answered."""
    connections: int = 8_192
    """Open at once; a further one is closed as it comes, so that files are left for the way to the policy core."""


class _WholeExchange:
    """One request and its answer, each in one piece: what uvicorn does in several steps, where none is needed."""

    __slots__ = ("_cycle",)

    def __init__(self, send: Send) -> None:
        self._cycle = cast(RequestResponseCycle, cast(MethodType, send).__self__)

    def body(self, limit: int) -> bytes | None:
        """The body, if it is all here, fits, and nobody waits to be asked for it."""
        cycle = self._cycle
        if (
            cycle.more_body
            or cycle.disconnected
            or cycle.waiting_for_100_continue
            or cycle.response_complete
            or len(cycle.body) > limit
        ):
            return None
        cycle.flow.resume_reading()
        cycle.message_event.clear()
        whole = bytes(cycle.body)
        cycle.body = bytearray()
        return whole

    def answer(self, status: int, headers: bytes, body: bytes) -> bool:
        """Head and body in one write, on a connection that stays open; False where more is to be considered."""
        cycle = self._cycle
        if (
            cycle.response_started
            or cycle.disconnected
            or cycle.flow.write_paused
            or not cycle.keep_alive
            or cycle.scope["method"] == "HEAD"
        ):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        own = [b"%b: %b\r\n" % header for header in cycle.default_headers]
        cycle.transport.write(b"".join((STATUS_LINE[status], *own, headers, b"\r\n", body)))
        cycle.message_event.set()
        cycle.on_response()
        return True


_EXTENSIONS: Final = MappingProxyType({EXCHANGE: _WholeExchange})
"""The same for every request: an exchange of its own in each would keep each in a circle for the collector."""


class _RefusedHeadError(Exception):
    """Raised inside the parser's callbacks to end the parsing."""


def protocol_with(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """What uvicorn is to speak with, under these limits."""

    def make(
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        return BoundedHttpProtocol(config, server_state, app_state, limits, _loop)

    # Uvicorn only ever calls it; it asks for a class by name.
    return cast(type[asyncio.Protocol], make)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Speaks HTTP/1.1 with one client, within limits."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        limits: ConnectionLimits,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._limits = limits
        self._fruitless_bytes = 0
        self._head_bytes = 0
        self._head_begun = False
        self._headers_open = False
        self._too_large = False
        self._ended = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Greets nobody for whom there is no room."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._ended = True
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leaves no timer behind."""
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser until the client has broken a rule."""
        if self._ended:
            return
        self._unset_keepalive_if_required()
        self._fruitless_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The parser took everything behind the head for another protocol: no second request can be told apart.
            self._end_after_the_answer()
            return
        except httptools.HttpParserError:
            self._refuse()
            return
        if self._fruitless_bytes > self._limits.head_bytes:
            self._too_large = self._head_begun
            self._refuse()
        elif self._head_begun or not self._answering():
            self._await_head()

    # What the parser calls; it swallows no exception and passes it on as an HttpParserError.

    def on_message_begin(self) -> None:
        """A head begins."""
        self._fruitless_bytes = self._head_bytes = 0
        self._head_begun = self._headers_open = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer: those come after the body, prove nothing, and are dropped."""
        if not self._headers_open:
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self._limits.head_bytes:
            self._count_head(0)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._fruitless_bytes = 0
        self._head_begun = self._headers_open = False
        self._forget_timer()
        super().on_headers_complete()
        cast(dict[str, Any], self.scope)["extensions"] = _EXTENSIONS
        if len(self.pipeline) > self._limits.pipelined_requests:
            raise _RefusedHeadError

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._fruitless_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._fruitless_bytes = 0
        super().on_message_complete()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.head_bytes:
            self._too_large = True
            raise _RefusedHeadError

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._answering():
            # A client that began its next request early is not late before it has its answer.
            self._await_head()
        elif not self.transport.is_closing():
            self.transport.close()

    def _end_after_the_answer(self) -> None:
        self._ended = True
        if self._answering():
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _refuse(self) -> None:
        """Ends the connection. The error is told only where it cannot be taken for another request's answer."""
        if self._answering() and not self.cycle.more_body:
            self._end_after_the_answer()
            return
        self._ended = True
        if not self._answering() or not (self.pipeline or self.cycle.response_started):
            self.transport.write(_TOO_LARGE if self._too_large else _MALFORMED)
        if self._answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def _whole(status: int, answer: HttpAnswer) -> bytes:
    head = f"content-type: {answer.content_type}\r\ncontent-length: {len(answer.body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head.encode() + answer.body


_MALFORMED = _whole(400, answers.error(public_codes.BAD_REQUEST))
_TOO_LARGE = _whole(
    431, answers.error(public_codes.BAD_REQUEST, message="The address and headers are too large.")
)

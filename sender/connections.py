"""Connections to one place and who may use them: reuse while they are fresh, turns when all are taken.

A connection carries one exchange at a time. Whatever is odd about one (bytes that nobody asked for, an end, an exchange
that was given up) ends it: it is never used again, and nothing is ever asked twice.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

from sender.answer_reader import AnswerReader
from sender.model import Exchange

_SHORTEST_SWEEP_SECONDS = 0.05


class ClientConnection(asyncio.Protocol):
    """One connection. Made by the dialler, on behalf of a pool that holds a turn for it."""

    def __init__(self, pool: "Pool", link: socket.socket, reader: AnswerReader) -> None:
        self._pool = pool
        self._link = link
        self._reader = reader
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Exchange] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.lost = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop, as are the next three."""
        self._transport = cast("asyncio.Transport", transport)
        self._pool.add(self)

    def data_received(self, data: bytes) -> None:
        waiting = self._waiting
        if waiting is None:
            self.abort()
        elif self._reader.feed(data):
            self._answer(waiting)

    def eof_received(self) -> None:
        waiting = self._waiting
        if waiting is None:
            self.abort()
        else:
            self._reader.end(orderly=True)
            self._answer(waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._pool.forget(self)
        waiting = self._waiting
        if waiting is not None:
            self._reader.end(orderly=False)
            self._answer(waiting)
        self._reader.close()

    def ask(self, payload: bytes, timeout_seconds: float) -> asyncio.Future[Exchange]:
        """Writes a request. The future is never an error; whoever has waited for it must call `give_up`."""
        loop = self._pool.loop
        waiting = self._waiting = loop.create_future()
        self._timer = loop.call_later(timeout_seconds, self._expire, waiting)
        self._reader.begin()
        if self._transport is not None:
            self._transport.write(payload)
        return waiting

    def give_up(self, waiting: asyncio.Future[Exchange]) -> None:
        """Nobody waits for this answer any more: if it has not come yet, nothing else may come here either."""
        if self._waiting is waiting:
            self._answer(waiting)

    def _expire(self, waiting: asyncio.Future[Exchange]) -> None:
        if self._waiting is waiting:
            self._reader.expire()
            self._answer(waiting)

    def _answer(self, waiting: asyncio.Future[Exchange]) -> None:
        """Ends the exchange: the turn goes to the next, and the connection is kept or ended."""
        self._waiting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        found = self._reader.found
        if found is not None and not waiting.done():
            waiting.set_result(found)
        # An answer may come before the request has left: what is still to be written belongs to no other.
        if found is not None and self._reader.reusable and not self._unwritten():
            self._pool.keep(self)
        else:
            self.abort()
        self._pool.leave()

    def _unwritten(self) -> bool:
        transport = self._transport
        return transport is None or transport.is_closing() or transport.get_write_buffer_size() > 0

    def gone(self) -> bool:
        """True if the other side has closed or said anything, even if the loop has not come round to it."""
        if self.lost:
            return True
        try:
            self._link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def abort(self) -> None:
        """Ends the connection at once."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()


class Pool:
    """Connections to one place. `on_empty` is called when there is nothing left to remember."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        most: int,
        keep_alive_seconds: float,
        on_empty: Callable[[], None],
    ) -> None:
        self.loop = loop
        self._most = most
        self._keep_alive_seconds = keep_alive_seconds
        self._on_empty = on_empty
        self._in_use = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[ClientConnection] = []
        self._all: set[ClientConnection] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def take_idle(self) -> ClientConnection | None:
        """A turn and a connection that was used last, if there are both at once."""
        if self._idle and self._in_use < self._most:
            connection = self.freshest()
            if connection is not None:
                self._in_use += 1
            return connection
        return None

    async def turn(self) -> None:
        """Waits for a turn. Give it back with `leave`, unless a connection's answer does."""
        if self._in_use < self._most:
            self._in_use += 1
            return
        turn: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """The turn is over; it goes to whoever waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._in_use -= 1
        self._say_if_empty()

    def freshest(self) -> ClientConnection | None:
        """The idle connection used last, for one who has a turn. None if a new one is needed."""
        oldest_useful = self.loop.time() - self._keep_alive_seconds
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest_useful and not connection.gone():
                return connection
            connection.abort()
        return None

    def add(self, connection: ClientConnection) -> None:
        """A connection was made."""
        self._all.add(connection)

    def keep(self, connection: ClientConnection) -> None:
        """A connection can be used again."""
        connection.idle_since = self.loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(self._keep_alive_seconds, self._sweep)

    def forget(self, connection: ClientConnection) -> None:
        """A connection has ended."""
        self._all.discard(connection)
        self._say_if_empty()

    def _sweep(self) -> None:
        """Closes what has been idle for too long. The list is in order: whoever was used last is taken first."""
        self._sweeper = None
        now = self.loop.time()
        oldest_useful = now - self._keep_alive_seconds
        kept = [idle for idle in self._idle if not idle.lost and idle.idle_since > oldest_useful]
        for connection in self._idle:
            if connection.idle_since <= oldest_useful:
                connection.abort()
        self._idle = kept
        if kept:
            wait_seconds = max(kept[0].idle_since - oldest_useful, _SHORTEST_SWEEP_SECONDS)
            self._sweeper = self.loop.call_later(wait_seconds, self._sweep)
        self._say_if_empty()

    def _say_if_empty(self) -> None:
        if not (self._in_use or self._all or self._waiting or self._sweeper):
            self._on_empty()

    def close(self) -> None:
        """Ends every connection and every wait."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(ConnectionAbortedError("the pool is closed"))
        for connection in list(self._all):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

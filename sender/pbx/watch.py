"""Watches one phone system for missed calls: the socket tells of calls as they happen, the history of all the others.

The two run side by side. After every connection, and whenever frames were lost, the history is read at once, so that
a gap is closed as soon as there is somebody to ask. Nothing here outlives the watching: the mark up to which all is
known, and what was told, are kept by whoever asked for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from sender.pbx.calls import CallTracker
from sender.pbx.facts import EventKind, MissedCall, PbxConnection, SocketEvent
from sender.pbx.history import LOOK_BACK, SETTLED_AFTER, known_until, missed_calls, short_number
from sender.pbx.reader import PbxReader
from sender.pbx.socket import PbxSocket, PbxSockets
from sender.pbx.tokens import PbxError

MOST_CALLS_AT_ONCE = 500
_MOST_REMEMBERED = 10_000
_FAILURES_IN_A_ROW = 5
_REFUSED = frozenset({"credentials_refused", "http_401", "http_403", "socket_http_401", "socket_http_403"})
"""Asking again soon does not help, and a phone system locks out who is turned away often."""

_AFTER_A_GAP = (0.0, SETTLED_AFTER.total_seconds() + 1)
"""When the history is asked after something was not seen: a call that has only just ended is settled a little later."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what happens, in seconds."""

    news_every: float = 5.0
    history_every: float = 60.0
    checks_after: tuple[float, ...] = (0.5, 5.0, 15.0, 30.0)
    """When the history is asked about a call that the socket has shown to be over."""
    tick: float = 0.5
    first_pause: float = 1.0
    longest_pause: float = 60.0
    refused_pause: float = 300.0


@dataclass(frozen=True, slots=True)
class WatchOrder:
    """What is to be watched. Missed calls that ended before `known_until` are known."""

    connection: PbxConnection
    known_until: datetime
    every_extension_listed: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """What is new. Every missed call that ended before `known_until` is in this news or in that before it."""

    state: str
    reason: str
    missed: tuple[MissedCall, ...]
    known_until: datetime


class PbxWatch:
    """One watching. `now` is UTC, `random` gives numbers in [0, 1)."""

    def __init__(
        self,
        reader: PbxReader,
        sockets: PbxSockets,
        order: WatchOrder,
        now: Callable[[], datetime],
        random: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._reader = reader
        self._sockets = sockets
        self._order = order
        self._now = now
        self._random = random
        self._pace = pace
        self._state, self._reason, self._history_reason = "connecting", "", ""
        self._mark = order.known_until
        self._missed: list[MissedCall] = []
        self._said: OrderedDict[tuple[str, datetime], None] = OrderedDict()
        self._ended: dict[str, float] = {}
        self._checks: list[float] = []
        self._changed = asyncio.Event()
        self._check_now = asyncio.Event()
        self._ending = False

    def end(self) -> None:
        """No more news after those that are being taken."""
        self._ending = True
        self._changed.set()

    async def news(self) -> AsyncGenerator[News, None]:
        """News until the `end`, at least every `news_every` seconds. Whoever leaves ends the watching."""
        loops = [asyncio.create_task(self._keep_socket()), asyncio.create_task(self._keep_history())]
        try:
            while not self._ending:
                yield self._take()
                if not self._missed:
                    await _set_within(self._changed, self._pace.news_every)
                    self._changed.clear()
                for loop in loops:
                    if loop.done():
                        loop.result()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    def _take(self) -> News:
        missed, self._missed = self._missed[:MOST_CALLS_AT_ONCE], self._missed[MOST_CALLS_AT_ONCE:]
        # The mark goes with the last of the calls that it covers.
        mark = self._order.known_until if self._missed else self._mark
        return News(self._state, self._reason or self._history_reason, tuple(missed), mark)

    def _say(self, state: str, reason: str = "") -> None:
        if (state, reason) != (self._state, self._reason):
            self._state, self._reason = state, reason
            self._changed.set()

    # --- the socket

    async def _keep_socket(self) -> None:
        pause = self._pace.first_pause
        while True:
            try:
                async with self._sockets.open(self._order.connection) as socket:
                    await self._follow(socket)
            except PbxError as error:
                if self._state == "watching":
                    pause = self._pace.first_pause
                self._say("failing", error.reason)
                refused = error.reason in _REFUSED
            await asyncio.sleep((self._pace.refused_pause if refused else pause) * (0.5 + self._random()))
            pause = min(pause * 2, self._pace.longest_pause)

    async def _follow(self, socket: PbxSocket) -> NoReturn:
        """Until the socket ends, which is a `PbxError`."""
        tracker = _Tracking(self._reader, self._order.connection, self._now)
        await tracker.begin()
        self._say("watching")
        self._check_soon(_AFTER_A_GAP)
        receiving = asyncio.create_task(socket.next_event())
        try:
            while True:
                done, _ = await asyncio.wait({receiving}, timeout=self._pace.tick)
                if done:
                    event = receiving.result()
                    receiving = asyncio.create_task(socket.next_event())
                    if event is not None and await tracker.take(event):
                        self._check_soon(_AFTER_A_GAP)
                self._over(tracker.calls.over(self._now()))
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    def _over(self, missed: list[MissedCall]) -> None:
        if not missed:
            return
        if self._order.every_extension_listed:
            self._tell(missed)
            return
        until = _clock() + 2 * max(self._pace.checks_after)
        self._ended.update((short_number(each.caller), until) for each in missed)
        self._check_soon(self._pace.checks_after)

    # --- the history

    async def _keep_history(self) -> None:
        pause = self._pace.history_every
        while True:
            try:
                await self._read_history()
                pause, self._history_reason = self._pace.history_every, ""
            except PbxError as error:
                self._history_reason = f"history_{error.reason}"
                pause = min(pause * 2, self._pace.refused_pause)
            self._changed.set()
            await self._wait_for_check(pause)

    async def _read_history(self) -> None:
        now = self._now()
        self._ended = {number: until for number, until in self._ended.items() if _clock() < until}
        segments, complete = await self._reader.segments(self._order.connection, self._mark - LOOK_BACK)
        self._tell(missed_calls(segments, self._mark, now, self._ended))
        self._mark = known_until(self._mark, segments, now, complete=complete)

    def _tell(self, missed: list[MissedCall]) -> None:
        """The same call may come from the history again and again, as long as it is younger than the mark."""
        for each in missed:
            key = (each.caller, each.began_at)
            if key not in self._said:
                self._said[key] = None
                self._missed.append(each)
                self._changed.set()
        while len(self._said) > _MOST_REMEMBERED:
            self._said.popitem(last=False)

    def _check_soon(self, after: tuple[float, ...]) -> None:
        self._checks += [_clock() + seconds for seconds in after]
        self._check_now.set()

    async def _wait_for_check(self, pause: float) -> None:
        """Until the next regular look, or an earlier one that somebody asked for."""
        ends = _clock() + pause
        while True:
            self._check_now.clear()
            due = min([ends, *self._checks])
            if due <= _clock():
                self._checks = [each for each in self._checks if each > due]
                return
            await _set_within(self._check_now, due - _clock())


class _Tracking:
    """The calls of one connection, read as events come."""

    def __init__(self, reader: PbxReader, connection: PbxConnection, now: Callable[[], datetime]) -> None:
        self.calls = CallTracker()
        self._reader = reader
        self._connection = connection
        self._now = now
        self._sequence: int | None = None
        self._failures = 0

    async def begin(self) -> None:
        """Reads what is there already. Raises `PbxError`."""
        self.calls.begin(await self._reader.participants(self._connection), self._now())

    async def take(self, event: SocketEvent) -> bool:
        """Takes an event. True if some before it were lost. Raises `PbxError` once nothing can be read any more."""
        last, self._sequence = self._sequence, event.sequence
        if last == event.sequence:
            return False
        lost = last is not None and event.sequence != last + 1
        if lost:
            self.calls.again(await self._reader.participants(self._connection), self._now())
        if event.ref is None:
            return lost
        if event.kind == EventKind.REMOVE:
            self.calls.gone(event.ref, self._now())
        elif event.kind == EventKind.UPSERT:
            await self._read(event)
        return lost

    async def _read(self, event: SocketEvent) -> None:
        assert event.ref is not None  # noqa: S101 - the caller looked
        try:
            participant = await self._reader.participant(self._connection, event.ref)
            self._failures = 0
        except PbxError as error:
            self._failures += 1
            if error.reason in _REFUSED or self._failures >= _FAILURES_IN_A_ROW:
                raise
            participant = None
        if participant is None or participant.ref != event.ref:
            self.calls.unread(event.ref, self._now())
        else:
            self.calls.seen(participant, self._now())


def _clock() -> float:
    return asyncio.get_running_loop().time()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return

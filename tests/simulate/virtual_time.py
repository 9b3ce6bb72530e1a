"""Owns time: an event loop in which waiting costs nothing, because its clock jumps to the next timer."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

Answer = TypeVar("Answer")

_MOST_TURNS = 400_000
"""Rounds of one loop. A history that needs more goes in circles."""


class StuckError(Exception):
    """Nothing will ever happen again, or things never stop happening, and the work is not done."""


class _Jumps:
    """Stands where an event loop has its selector: instead of waiting, it moves the clock."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        """Moves the clock by `timeout` seconds. Raises StuckError if nothing is left to wait for."""
        self.turns += 1
        if timeout is None:
            raise StuckError("everything waits, and nothing is due")
        if self.turns > _MOST_TURNS:
            raise StuckError("the history does not come to an end")
        self.seconds += timeout
        return []

    def close(self) -> None:
        """Nothing is held."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, signals or threads. `time()` begins at 0 and moves from timer to timer."""

    def __init__(self) -> None:
        super().__init__()
        self._jumps = _Jumps()
        self._selector = self._jumps
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumps.seconds

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""

    def close(self) -> None:
        """Forgets what was still to come."""
        self._ready.clear()
        self._scheduled.clear()
        super().close()

    # Not in the type stubs, but in every version of the standard library that this product runs on.
    _ready: Any
    _scheduled: list[asyncio.TimerHandle]


class Clock:
    """A machine's clock: the loop's time from `start` on, `offset_seconds` off."""

    __slots__ = ("_loop", "offset_seconds", "start")

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime, offset_seconds: float = 0.0) -> None:
        self._loop = loop
        self.start = start
        self.offset_seconds = offset_seconds

    def __call__(self) -> datetime:
        return self.start + timedelta(seconds=self._loop.time() + self.offset_seconds)

    def seconds(self) -> float:
        """Seconds that never run backwards."""
        return self._loop.time()


def run_virtually(loop: VirtualLoop, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Runs `work` to its end on `loop`, then ends what it left behind and closes the loop."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        _end_the_rest(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _end_the_rest(loop: VirtualLoop) -> None:
    for _ in range(8):
        left = asyncio.all_tasks(loop)
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(_gathered(left))


async def _gathered(left: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*left, return_exceptions=True)

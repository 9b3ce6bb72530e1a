"""When attempts are over their time: one timer for all that are under way, instead of one for each."""

import asyncio
from collections.abc import Callable

from policycore.dispatch.lanes import PendingAttempt

_LEAST_WAIT_SECONDS = 0.005
"""Timers may be early by less than this; a wait of nothing would then go round and round."""


class Deadlines:
    """The attempts under way, in the order of their deadlines: each must not end before one that was added earlier.

    `clock` is the one the deadlines are told by. Use inside the event loop.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._under_way: dict[PendingAttempt, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, attempt: PendingAttempt) -> None:
        """From now on the attempt expires at its deadline."""
        self._under_way[attempt] = None
        if self._timer is None:
            self._wait_for(attempt)

    def discard(self, attempt: PendingAttempt) -> None:
        """The attempt is over."""
        self._under_way.pop(attempt, None)

    async def idle(self, timeout_seconds: float) -> None:
        """Returns when everything that is under way now is answered, or after `timeout_seconds`."""
        if self._under_way:
            await asyncio.wait([each.answer for each in self._under_way], timeout=timeout_seconds)

    def close(self) -> None:
        """Ends the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_for(self, attempt: PendingAttempt) -> None:
        seconds = max(attempt.deadline - self._clock(), _LEAST_WAIT_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock()
        over: list[PendingAttempt] = []
        for attempt in self._under_way:
            if attempt.deadline > now:
                self._wait_for(attempt)
                break
            over.append(attempt)
        for attempt in over:
            del self._under_way[attempt]
            attempt.expire()

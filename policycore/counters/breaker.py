"""Decides whether a shared service is asked at all: closed while it answers, open after failures, tried again
each second.
"""

from collections.abc import Callable

FAILURES_TO_OPEN = 3
"""One late answer may be this process's own pause; three in a row are not."""

PROBE_EVERY_SECONDS = 1.0


class Breaker:
    """A circuit breaker. `clock` gives seconds that never run backwards."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures_to_open: int = FAILURES_TO_OPEN,
        probe_every_seconds: float = PROBE_EVERY_SECONDS,
    ) -> None:
        self._clock = clock
        self._failures_to_open = failures_to_open
        self._probe_every = probe_every_seconds
        self._failures = 0
        self._next_probe = 0.0

    @property
    def closed(self) -> bool:
        """Whether calls may go through."""
        return self._failures < self._failures_to_open

    def succeeded(self) -> bool:
        """Notes an answer. True if this closed the breaker."""
        was_open = not self.closed
        self._failures = 0
        return was_open

    def failed(self) -> bool:
        """Notes a failure. True if this opened the breaker."""
        was_closed = self.closed
        self._failures += 1
        opened = was_closed and not self.closed
        if opened:
            self._next_probe = self._clock() + self._probe_every
        return opened

    def probe_due(self) -> bool:
        """While open: True for one caller each second, who may find out whether the service is back."""
        now = self._clock()
        if self.closed or now < self._next_probe:
            return False
        self._next_probe = now + self._probe_every
        return True

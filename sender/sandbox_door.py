"""The door of the sandbox: answers requests to nowhere after the delay that the number plays."""

from collections.abc import Awaitable, Callable

from sender.backends import sandbox
from sender.model import Exchange, FailureKind, HttpRequest, TransportFailure


class SandboxDoor:
    """Plays an instance. `sleep` takes seconds."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._sleep = sleep

    async def exchange(
        self, request: HttpRequest, *, timeout_seconds: float, before_write: Callable[[], None]
    ) -> Exchange:
        """What the sandbox answers; a time-out if its delay is longer than `timeout_seconds`."""
        delay_seconds, exchange = sandbox.play(request)
        before_write()
        if delay_seconds > 0:
            await self._sleep(min(delay_seconds, timeout_seconds))
        if delay_seconds > timeout_seconds:
            return TransportFailure(FailureKind.TIMED_OUT, bytes_written=True)
        return exchange

"""How much may be under way at once, in all and per instance or host: a slow one holds up nobody."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sender.model import WithheldError


class Turns:
    """Bounds on what is under way. An instance or host waits for its own turn before it takes one of all."""

    def __init__(self, in_all: int, per_instance: int) -> None:
        self._all = asyncio.Semaphore(in_all)
        self._per_instance = per_instance
        self._instances: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, instance_id: str, timeout_seconds: float) -> AsyncIterator[None]:
        """A turn for one attempt. Raises `WithheldError` if none comes within `timeout_seconds`."""
        own = self._instances.setdefault(instance_id, asyncio.Semaphore(self._per_instance))
        self._users[instance_id] += 1
        try:
            await self._take(own, timeout_seconds)
            try:
                yield
            finally:
                self._all.release()
                own.release()
        finally:
            self._users[instance_id] -= 1
            if not self._users[instance_id]:
                del self._users[instance_id]
                del self._instances[instance_id]

    async def _take(self, own: asyncio.Semaphore, timeout_seconds: float) -> None:
        if not own.locked() and not self._all.locked():
            # The ordinary case takes no timer.
            await own.acquire()
            await self._all.acquire()
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                await own.acquire()
                try:
                    await self._all.acquire()
                except BaseException:
                    own.release()
                    raise
        except TimeoutError as error:
            raise WithheldError("sender_overloaded", "Too many attempts are under way.") from error

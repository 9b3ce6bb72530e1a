"""How much may be under way at once, in all and per instance or host: a slow one holds up nobody."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sender.model import WithheldError


class _Places:
    """A number of places. Who finds none waits in line; a place that comes free goes to the first in line."""

    __slots__ = ("_free", "_line", "users")

    def __init__(self, free: int) -> None:
        self._free = free
        self._line: deque[asyncio.Future[None]] = deque()
        self.users = 0
        """How many have a place or are in line, where somebody counts them."""

    def take_now(self) -> bool:
        """Takes a place if one is free."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def take(self) -> None:
        """Takes a place, however long that lasts."""
        if self.take_now():
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                with suppress(ValueError):  # somebody who gave a place back has passed over it already
                    self._line.remove(mine)
            else:
                # The place came at the same moment.
                self.give_back()
            raise

    def give_back(self) -> None:
        """Ends the use of a place."""
        while self._line:
            first = self._line.popleft()
            if not first.done():
                first.set_result(None)
                return
        self._free += 1


class Turns:
    """Bounds on what is under way. An instance or host waits for its own turn before it takes one of all."""

    def __init__(self, in_all: int, per_instance: int) -> None:
        self._all = _Places(in_all)
        self._per_instance = per_instance
        self._instances: dict[str, _Places] = {}

    @asynccontextmanager
    async def turn(self, instance_id: str, timeout_seconds: float) -> AsyncIterator[None]:
        """A turn for one attempt. Raises `WithheldError` if none comes within `timeout_seconds`."""
        await self.take(instance_id, timeout_seconds)
        try:
            yield
        finally:
            self.give_back(instance_id)

    async def take(self, instance_id: str, timeout_seconds: float) -> None:
        """Takes a turn, which must be given back. Raises `WithheldError` if none comes within `timeout_seconds`."""
        own = self._instances.get(instance_id)
        if own is None:
            own = self._instances[instance_id] = _Places(self._per_instance)
        own.users += 1
        if own.take_now():
            if self._all.take_now():
                return
            own.give_back()
        try:
            await self._wait(own, timeout_seconds)
        except BaseException:
            self._leave(instance_id, own)
            raise

    def give_back(self, instance_id: str) -> None:
        """Ends a turn that was taken."""
        own = self._instances[instance_id]
        self._all.give_back()
        own.give_back()
        self._leave(instance_id, own)

    def _leave(self, instance_id: str, own: _Places) -> None:
        own.users -= 1
        if not own.users:
            del self._instances[instance_id]

    async def _wait(self, own: _Places, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await own.take()
                try:
                    await self._all.take()
                except BaseException:
                    own.give_back()
                    raise
        except TimeoutError as error:
            raise WithheldError("sender_overloaded", "Too many attempts are under way.") from error

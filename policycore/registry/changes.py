"""Wakes those who hold a copy of the configuration when it has changed in this process."""

import asyncio


class ConfigChanges:
    """`notify` is called after the commit of a change; every `wait` then returns. Other processes' changes
    are found by polling.
    """

    def __init__(self) -> None:
        self._waiters: set[asyncio.Event] = set()

    def notify(self) -> None:
        """Wakes everyone who waits now."""
        for waiter in self._waiters:
            waiter.set()

    async def wait(self, seconds: float) -> bool:
        """Returns True at the next change, or False after `seconds`."""
        waiter = asyncio.Event()
        self._waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter.wait(), seconds)
            return True
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)

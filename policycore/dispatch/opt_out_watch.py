"""Guards persons who opted out while messages to them are under way, whoever recorded the opt-out.

The process that records an opt-out guards the person at once. But it may die before a sender has heard of it, or
be cut off from a sender that still holds another process's message. So every process looks into the ledger as well.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from policycore.errors import PolicyCoreError
from policycore.event_ledger import EventLedger
from policycore.ports import SenderGuards

LOOK_SECONDS = 0.5
HELD_FOR = timedelta(seconds=90)
"""How long one look guards a person: as long as an attempt may last, on a sender whose clock is a minute ahead."""

_log = structlog.get_logger(__name__)


class OptOutWatch:
    """Looks twice a second. `clock` is UTC. `start` inside the event loop."""

    def __init__(self, ledger: EventLedger, guards: SenderGuards, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._guards = guards
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Guards everybody who opted out and to whom a message is under way now."""
        for person_id in sorted(await self._ledger.opted_out_under_way()):
            self._guards.opted_out(person_id, self._clock() + HELD_FOR)

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.create_task(self._keep_looking())

    async def stop(self) -> None:
        """Ends it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=2.0)

    async def _keep_looking(self) -> None:
        while True:
            try:
                async with asyncio.timeout(5):
                    await self.look()
            except (PolicyCoreError, OSError, TimeoutError) as error:
                # Who cannot read the ledger falls silent towards the senders soon, and then nothing is sent.
                _log.warning("opt_outs.unreadable", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

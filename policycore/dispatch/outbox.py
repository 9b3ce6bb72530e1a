"""Delivers the outbox: leases what is due, has it posted, settles in groups. A slow destination slows nobody
else.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

import structlog

from policycore import steps
from policycore.dispatch.destinations import Destination
from policycore.dispatch.retry import delay_after, exhausted, is_set_aside
from policycore.dispatch.senders import NOT_POSTED
from policycore.ports import (
    EventPoster,
    OutboxRow,
    OutboxSettlement,
    OutboxStore,
    Posting,
    PostOutcome,
    PostResult,
)

LEASE_ROWS = 200
LEASE_SECONDS = 30.0
"""A process that dies leaves its rows to the others after so long; one that lives extends its leases in time."""

HEARTBEATS_IN_A_LEASE = 3

MOST_HELD = 2_000
CONCURRENCY_OF_ONE_DESTINATION = 8
MOST_DESTINATIONS = 10_000

SHORTEST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
"""What another process left behind is found this late at worst; what this process writes wakes the worker."""

NOT_POSTED_PAUSE_SECONDS = 1.0
OUTAGE_PAUSE_SECONDS = 10.0
"""How long a row is given back for, at least, while its destination takes nothing and enough others are being tried."""
_LAST_STATEMENT_SECONDS = 2.0
"""How long stopping waits for a statement that is under way."""
LONGEST_ERROR_CHARACTERS = 500

_DESTINATION_GONE = PostResult(PostOutcome.GONE, 0, None, "The destination is no longer configured.")
_FINAL_STATES = {PostOutcome.TAKEN: "sent", PostOutcome.BLOCKED: "blocked", PostOutcome.GONE: "failed"}

_log = structlog.get_logger(__name__)


class OutboxWorker:
    """One process's worker; any number may work on one outbox.

    `resolve` gives a row's address, or None if its destination is gone. `random` gives numbers in [0, 1).
    `clock` is
    UTC. While `ready` says no (no sender is connected), nothing is leased.
    """

    def __init__(
        self,
        store: OutboxStore,
        poster: EventPoster,
        resolve: Callable[[OutboxRow], Posting | None],
        clock: Callable[[], datetime],
        random: Callable[[], float],
        *,
        ready: Callable[[], bool] = lambda: True,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._store = store
        self._poster = poster
        self._resolve = resolve
        self._clock = clock
        self._random = random
        self._ready = ready
        self._lease_seconds = lease_seconds
        self._stopping = False
        self._held = 0
        self._leases: dict[int, datetime] = {}
        self._destinations: dict[str, Destination] = {}
        self._recovered: dict[str, OutboxRow] = {}
        self._settlements: list[OutboxSettlement] = []
        self._wake = asyncio.Event()
        self._settle_now = asyncio.Event()
        self._stopped = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._deliveries: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begins to work."""
        loops = (self._lease_loop(), self._settle_loop(), self._heartbeat_loop())
        self._loops = [asyncio.create_task(each) for each in loops]

    async def stop(self, seconds: float = 10.0) -> None:
        """Leases nothing more, waits at most `seconds` for tries under way, and settles what is known."""
        self._stopping = True
        self._stopped.set()
        self._wake.set()
        self._settle_now.set()
        # They end between two statements if the database answers; only a stuck one is broken off, and not waited for.
        _, stuck = await asyncio.wait(self._loops, timeout=_LAST_STATEMENT_SECONDS)
        for loop in stuck:
            loop.cancel()
        if stuck:
            await asyncio.wait(stuck, timeout=_LAST_STATEMENT_SECONDS)
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=seconds)
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settle_all()

    def wake(self) -> None:
        """Call after rows were committed; they are leased at once."""
        self._wake.set()

    # --- leasing
    # -----------------------------------------------------------------------------------------------------

    async def _lease_loop(self) -> None:
        while not self._stopping:
            self._wake.clear()
            began = asyncio.get_running_loop().time()
            try:
                leased = await self._lease()
                pause = 0.0 if leased else await self._pause_seconds()
            except Exception as error:  # noqa: BLE001  # whatever a database's driver raises: it will be back
                _log.warning("outbox_not_leased", error=type(error).__name__)
                pause = LONGEST_PAUSE_SECONDS
            # A long outbox takes its time to be looked through; half of the time is left to everybody else.
            await asyncio.sleep(asyncio.get_running_loop().time() - began)
            await _set_within(self._wake, pause)

    async def _lease(self) -> int:
        room = min(LEASE_ROWS, MOST_HELD - self._held)
        if room <= 0 or not self._ready():
            return 0
        rows = await self._store.lease(room, self._lease_seconds, self._out_of_reach())
        if rows:
            steps.passed("deliver.leased")
        for row in rows:
            self._held += 1
            self._leases[row.number] = row.leased_until
            delivery = asyncio.create_task(self._deliver(row, self._destination_of(row)))
            self._deliveries.add(delivery)
            delivery.add_done_callback(partial(self._delivered, row.number))
        return len(rows)

    async def _pause_seconds(self) -> float:
        due = await self._store.next_due_seconds(self._out_of_reach())
        if due is None:
            return LONGEST_PAUSE_SECONDS
        return min(max(due, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)

    def _out_of_reach(self) -> list[str]:
        """Destinations that take nothing, and are being tried enough."""
        return [key for key, each in self._destinations.items() if not each.may_try()]

    def _destination_of(self, row: OutboxRow) -> Destination:
        key = _destination_key(row)
        known = self._destinations.get(key)
        if known is None:
            if len(self._destinations) >= MOST_DESTINATIONS:
                self._destinations = {name: one for name, one in self._destinations.items() if one.held}
            known = self._destinations[key] = Destination(CONCURRENCY_OF_ONE_DESTINATION)
        return known

    # --- delivering
    # --------------------------------------------------------------------------------------------------

    async def _deliver(self, row: OutboxRow, destination: Destination) -> None:
        destination.held += 1
        try:
            async with destination.room:
                if row.number not in self._leases:
                    # The database was away for so long that somebody else may have the row by now.
                    self._held -= 1
                    return
                settlement = await self._try(row, destination)
        finally:
            destination.held -= 1
        self._settlements.append(settlement)
        self._settle_now.set()

    async def _try(self, row: OutboxRow, destination: Destination) -> OutboxSettlement:
        if not destination.may_try():
            # Others of this destination are finding out whether it is back; then all are woken.
            return self._untried(row, timedelta(seconds=OUTAGE_PAUSE_SECONDS * (1 + self._random())))
        destination.trying += 1
        try:
            return await self._attempt(row, destination)
        finally:
            destination.trying -= 1

    def _delivered(self, number: int, delivery: "asyncio.Task[None]") -> None:
        self._deliveries.discard(delivery)
        if delivery.cancelled():
            return
        error = delivery.exception()
        if error is not None:
            # The lease ends by itself, and the row is tried again.
            self._held -= 1
            self._leases.pop(number, None)
            _log.error("outbox_delivery_broken", error=type(error).__name__)

    # --- heartbeat
    # ----------------------------------------------------------------------------------------------------

    async def _heartbeat_loop(self) -> None:
        while not self._stopping:
            await _set_within(self._stopped, self._lease_seconds / HEARTBEATS_IN_A_LEASE)
            if not self._leases or self._stopping:
                continue
            asked = dict(self._leases)
            try:
                kept = await self._store.extend(asked, self._lease_seconds)
                steps.passed("deliver.extended")
            except Exception as error:  # noqa: BLE001  # whatever a database's driver raises: it will be back
                _log.warning("outbox_not_extended", rows=len(asked), error=type(error).__name__)
                continue
            self._keep(asked, kept)

    def _keep(self, asked: Mapping[int, datetime], kept: Mapping[int, datetime]) -> None:
        """Notes new ends of leases; a row that is not ours any more is not tried unless it is being tried."""
        for number, end in asked.items():
            if self._leases.get(number) == end:
                if number in kept:
                    self._leases[number] = kept[number]
                else:
                    del self._leases[number]
                    _log.warning("outbox_lease_lost", number=number)

    async def _attempt(self, row: OutboxRow, destination: Destination) -> OutboxSettlement:
        if self._stopping:
            return self._untried(row, timedelta())
        posting = self._resolve(row)
        if posting is None:
            return self._final(row, "failed", _DESTINATION_GONE)
        result = await self._poster.post(posting)
        steps.passed("deliver.posted")
        if result == NOT_POSTED:
            return self._untried(row, timedelta(seconds=NOT_POSTED_PAUSE_SECONDS * (1 + self._random())))
        if result.outcome is PostOutcome.RETRY:
            return self._failed(row, destination, result)
        if result.outcome is PostOutcome.TAKEN and destination.passed(row.number, row.attempts):
            self._recovered[_destination_key(row)] = row
        destination.forget(row.number)
        return self._final(row, _FINAL_STATES[result.outcome], result)

    def _failed(self, row: OutboxRow, destination: Destination, result: PostResult) -> OutboxSettlement:
        tries = row.attempts + 1
        now = self._clock()
        others_passed = destination.failed(row.number)
        if exhausted(tries, now - row.created_at):
            destination.forget(row.number)
            return self._final(row, "failed", result)
        delay = delay_after(tries, result.retry_after_seconds, self._random())
        state = "set_aside" if is_set_aside(tries, others_passed=others_passed) else "pending"
        return OutboxSettlement(row.number, state, tries, now + delay, result.http_status, _error(result))

    def _final(self, row: OutboxRow, state: str, result: PostResult) -> OutboxSettlement:
        if state != "sent":
            _log.warning(
                "event_not_delivered",
                delivery_id=row.delivery_id,
                state=state,
                http_status=result.http_status,
                tries=row.attempts + 1,
            )
        error = "" if state == "sent" else _error(result)
        return OutboxSettlement(row.number, state, row.attempts + 1, self._clock(), result.http_status, error)

    def _untried(self, row: OutboxRow, pause: timedelta) -> OutboxSettlement:
        """Gives the lease back: nothing was tried, so nothing counts."""
        return OutboxSettlement(row.number, "pending", row.attempts, self._clock() + pause, 0, "")

    # --- settling
    # ----------------------------------------------------------------------------------------------------

    async def _settle_loop(self) -> None:
        while not self._stopping:
            await self._settle_now.wait()
            self._settle_now.clear()
            if not await self._settle_all():
                await asyncio.sleep(NOT_POSTED_PAUSE_SECONDS)
                self._settle_now.set()

    async def _settle_all(self) -> bool:
        """Settles what has finished, as one group; False if the database did not take it."""
        batch, self._settlements = self._settlements, []
        try:
            await self._store.settle(batch)
            steps.passed("deliver.settled")
            self._held -= len(batch)
            for settlement in batch:
                self._leases.pop(settlement.number, None)
            batch = []
            await self._wake_recovered()
        except Exception as error:  # noqa: BLE001  # whatever a database's driver raises: it will be back
            _log.warning("outbox_not_settled", rows=len(batch), error=type(error).__name__)
            return False
        finally:
            # Not settled, or cancelled on the way: settling a row twice does no harm, forgetting one posts it
            # twice.
            self._settlements = batch + self._settlements
        self._wake.set()
        return True

    async def _wake_recovered(self) -> None:
        for key, row in list(self._recovered.items()):
            woken = await self._store.wake_destination(
                integration_id=row.integration_id, webhook_id=row.webhook_id
            )
            self._recovered.pop(key, None)
            _log.info("destination_recovered", destination=key, woken=woken)


def _destination_key(row: OutboxRow) -> str:
    return row.webhook_id or row.integration_id or ""


def _error(result: PostResult) -> str:
    return result.explanation[:LONGEST_ERROR_CHARACTERS]


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return

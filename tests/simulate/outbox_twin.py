"""Owns the outbox in memory, and the systems that its events go to: 3CX and a customer's own."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from policycore.dispatch.senders import NOT_POSTED
from policycore.event_ledger import NewDelivery
from policycore.ports import OutboxRow, OutboxSettlement, Posting, PostOutcome, PostResult
from simulate.outside import Delivered, Outside
from simulate.senders import SenderPoolTwin
from simulate.store import Process, Store, Transaction
from simulate.virtual_time import Clock

_PENDING = "pending"
_REFUSED = PostResult(PostOutcome.RETRY, 503)
_LOST = PostResult(PostOutcome.RETRY, 0)
_TAKEN = PostResult(PostOutcome.TAKEN, 200)


class DeliveryRow(Struct, frozen=True):
    """An event on its way out."""

    number: int
    delivery: NewDelivery
    created_at: datetime
    next_attempt_at: datetime
    person_id: str
    state: str = _PENDING
    attempts: int = 0
    leased_until: datetime | None = None
    set_aside: bool = False

    @property
    def destination(self) -> str:
        """Where it goes."""
        return self.delivery.webhook_id or self.delivery.integration_id or ""


async def insert_deliveries(tx: Transaction, deliveries: Iterable[NewDelivery]) -> None:
    """Writes new events; each has a number as it is written, not as it is committed."""
    for delivery in deliveries:
        tx.store.delivery_numbers += 1
        row = DeliveryRow(tx.store.delivery_numbers, delivery, tx.now, tx.now, delivery.person_id or "")
        await tx.insert("outbox", delivery.delivery_id, row)


def heads(rows: Iterable[DeliveryRow]) -> list[DeliveryRow]:
    """What may be tried: the oldest of each destination and person, and what was set aside."""
    first: dict[tuple[str, str], DeliveryRow] = {}
    free = []
    for row in sorted(rows, key=lambda each: each.number):
        if row.state != _PENDING:
            continue
        if row.set_aside or not row.person_id:
            free.append(row)
        else:
            first.setdefault((row.destination, row.person_id), row)
    return sorted([*first.values(), *free], key=lambda each: each.number)


def _is_due(row: DeliveryRow, now: datetime) -> bool:
    leased = row.leased_until is not None and row.leased_until > now
    return row.state == _PENDING and row.next_attempt_at <= now and not leased


class TwinOutbox:
    """Implements `policycore.ports.OutboxStore` for one process."""

    def __init__(self, store: Store, process: Process) -> None:
        self._store = store
        self._process = process

    async def lease(self, limit: int, seconds: float, without: Collection[str] = ()) -> list[OutboxRow]:
        async with self._store.begin(self._process) as tx:
            leased = []
            for candidate in heads(tx.rows("outbox"))[:limit]:
                if not _is_due(candidate, tx.now) or candidate.destination in without:
                    continue
                await tx.lock([("outbox", candidate.delivery.delivery_id)])
                row = tx.get("outbox", candidate.delivery.delivery_id)
                if _is_due(row, tx.now):
                    until = tx.now + timedelta(seconds=seconds)
                    await tx.put("outbox", row.delivery.delivery_id, replace(row, leased_until=until))
                    leased.append(_told(row, until))
            return leased

    async def extend(self, leases: Mapping[int, datetime], seconds: float) -> dict[int, datetime]:
        async with self._store.begin(self._process) as tx:
            until, kept = tx.now + timedelta(seconds=seconds), {}
            for seen in sorted(tx.rows("outbox"), key=lambda each: each.number):
                if seen.number not in leases:
                    continue
                await tx.lock([("outbox", seen.delivery.delivery_id)])
                row = tx.get("outbox", seen.delivery.delivery_id)
                if row.state == _PENDING and row.leased_until == leases[row.number]:
                    await tx.put("outbox", row.delivery.delivery_id, replace(row, leased_until=until))
                    kept[row.number] = until
            return kept

    async def settle(self, settlements: Sequence[OutboxSettlement]) -> None:
        if not settlements:
            return
        async with self._store.begin(self._process) as tx:
            by_number = {row.number: row for row in tx.rows("outbox")}
            for settlement in sorted(settlements, key=lambda each: each.number):
                place = by_number[settlement.number].delivery.delivery_id
                await tx.lock([("outbox", place)])
                row = tx.get("outbox", place)
                stale = settlement.state != "sent" and row.attempts > settlement.attempts
                if row.state == _PENDING and not stale:
                    await tx.put("outbox", place, _settled(row, settlement))

    async def wake_destination(self, *, integration_id: str | None, webhook_id: str | None) -> int:
        woken = 0
        async with self._store.begin(self._process) as tx:
            for row in sorted(tx.rows("outbox"), key=lambda each: each.number):
                waits = row.state == _PENDING and not row.set_aside and row.next_attempt_at > tx.now
                if waits and row.destination == (webhook_id or integration_id):
                    await tx.put("outbox", row.delivery.delivery_id, replace(row, next_attempt_at=tx.now))
                    woken += 1
        return woken

    async def next_due_seconds(self, without: Collection[str] = ()) -> float | None:
        async with self._store.begin(self._process) as tx:
            free_at = [
                max(row.next_attempt_at, row.leased_until or row.next_attempt_at)
                for row in heads(tx.rows("outbox"))
                if row.destination not in without
            ]
            return max(0.0, (min(free_at) - tx.now).total_seconds()) if free_at else None


def _told(row: DeliveryRow, leased_until: datetime) -> OutboxRow:
    return OutboxRow(
        number=row.number,
        delivery_id=row.delivery.delivery_id,
        account_id=row.delivery.account_id,
        integration_id=row.delivery.integration_id,
        webhook_id=row.delivery.webhook_id,
        person_id=row.person_id,
        event_name=row.delivery.event_name,
        body="",
        attempts=row.attempts,
        created_at=row.created_at,
        leased_until=leased_until,
    )


def _settled(row: DeliveryRow, settlement: OutboxSettlement) -> DeliveryRow:
    aside = settlement.state == "set_aside"
    return replace(
        row,
        state=_PENDING if aside else settlement.state,
        set_aside=row.set_aside or aside,
        attempts=settlement.attempts,
        next_attempt_at=settlement.next_attempt_at,
        leased_until=None,
    )


class Endpoints:
    """The systems that events go to."""

    def __init__(self, random: Random, clock: Clock, outside: Outside) -> None:
        self.down: set[str] = set()
        self.flaky = random.choice((0.0, 0.0, 0.1, 0.3))
        self._random = random
        self._clock = clock
        self._outside = outside

    def heal(self) -> None:
        """From now on everything is taken."""
        self.down.clear()
        self.flaky = 0.0

    async def take(self, posting: Posting) -> PostResult:
        """One event arrives, or does not."""
        random = self._random
        destination = posting.destination_kind
        await asyncio.sleep(random.random() ** 3 * 2)
        if destination in self.down:
            return _REFUSED if random.random() < 0.5 else _LOST
        drawn = random.random()
        if drawn < self.flaky / 2:
            return _REFUSED
        self._outside.delivered.append(Delivered(self._clock(), posting.delivery_id))
        if drawn < self.flaky:
            await asyncio.sleep(random.random() * 20)
            return _LOST
        return _TAKEN


class PosterTwin:
    """Posts through the senders. Implements `policycore.ports.EventPoster` for one process."""

    def __init__(self, process: Process, pool: SenderPoolTwin, endpoints: Endpoints) -> None:
        self._process = process
        self._pool = pool
        self._endpoints = endpoints

    async def post(self, posting: Posting) -> PostResult:
        self._process.require()
        if not self._pool.available():
            return NOT_POSTED
        result = await self._endpoints.take(posting)
        self._process.require()
        return result

"""Owns the memory that stands for the database: rows, row locks, transactions that commit or roll back, and what
may go wrong at a commit.

Transactions see what was committed when they look (READ COMMITTED); whoever changes a row holds it until the end, and
the others wait. With `serial` there is one writer at a time, as in SQLite.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from random import Random
from typing import Any

from policycore.errors import Contended, DatabaseUnavailable

Key = Any
"""The primary key of a row."""

Place = tuple[str, Key]
"""A table and a key."""

_NEXT_TO_NONE = 0.0005
"""Seconds."""

_EVERYTHING: Place = ("database", "")


class Fate(Enum):
    """What becomes of a commit."""

    GOES_WELL = 0
    KILLED_BEFORE = 1
    KILLED_AFTER = 2
    LOST_BEFORE = 3
    LOST_AFTER = 4


@dataclass(frozen=True, slots=True)
class Change:
    """A row as one commit left it, None if it was removed. `number` counts commits."""

    number: int
    at: datetime
    table: str
    key: Key
    row: Any


class Process:
    """A process that uses the database, until it is killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.transactions: set[Transaction] = set()
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.died_at: float | None = None

    def require(self) -> None:
        """Raises CancelledError in what is left of a dead process."""
        if not self.alive:
            raise asyncio.CancelledError

    def kill(self) -> None:
        """Ends it between two instructions: nothing it held in memory is left, its transactions roll back."""
        if not self.alive:
            return
        self.alive = False
        self.died_at = asyncio.get_running_loop().time()
        self.died.set_result(None)
        for transaction in sorted(self.transactions, key=lambda each: each.number):
            transaction.roll_back()


class Store:
    """The committed rows of every table."""

    def __init__(self, random: Random, clock: Callable[[], datetime], *, serial: bool) -> None:
        self.random = random
        self.clock = clock
        self.serial = serial
        self.away_since: float | None = None
        self.tables: dict[str, dict[Key, Any]] = {}
        self.journal: list[Change] = []
        self.commits = 0
        self.began = 0
        self.log_ids = 0
        self.delivery_numbers = 0
        self.slowness = 1.0
        self.near_ceilings = 32
        self.fate: Callable[[Process], Fate] = lambda process: Fate.GOES_WELL
        self.committed: Callable[[Sequence[Change]], None] = lambda changes: None
        self._holders: dict[Place, Transaction] = {}
        self._waiters: dict[Place, list[asyncio.Future[None]]] = {}

    async def way(self, longest: float) -> None:
        """The time that something takes to the database or back: mostly next to none, and then only a turn."""
        seconds = self.slowness * self.random.random() ** 4 * longest
        # A timer costs several times a turn, and most histories consist of these.
        await asyncio.sleep(seconds if seconds > _NEXT_TO_NONE else 0)

    def table(self, name: str) -> dict[Key, Any]:
        """The committed rows of a table."""
        return self.tables.setdefault(name, {})

    @asynccontextmanager
    async def begin(self, process: Process) -> AsyncIterator["Transaction"]:
        """A transaction of `process`, committed at the end and rolled back on any error."""
        process.require()
        self.began += 1
        transaction = Transaction(self, process, self.began)
        try:
            await transaction.statement()
            if self.serial:
                await transaction.lock([_EVERYTHING])
            transaction.now = self.clock()
            yield transaction
            await transaction.commit()
        finally:
            transaction.roll_back()

    def hold(self, place: Place, transaction: "Transaction") -> "Transaction | None":
        """Gives the row to the transaction, or tells who has it."""
        holder = self._holders.setdefault(place, transaction)
        return None if holder is transaction else holder

    def next_turn(self, place: Place) -> "asyncio.Future[None]":
        """Done when the row's holder has ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(place, []).append(future)
        return future

    def holder(self, place: Place) -> "Transaction | None":
        """Who has the row."""
        return self._holders.get(place)

    def release(self, places: Iterable[Place]) -> None:
        """Lets go of rows, and wakes those who wait for them."""
        for place in places:
            del self._holders[place]
            for future in self._waiters.pop(place, ()):
                if not future.done():
                    future.set_result(None)

    def apply(self, changes: dict[Place, Any]) -> None:
        """Makes a transaction's changes true, all at one moment."""
        self.commits += 1
        now = self.clock()
        made = []
        for (table, key), row in changes.items():
            rows = self.table(table)
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
            made.append(Change(self.commits, now, table, key, row))
        self.journal.extend(made)
        self.committed(made)


class Transaction:
    """One transaction. What it changes is seen by itself at once, and by others after its commit."""

    def __init__(self, store: Store, process: Process, number: int) -> None:
        self.store = store
        self.process = process
        self.number = number
        self.now = store.clock()
        self._changes: dict[Place, Any] = {}
        self._held: dict[Place, None] = {}
        self._waits_for: Place | None = None
        self._open = True
        process.transactions.add(self)

    async def statement(self) -> None:
        """The time a statement takes on its way. Raises DatabaseUnavailable, or CancelledError in a dead process."""
        await self.store.way(0.02)
        self._require_open()

    def _require_open(self) -> None:
        self.process.require()
        if self.store.away_since is not None or not self._open:
            raise DatabaseUnavailable

    def get(self, table: str, key: Key) -> Any:
        """A row as this transaction sees it, or None."""
        place = (table, key)
        if place in self._changes:
            return self._changes[place]
        return self.store.table(table).get(key)

    def items(self, table: str) -> dict[Key, Any]:
        """Every row of a table as this transaction sees it, by key."""
        seen = dict(self.store.table(table))
        for (changed, key), row in self._changes.items():
            if changed == table:
                seen.pop(key, None)
                if row is not None:
                    seen[key] = row
        return seen

    def rows(self, table: str) -> list[Any]:
        """Every row of a table as this transaction sees it."""
        return list(self.items(table).values())

    async def lock(self, places: Iterable[Place]) -> None:
        """Holds rows until the end, one after the other. Raises Contended where two would wait for each other."""
        self._require_open()
        for place in places:
            if place in self._held:
                continue
            while self.store.hold(place, self) is not None:
                self._refuse_ring(place)
                self._waits_for = place
                try:
                    await self.store.next_turn(place)
                finally:
                    self._waits_for = None
                self._require_open()
            self._held[place] = None

    def _refuse_ring(self, place: Place | None) -> None:
        while place is not None:
            holder = self.store.holder(place)
            if holder is None:
                return
            if holder is self:
                raise Contended
            place = holder._waits_for

    async def put(self, table: str, key: Key, row: Any) -> None:
        """Writes a row, or removes it with None; waits for whoever holds it."""
        place = (table, key)
        if place not in self._held:
            await self.lock([place])
        self._changes[place] = row

    async def insert(self, table: str, key: Key, row: Any) -> None:
        """Writes a new row. Raises Contended if another transaction was quicker with this key."""
        await self.lock([(table, key)])
        if self.get(table, key) is not None:
            raise Contended
        self._changes[table, key] = row

    async def commit(self) -> None:
        """Makes the changes true, unless the process dies or the connection is lost just before."""
        await self.statement()
        fate = self.store.fate(self.process) if self._changes else Fate.GOES_WELL
        if fate is Fate.KILLED_BEFORE:
            self.process.kill()
            self.process.require()
        if fate is Fate.LOST_BEFORE:
            raise DatabaseUnavailable
        if self._changes:
            self.store.apply(self._changes)
        self._end()
        if fate is Fate.KILLED_AFTER:
            self.process.kill()
            self.process.require()
        if fate is Fate.LOST_AFTER:
            raise DatabaseUnavailable
        # The server has committed; its answer is still on the way.
        await self.store.way(0.01)
        self.process.require()

    def roll_back(self) -> None:
        """Forgets the changes and lets go of the rows; nothing after a commit."""
        if self._open:
            self._end()

    def _end(self) -> None:
        self._open = False
        self._changes = {}
        held, self._held = self._held, {}
        self.process.transactions.discard(self)
        self.store.release(held)

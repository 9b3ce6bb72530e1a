"""Whose turn it is to run the live invariants, how far they came, and the notices of what they found."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.evidence import Progress, Violation
from policycore.store.engine import Database
from policycore.store.invariant_tables import invariant_progress, invariant_violations
from policycore.store.persons import upsert
from policycore.store.tables import decisions

_LOCK = 0x696E766172
"""PostgreSQL advisory lock ("invar" in ASCII): one process at a time runs the invariants."""

_STATEMENT_SECONDS = 5
_FIRST_LOOK = timedelta(hours=1)
_FIRST_DECISIONS = 10_000
"""How far back the very first run begins: the past of a large installation is not looked through."""

_AT_ONCE = 500
SHOWN_FOR = timedelta(days=7)
"""How long a violation is shown to administrators after it was last seen."""


class InvariantTurn:
    """A connection to read by while the turn is this process's, and the way to write down what came of it."""

    def __init__(self, database: Database, connection: AsyncConnection, now: datetime) -> None:
        self._database = database
        self.connection = connection
        self.now = now

    async def progress(self, until: datetime) -> Progress:
        """Where the last run ended; for the first one, a little before `until`."""
        row = (await self.connection.execute(select(invariant_progress))).one_or_none()
        if row is not None:
            return Progress(row.messages_until, row.log_id, row.quota_account_id)
        highest = (await self.connection.execute(select(func.max(decisions.c.log_id)))).scalar_one() or 0
        return Progress(until - _FIRST_LOOK, max(0, highest - _FIRST_DECISIONS))

    async def record(self, progress: Progress, violations: Sequence[Violation]) -> list[Violation]:
        """Writes both down, in a transaction of its own; returns the violations that were not known before."""
        row = {
            "id": 1,
            "messages_until": progress.messages_until,
            "log_id": progress.log_id,
            "quota_account_id": progress.quota_account_id,
            "ran_at": self.now,
        }
        fresh: set[tuple[str, str]] = set()
        async with self._database.transaction() as connection:
            statement = upsert(connection, invariant_progress).values(row)
            await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))
            for start in range(0, len(violations), _AT_ONCE):
                fresh |= await _note(connection, violations[start : start + _AT_ONCE], self.now)
        return [each for each in violations if (each.invariant, each.subject) in fresh]


class SqlInvariantStore:
    """The turns of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[InvariantTurn | None]:
        """A turn, or None while another process has it. No statement in it takes longer than 5 s on PostgreSQL."""
        async with self._database.reading() as connection:
            if self._database.is_postgres:
                await connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'"))
                held = await connection.execute(text(f"SELECT pg_try_advisory_xact_lock({_LOCK})"))
                if not held.scalar_one():
                    yield None
                    return
            yield InvariantTurn(self._database, connection, await self._database.now(connection))


async def _note(
    connection: AsyncConnection, violations: Sequence[Violation], now: datetime
) -> set[tuple[str, str]]:
    table = invariant_violations
    rows = {
        (each.invariant, each.subject): {
            "invariant": each.invariant,
            "subject": each.subject,
            "account_id": each.account_id,
            "explanation": each.explanation,
            "found_at": now,
            "seen_at": now,
        }
        for each in violations
    }
    statement = upsert(connection, table).values(list(rows.values()))
    statement = statement.on_conflict_do_update(
        index_elements=["invariant", "subject"],
        set_={
            "explanation": statement.excluded.explanation,
            "seen_at": statement.excluded.seen_at,
            "sightings": table.c.sightings + 1,
        },
    )
    noted = await connection.execute(
        statement.returning(table.c.invariant, table.c.subject, table.c.sightings)
    )
    return {(row.invariant, row.subject) for row in noted if row.sightings == 1}


@dataclass(frozen=True, slots=True)
class Notices:
    """What administrators are shown. `broken`: for each invariant that was seen broken lately, how many violations
    and the subject of the newest.
    """

    ran_at: datetime | None
    messages_until: datetime | None
    broken: Mapping[str, tuple[int, str]]


async def read_notices(connection: AsyncConnection, now: datetime) -> Notices:
    """The notices of the last 7 days."""
    columns = (invariant_progress.c.ran_at, invariant_progress.c.messages_until)
    ran_at, messages_until = (await connection.execute(select(*columns))).one_or_none() or (None, None)
    table = invariant_violations
    shown = table.c.seen_at > now - SHOWN_FOR
    counted = select(table.c.invariant, func.count()).where(shown).group_by(table.c.invariant)
    found: dict[str, tuple[int, str]] = {}
    for name, count in (await connection.execute(counted.order_by(table.c.invariant))).all():
        newest = (
            select(table.c.subject)
            .where(shown, table.c.invariant == name)
            .order_by(table.c.seen_at.desc(), table.c.found_at.desc(), table.c.subject)
            .limit(1)
        )
        found[name] = (count, (await connection.execute(newest)).scalar_one())
    return Notices(ran_at, messages_until, found)

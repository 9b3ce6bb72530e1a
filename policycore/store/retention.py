"""Removes what an operator does not want to keep: old months of the policy log, old messages, texts, deliveries.

Everything is done in short transactions, the oldest first, and by one process at a time on PostgreSQL.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, exists, func, or_, select, table, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore import steps
from policycore.ledger import MessageState
from policycore.store.engine import Database
from policycore.store.expiry import EVENTS_LIFE, remove_expired_events
from policycore.store.partitions import (
    Month,
    Partition,
    drop_partition,
    make_partition,
    missing_months,
    read_partitions,
)
from policycore.store.persons import upsert
from policycore.store.tables import accounts, decisions, messages, outbox, retention_progress, suppressions

_TURN = 0x726574656E74
"""PostgreSQL advisory lock ("retent" in ASCII): one process at a time removes."""

_AT_ONCE = 500
_MOST_ROUNDS = 20
_ACCOUNTS_AT_ONCE = 50
_LOOK_EVERY = timedelta(hours=1)
"""An account that has nothing more to remove is looked at again after this."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_OPEN = (int(MessageState.WAITING), int(MessageState.HANDED_OUT))


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long things are kept; 0 is for ever. Months are whole calendar months in UTC beside the one that runs."""

    log_months: int = 0
    text_days: int = 0
    delivery_days: int = 90
    """Of deliveries that have ended. They can be replayed for 30 days; no text is kept for longer than texts are."""


@dataclass(slots=True)
class Removed:
    """What one run did. `strays` are months without a partition whose rows went into the default one."""

    made: int = 0
    strays: int = 0
    partitions: int = 0
    decisions: int = 0
    messages: int = 0
    texts: int = 0
    deliveries: int = 0


class Retention:
    """Makes partitions ahead, and removes what is older than `keeping` says."""

    def __init__(self, database: Database, keeping: Keeping) -> None:
        self._database = database
        self._keeping = keeping

    async def run(self) -> Removed:
        """One run, bounded; what is left is for the next one. Errors: `DatabaseUnavailable` and its like."""
        removed = Removed()
        if self._database.is_postgres:
            await self._make_ahead(removed)
        if self._keeping.log_months:
            await self._remove_decisions(removed)
        if self._keeping.log_months or self._keeping.text_days:
            await self._remove_from_accounts(removed)
        await self._remove_deliveries(removed)
        if 0 < self._keeping.text_days < EVENTS_LIFE.days:
            await remove_expired_events(self._database, timedelta(days=self._keeping.text_days))
        return removed

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[tuple[AsyncConnection, datetime] | None]:
        """A transaction and the database's clock; None while another process has the turn."""
        async with self._database.transaction() as connection:
            if self._database.is_postgres:
                held = await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({_TURN})"))
                if not held:
                    yield None
                    return
            yield connection, await self._database.now(connection)

    async def _make_ahead(self, removed: Removed) -> None:
        async with self._turn() as turn:
            if turn is None:
                return
            connection, now = turn
            for month in missing_months(await read_partitions(connection), now):
                made = await make_partition(connection, month)
                removed.made += made
                removed.strays += not made
            steps.passed("keep.made_ahead")

    async def _remove_decisions(self, removed: Removed) -> None:
        """Whole partitions where there are, else rows by their number, which rises with their time."""
        mixed: list[Partition] = []
        if self._database.is_postgres:
            mixed = await self._drop_partitions(removed)
        targets: Sequence[Any] = [_same_columns(part.name) for part in mixed]
        for target in targets if self._database.is_postgres else [decisions]:
            for _ in range(_MOST_ROUNDS):
                async with self._turn() as turn:
                    rows = 0 if turn is None else await _remove_oldest(target, turn, self._log_bound(turn[1]))
                removed.decisions += rows
                if rows < _AT_ONCE:
                    break

    def _log_bound(self, now: datetime) -> datetime:
        return Month.of(now).later(-self._keeping.log_months).first

    async def _drop_partitions(self, removed: Removed) -> list[Partition]:
        """Drops what has ended; returns the partitions that are left and hold more than one month."""
        async with self._turn() as turn:
            if turn is None:
                return []
            connection, now = turn
            found = await read_partitions(connection)
            bound = self._log_bound(now)
            ended = [part for part in found if part.end is not None and part.end.first <= bound]
        for part in ended:
            async with self._turn() as turn:
                if turn is not None:
                    await drop_partition(turn[0], part)
                    steps.passed("keep.dropped")
                    removed.partitions += 1
        return [part for part in found if part not in ended and not part.monthly]

    async def _remove_from_accounts(self, removed: Removed) -> None:
        for _ in range(_MOST_ROUNDS):
            async with self._turn() as turn:
                due = [] if turn is None else await _due_accounts(*turn)
            for account_id, texts_until, messages_until in due:
                await self._remove_from_account(account_id, texts_until, messages_until, removed)
            if len(due) < _ACCOUNTS_AT_ONCE:
                return

    async def _remove_from_account(
        self, account_id: str, texts_until: datetime, messages_until: datetime, removed: Removed
    ) -> None:
        for _ in range(_MOST_ROUNDS):
            async with self._turn() as turn:
                if turn is None:
                    return
                connection, now = turn
                texts, texts_until = await self._clear_texts(connection, account_id, texts_until, now)
                gone, messages_until = await self._remove_messages(
                    connection, account_id, messages_until, now
                )
                done = texts < _AT_ONCE and gone < _AT_ONCE
                await _note_progress(
                    connection, account_id, texts_until, messages_until, now if done else _BEGINNING
                )
                steps.passed("keep.account_noted")
            removed.texts += texts
            removed.messages += gone
            if done:
                return

    async def _clear_texts(
        self, connection: AsyncConnection, account_id: str, after: datetime, now: datetime
    ) -> tuple[int, datetime]:
        """Takes the texts out of the next messages; returns how many were looked at, and up to when they were made."""
        if not self._keeping.text_days:
            return 0, after
        until = now - timedelta(days=self._keeping.text_days)
        span = await _next_span(connection, account_id, after, until)
        if span is None:
            return 0, max(after, until)
        looked_at, last = span
        await connection.execute(
            update(messages)
            .where(*_made_in(account_id, after, last), _MAY_GO)
            .values(text="", text_digest=None, media_json=None)
        )
        return looked_at, last

    async def _remove_messages(
        self, connection: AsyncConnection, account_id: str, after: datetime, now: datetime
    ) -> tuple[int, datetime]:
        if not self._keeping.log_months:
            return 0, after
        until = self._log_bound(now) - timedelta(microseconds=1)
        span = await _next_span(connection, account_id, after, until)
        if span is None:
            return 0, max(after, until)
        looked_at, last = span
        await connection.execute(delete(messages).where(*_made_in(account_id, after, last), _MAY_GO))
        return looked_at, last

    async def _remove_deliveries(self, removed: Removed) -> None:
        """Deliveries that have ended, by their number, which rises with their time. The newest row stays."""
        kept = self._keeping
        days = min(kept.delivery_days, kept.text_days or kept.delivery_days)
        for _ in range(_MOST_ROUNDS):
            async with self._turn() as turn:
                if turn is None:
                    return
                connection, now = turn
                oldest = select(outbox.c.number).order_by(outbox.c.number).limit(_AT_ONCE)
                statement = delete(outbox).where(
                    outbox.c.number.in_(oldest.scalar_subquery()),
                    outbox.c.number < select(func.max(outbox.c.number)).scalar_subquery(),
                    outbox.c.state != "pending",
                    outbox.c.created_at <= now - timedelta(days=days),
                )
                rows = (await connection.execute(statement)).rowcount
            steps.passed("keep.deliveries_removed")
            removed.deliveries += rows
            if rows < _AT_ONCE:
                return


_MAY_GO: ColumnElement[bool] = ~or_(
    messages.c.state.in_(_OPEN),
    # What a person wrote to opt out is kept with the entry it led to.
    exists().where(
        # By person, for that is where the index is.
        suppressions.c.person_id == messages.c.person_id,
        suppressions.c.evidence_message_id == messages.c.id,
    ),
)


def _made_in(account_id: str, after: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    made_at = messages.c.created_at
    return messages.c.account_id == account_id, made_at > after, made_at <= until


async def _next_span(
    connection: AsyncConnection, account_id: str, after: datetime, until: datetime
) -> tuple[int, datetime] | None:
    """How many of an account's messages made in (after, until] come next, and when the last of them was made."""
    next_ones = (
        select(messages.c.created_at)
        .where(*_made_in(account_id, after, until))
        .order_by(messages.c.created_at)
        .limit(_AT_ONCE)
    )
    made = list((await connection.execute(next_ones)).scalars())
    return (len(made), made[-1]) if made else None


async def _due_accounts(connection: AsyncConnection, now: datetime) -> list[tuple[str, datetime, datetime]]:
    known = retention_progress
    looked_at = func.coalesce(known.c.looked_at, 0)
    rows = await connection.execute(
        select(accounts.c.id, known.c.texts_until, known.c.messages_until)
        .select_from(accounts.outerjoin(known, known.c.account_id == accounts.c.id))
        .where(or_(known.c.looked_at.is_(None), known.c.looked_at < now - _LOOK_EVERY))
        .order_by(looked_at, accounts.c.id)
        .limit(_ACCOUNTS_AT_ONCE)
    )
    return [(row[0], row[1] or _BEGINNING, row[2] or _BEGINNING) for row in rows]


async def _note_progress(
    connection: AsyncConnection,
    account_id: str,
    texts_until: datetime,
    messages_until: datetime,
    looked_at: datetime,
) -> None:
    row = {"texts_until": texts_until, "messages_until": messages_until, "looked_at": looked_at}
    statement = upsert(connection, retention_progress).values(account_id=account_id, **row)
    await connection.execute(statement.on_conflict_do_update(index_elements=["account_id"], set_=row))


def _same_columns(name: str) -> Any:
    """A partition that holds rows of several months, as far as removing needs it."""
    return table(name, *(decisions.c[each]._copy() for each in ("log_id", "decided_at")))


async def _remove_oldest(target: Table, turn: tuple[AsyncConnection, datetime], bound: datetime) -> int:
    connection, _ = turn
    oldest = select(target.c.log_id).order_by(target.c.log_id).limit(_AT_ONCE)
    statement = delete(target).where(
        target.c.log_id.in_(oldest.scalar_subquery()), target.c.decided_at < bound
    )
    if connection.dialect.name == "sqlite":
        # The newest row stays, for SQLite's numbers follow the highest: none may be given out twice.
        statement = statement.where(target.c.log_id < select(func.max(target.c.log_id)).scalar_subquery())
    return (await connection.execute(statement)).rowcount

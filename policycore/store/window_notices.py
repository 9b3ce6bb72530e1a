"""Conversation windows that end while their person waits for an answer, in SQL; each is told of once."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.event_ledger import EventWrites, NewDelivery
from policycore.ledger import MessageState
from policycore.model import Source
from policycore.registry.snapshot import Snapshot
from policycore.store.decisions import SnapshotAt
from policycore.store.engine import Database
from policycore.store.events import SqlEventTransaction
from policycore.store.persons import identities_of, ref_of, upsert
from policycore.store.tables import decisions, messages, persons, suppressions, window_notices, windows
from policycore.window_ends import Ending, Span

_AT_ONCE = 200
_NO_ANSWER = [int(state) for state in (MessageState.REJECTED, MessageState.FAILED, MessageState.LAPSED)]


class SqlWindowNotices:
    """Implements `policycore.usecases.announce_windows.WindowNotices`."""

    def __init__(self, database: Database, snapshot_at: SnapshotAt) -> None:
        self._database = database
        self._snapshot_at = snapshot_at

    async def now(self) -> datetime:
        async with self._database.reading() as connection:
            return await self._database.now(connection)

    async def announce(
        self, span: Span, deliver: Callable[[Ending, Snapshot, datetime], NewDelivery | None]
    ) -> tuple[int, bool]:
        async with self._database.transaction() as connection:
            now, snapshot = await self._snapshot_at(connection)
            rows = (await connection.execute(_ending(span))).all()
            claimed = await _claim(connection, span, rows, now)
            endings = await _read(
                connection, [row for row in rows if (row.instance_id, row.person_id) in claimed]
            )
            made = [delivery for each in endings if (delivery := deliver(each, snapshot, now)) is not None]
            if made:
                await SqlEventTransaction(connection, now, snapshot).write(EventWrites(deliveries=made))
        return len(made), len(rows) == _AT_ONCE


def _ending(span: Span) -> Select[Any]:
    """Windows of the span whose last word is the person's, nobody blocks, and of which nobody was told yet."""
    told = exists().where(
        window_notices.c.integration_id == span.integration_id,
        window_notices.c.instance_id == windows.c.instance_id,
        window_notices.c.person_id == windows.c.person_id,
        window_notices.c.last_inbound_at >= windows.c.last_inbound_at,
    )
    blocked = exists().where(
        suppressions.c.person_id == windows.c.person_id,
        suppressions.c.scope == "all",
        suppressions.c.lifted_at.is_(None),
    )
    still_open = or_(
        windows.c.closed_by_backend_at.is_(None), windows.c.closed_by_backend_at < windows.c.last_inbound_at
    )
    return (
        select(windows, persons.c.display_name)
        .join(persons, persons.c.id == windows.c.person_id)
        .where(
            windows.c.instance_id.in_(span.instance_ids),
            windows.c.last_inbound_at > span.after,
            windows.c.last_inbound_at <= span.until,
            still_open,
            ~told,
            ~blocked,
            _last_is_outbound().is_(False),
        )
        .order_by(windows.c.last_inbound_at, windows.c.instance_id, windows.c.person_id)
        .limit(_AT_ONCE)
    )


def _last_is_outbound() -> Any:
    """Whether the thread's last word is the business's. What did not leave, and what the gateway says by itself, is
    nobody's answer.
    """
    by_gateway = exists().where(
        decisions.c.account_id == messages.c.account_id,
        decisions.c.log_id == messages.c.log_id,
        decisions.c.source == Source.SERVICE.value,
    )
    answer: ColumnElement[bool] = and_(messages.c.state.not_in(_NO_ANSWER), ~by_gateway)
    return (
        select(messages.c.outbound)
        .where(
            messages.c.person_id == windows.c.person_id,
            messages.c.instance_id == windows.c.instance_id,
            or_(messages.c.outbound.is_(False), messages.c.from_business, answer),
        )
        .order_by(messages.c.created_at.desc())
        .limit(1)
        .correlate(windows)
        .scalar_subquery()
    )


async def _claim(
    connection: AsyncConnection, span: Span, rows: list[Any], now: datetime
) -> set[tuple[str, str]]:
    """Notes that agents are told; returns the (instance id, person id) pairs that nobody had noted meanwhile."""
    if not rows:
        return set()
    values = [
        {
            "integration_id": span.integration_id,
            "instance_id": row.instance_id,
            "person_id": row.person_id,
            "last_inbound_at": row.last_inbound_at,
            "told_at": now,
        }
        for row in sorted(rows, key=lambda row: (row.instance_id, row.person_id))
    ]
    statement = upsert(connection, window_notices).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=["integration_id", "instance_id", "person_id"],
        set_={
            "last_inbound_at": statement.excluded.last_inbound_at,
            "told_at": statement.excluded.told_at,
        },
        where=window_notices.c.last_inbound_at < statement.excluded.last_inbound_at,
    )
    returning = statement.returning(window_notices.c.instance_id, window_notices.c.person_id)
    return {(row[0], row[1]) for row in await connection.execute(returning)}


async def _read(connection: AsyncConnection, rows: list[Any]) -> list[Ending]:
    known = await identities_of(connection, [row.person_id for row in rows])
    return [
        Ending(
            instance_id=row.instance_id,
            person_id=row.person_id,
            person=ref_of(known.get(row.person_id, {})),
            pseudonym=known.get(row.person_id, {}).get("alias", ""),
            name=row.display_name,
            conversation_id=row.conversation_id,
            last_inbound_at=row.last_inbound_at,
        )
        for row in rows
    ]

"""Messages whose outcome is unknown: noted as they become it, looked for, listed, settled."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ledger import MessageState
from policycore.reconciliation import SETTLE_AFTER, UnknownMessage, next_look_at
from policycore.registry.pages import Filter, Page, PageRequest, write_token
from policycore.store.decisions import SnapshotAt
from policycore.store.engine import Database
from policycore.store.events import SqlEventTransaction
from policycore.store.message_rows import view_of_row
from policycore.store.registry_tables import conditions, keyset, page_moment
from policycore.store.tables import audit_entries, messages
from policycore.store.types import to_microseconds
from policycore.store.unknown_tables import unknown_messages
from policycore.unknown_ledger import UnknownRow

_UNKNOWN = messages.c.state == int(MessageState.UNKNOWN)
_SAME = messages.c.id == unknown_messages.c.message_id
_MAY_HAVE_LEFT = [
    int(state)
    for state in (
        MessageState.HANDED_OUT,
        MessageState.UNKNOWN,
        MessageState.ACCEPTED,
        MessageState.SENT,
        MessageState.DELIVERED,
        MessageState.READ,
        MessageState.FAILED,
    )
]


class SqlUnknownTransaction(SqlEventTransaction):
    """One transaction; see `policycore.unknown_ledger.UnknownTransaction`."""

    async def unnamed_like(self, message: UnknownMessage) -> list[str]:
        query = (
            select(messages.c.id)
            .where(
                messages.c.person_id == message.person_id,
                messages.c.created_at > message.since - SETTLE_AFTER,
                messages.c.instance_id == message.instance_id,
                messages.c.outbound,
                messages.c.external_id.is_(None),
                messages.c.text == message.text,
                messages.c.state.in_(_MAY_HAVE_LEFT),
                messages.c.handed_out_at >= message.since,
            )
            .order_by(messages.c.id)
        )
        if self.connection.dialect.name == "postgresql":
            query = query.with_for_update()
        ids = list((await self.connection.execute(query)).scalars())
        oldest_first = select(messages.c.id).where(messages.c.id.in_(ids))
        oldest_first = oldest_first.order_by(messages.c.handed_out_at, messages.c.id)
        return list((await self.connection.execute(oldest_first)).scalars())

    async def known_ids(self, instance_id: str, external_ids: Sequence[str]) -> set[str]:
        query = select(messages.c.external_id).where(
            messages.c.instance_id == instance_id, messages.c.external_id.in_(external_ids)
        )
        return set((await self.connection.execute(query)).scalars())

    async def find(self, message_id: str) -> UnknownRow | None:
        query = _rows().where(messages.c.id == message_id)
        if self.connection.dialect.name == "postgresql":
            query = query.with_for_update(of=messages)
        row = (await self.connection.execute(query)).one_or_none()
        return None if row is None else _unknown_row(row)

    async def note_settled(self, message_ids: Sequence[str]) -> None:
        await self.connection.execute(
            delete(unknown_messages).where(unknown_messages.c.message_id.in_(message_ids))
        )

    async def write_audit(
        self, actor: str, act: str, target: str, account_id: str | None, detail: Mapping[str, object]
    ) -> None:
        await self.connection.execute(
            insert(audit_entries).values(
                occurred_at=self.now,
                actor=actor,
                act=act,
                target=target,
                account_id=account_id,
                detail_json=json.dumps(detail, ensure_ascii=False),
            )
        )


class SqlUnknownLedger:
    """The unknown messages of one database; see `policycore.unknown_ledger.UnknownLedger`."""

    def __init__(self, database: Database, snapshot_at: SnapshotAt) -> None:
        self._database = database
        self._snapshot_at = snapshot_at

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnknownTransaction]:
        async with self._database.transaction() as connection:
            now, snapshot = await self._snapshot_at(connection)
            yield SqlUnknownTransaction(connection, now, snapshot)

    async def claim_due(self, limit: int) -> list[UnknownMessage]:
        async with self._database.reading() as connection:
            # Most of the time nothing is due; that must not cost the one writer of SQLite.
            now = await self._database.now(connection)
            due = unknown_messages.c.next_look_at <= now
            if not (await connection.execute(select(exists().where(due)))).scalar_one():
                return []
        async with self._database.transaction() as connection:
            query = _rows().where(due).order_by(unknown_messages.c.next_look_at).limit(limit)
            if connection.dialect.name == "postgresql":
                query = query.with_for_update(of=unknown_messages, skip_locked=True)
            rows = (await connection.execute(query)).all()
            for row in rows:
                following = _following(row, now)
                await self._set(connection, row.id, looks=row.looks + 1, next_look_at=following)
        return [_to_look_for(row) for row in rows if row.state == int(MessageState.UNKNOWN)]

    async def note_look(self, message_id: str, reason: str, *, again: bool) -> None:
        async with self._database.transaction() as connection:
            values: dict[str, Any] = {"last_look": reason[:64]}
            await self._set(connection, message_id, **values if again else {**values, "next_look_at": None})

    async def page(self, wanted: Filter, request: PageRequest, *, ripe_only: bool) -> Page[UnknownRow]:
        after = None
        if request.after is not None:
            after = (page_moment(request.after[0]), request.after[1])
        columns = (unknown_messages.c.unknown_since, unknown_messages.c.message_id)
        async with self._database.reading() as connection:
            query = _rows().where(_UNKNOWN, *conditions(messages, wanted))
            if ripe_only:
                ripe = await self._database.now(connection) - SETTLE_AFTER
                query = query.where(unknown_messages.c.unknown_since <= ripe)
            query = keyset(query, columns, after, request.size, newest_first=False)
            found = (await connection.execute(query)).all()
        rows = tuple(_unknown_row(row) for row in found[: request.size])
        if len(found) <= request.size:
            return Page(rows)
        last = rows[-1]
        return Page(rows, write_token((to_microseconds(last.unknown_since), last.view.message_id)))

    async def count(self) -> tuple[int, int]:
        async with self._database.reading() as connection:
            return await count_unknown(connection, await self._database.now(connection))

    async def clean(self) -> int:
        settled = ~exists().where(_SAME, _UNKNOWN)
        async with self._database.transaction() as connection:
            return (await connection.execute(delete(unknown_messages).where(settled))).rowcount

    @staticmethod
    async def _set(connection: AsyncConnection, message_id: str, **values: Any) -> None:
        statement = update(unknown_messages).where(unknown_messages.c.message_id == message_id)
        await connection.execute(statement.values(**values))


async def count_unknown(connection: AsyncConnection, now: datetime) -> tuple[int, int]:
    """How many messages are unknown, and how many of them a person may settle."""
    ripe = unknown_messages.c.unknown_since <= now - SETTLE_AFTER
    both = select(func.count(), func.count().filter(ripe)).where(_SAME, _UNKNOWN)
    unknown, to_settle = (await connection.execute(both)).one()
    return int(unknown), int(to_settle)


def _following(row: Row[Any], now: datetime) -> datetime | None:
    """When to look after this look. Looks that were missed are not made up for."""
    looks = row.looks + 1
    while (following := next_look_at(row.unknown_since, looks)) is not None and following <= now:
        looks += 1
    return following


def _rows() -> Select[Any]:
    columns = unknown_messages.c
    return select(
        messages, columns.unknown_since, columns.looks, columns.last_look, columns.next_look_at
    ).join_from(unknown_messages, messages, _SAME)


def _unknown_row(row: Row[Any]) -> UnknownRow:
    return UnknownRow(view_of_row(row), row.unknown_since, row.looks, row.last_look, row.next_look_at)


def _to_look_for(row: Row[Any]) -> UnknownMessage:
    return UnknownMessage(
        message_id=row.id,
        instance_id=row.instance_id,
        person_id=row.person_id,
        phone=row.to_phone,
        lid=row.to_lid,
        bsuid=row.to_bsuid,
        text=row.text,
        attempted_at=row.handed_out_at or row.created_at,
        looks=row.looks + 1,
    )

"""Owns what must be done to a store that was put back from an older state, before anybody works on it.

Between the state and now lies a time of which the store knows nothing: messages were sent in it, persons opted out,
keys were revoked. What the store holds as open may have been sent since, and who may be written to may have said no.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Update, func, insert, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ids import RandomBytes, new_id
from policycore.ledger import MessageState
from policycore.store import tables
from policycore.store.embedded_file import alone_with, path_of
from policycore.store.engine import open_database
from policycore.store.store_errors import StoreRefused
from policycore.store.store_state_tables import store_state

ACTOR = "hubgate store restored"
NUMBERS_APART = 1_000_000_000
"""Decisions and events after a restoration are numbered from the next multiple of this: no number of the lost time is
given out again."""

VERSIONS_APART = 1_000_000
"""So far the configuration's version jumps, that nobody takes a picture of the lost time for a newer one."""

_LONGEST_WINDOW = timedelta(hours=25)


@dataclass(frozen=True, slots=True)
class Fences:
    """What is done beside what always is."""

    close_windows: bool = True
    pause: bool = True


@dataclass(slots=True)
class Restored:
    """What was done."""

    messages_unknown: int = 0
    windows_closed: int = 0
    events_waiting: int = 0
    pause_id: str = ""
    newest_at: datetime | None = None


async def declare_restored(url: str, fences: Fences, random_bytes: RandomBytes) -> Restored:
    """Makes a store safe that was put back from an older state, in one transaction. No service may work on it.

    Open messages become such as were handed out to a process that is gone: they end as UNKNOWN and keep their quota.
    Windows are closed until the person writes again. A pause holds everything until somebody lifts it. Numbers go on
    far above those of the lost time. Errors: `StoreRefused` if a service is connected; those of the database.
    """
    _require_closed(url)
    database = open_database(url, pool_size=1)
    try:
        async with database.transaction() as connection:
            await _require_alone(connection)
            now = await database.now(connection)
            done = await _fence(connection, now, fences, random_bytes)
            await _raise_numbers(connection)
            await _move(connection, now)
            await _write_audit(connection, now, {"messages_unknown": done.messages_unknown})
    finally:
        await database.close()
    return done


async def declare_moved(url: str) -> None:
    """Lets the store be used where it is now, as it is: nothing was lost on the way. Errors: as above."""
    _require_closed(url)
    database = open_database(url, pool_size=1)
    try:
        async with database.transaction() as connection:
            await _require_alone(connection)
            now = await database.now(connection)
            await connection.execute(update(store_state).values(home="", fence=""))
            await _write_audit(connection, now, {"nothing_lost": True})
    finally:
        await database.close()


def _require_closed(url: str) -> None:
    if make_url(url).get_backend_name() == "sqlite":
        with alone_with(path_of(url)) as store:
            store.execute("COMMIT")


async def _require_alone(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql" and (await connection.execute(_OTHERS)).scalar_one():
        raise StoreRefused("A service is connected to this database; stop the services first.")


_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hubgate'"
    " AND datname = current_database() AND pid <> pg_backend_pid()"
)


async def _fence(
    connection: AsyncConnection, now: datetime, fences: Fences, random_bytes: RandomBytes
) -> Restored:
    done = Restored(newest_at=await _newest(connection))
    done.messages_unknown = await _count(connection, _HAND_OUT)
    done.events_waiting = await _count(connection, _FREE_EVENTS)
    if fences.close_windows:
        done.windows_closed = await _count(connection, _close_windows(now))
    if fences.pause:
        done.pause_id = new_id("pau_", random_bytes)
        await connection.execute(
            insert(tables.pauses).values(
                id=done.pause_id,
                scope="platform",
                author=ACTOR,
                reason="The store was put back from an older state. See docs/backup.md before lifting this.",
                created_at=now,
            )
        )
    return done


_HAND_OUT = (
    update(tables.messages)
    .where(tables.messages.c.state.in_([int(MessageState.WAITING), int(MessageState.HANDED_OUT)]))
    .values(
        state=int(MessageState.HANDED_OUT),
        handed_out_at=func.coalesce(tables.messages.c.handed_out_at, tables.messages.c.created_at),
    )
)
"""As if a process that is gone had them: the policy core's sweep settles those as UNKNOWN and tells everybody."""

_FREE_EVENTS = update(tables.outbox).where(tables.outbox.c.state == "pending").values(leased_until=None)


def _close_windows(now: datetime) -> Update:
    return (
        update(tables.windows)
        .where(tables.windows.c.last_inbound_at > now - _LONGEST_WINDOW)
        .values(closed_by_backend_at=now)
    )


async def _count(connection: AsyncConnection, statement: Update) -> int:
    return int((await connection.execute(statement)).rowcount)


async def _newest(connection: AsyncConnection) -> datetime | None:
    """The last moment the store knows of, by its decisions and messages."""
    found: list[datetime] = []
    for column in (
        tables.decisions.c.decided_at,
        tables.messages.c.updated_at,
        tables.audit_entries.c.occurred_at,
    ):
        newest = (await connection.execute(select(func.max(column, type_=column.type)))).scalar_one()
        found += [newest] if newest is not None else []
    return max(found, default=None)


async def _raise_numbers(connection: AsyncConnection) -> None:
    decisions: ColumnElement[Any] = tables.decisions.c.log_id
    events: ColumnElement[Any] = tables.message_events.c.sequence
    highest = 0
    for column in (decisions, events, store_state.c.numbers_above):
        highest = max(highest, (await connection.execute(select(func.max(column)))).scalar_one() or 0)
    above = (highest // NUMBERS_APART + 1) * NUMBERS_APART
    await connection.execute(update(store_state).values(numbers_above=above))
    if connection.dialect.name == "postgresql":
        for sequence in ("decision_log_ids", "message_event_ids"):
            await connection.execute(text(f"SELECT setval('{sequence}', :above)"), {"above": above})


async def _move(connection: AsyncConnection, now: datetime) -> None:
    state = tables.config_state
    await connection.execute(update(state).values(version=state.c.version + VERSIONS_APART))
    await connection.execute(update(store_state).values(home="", fence="", restored_at=now))


async def _write_audit(connection: AsyncConnection, now: datetime, detail: dict[str, Any]) -> None:
    await connection.execute(
        insert(tables.audit_entries).values(
            occurred_at=now,
            actor=ACTOR,
            act="DeclareRestored",
            target="store",
            detail_json=json.dumps(detail),
        )
    )

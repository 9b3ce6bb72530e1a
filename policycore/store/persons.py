"""Persons and their identities: finding, making, and joining two that turned out to be one."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any, cast

from sqlalchemy import Select, Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ids import RandomBytes, new_id
from policycore.inbound import PersonRef
from policycore.pseudonym import KIND as PSEUDONYM
from policycore.pseudonym import is_pseudonym, make_pseudonym
from policycore.store.batch_values import POSTGRESQL, one_of, one_of_rows, rows_parameter
from policycore.store.config_reader import bump_version
from policycore.store.tables import (
    clarifications,
    conversation_bindings,
    cool_downs,
    identities,
    messages,
    outbox,
    pauses,
    persons,
    suppressions,
    window_notices,
    windows,
)

Identity = tuple[str, str, str]
"""(account id, kind, value); kind is `phone`, `lid`, `bsuid` or `alias`, a pseudonym."""


def upsert(connection: AsyncConnection, table: Table) -> sqlite.Insert:
    """The dialect's INSERT with ON CONFLICT; both dialects write it alike, so one type stands for both."""
    if connection.dialect.name == "postgresql":
        return cast(sqlite.Insert, postgresql.insert(table))
    return sqlite.insert(table)


async def find_persons(connection: AsyncConnection, wanted: Sequence[Identity]) -> dict[Identity, str]:
    """Person ids of identities, in one query; unknown identities are left out."""
    if not wanted:
        return {}
    dialect = connection.dialect.name
    parameters = rows_parameter(dialect, "wanted", sorted(set(wanted)))
    rows = await connection.execute(_persons_of(dialect), parameters)
    return {(row[0], row[1], row[2]): row[3] for row in rows}


@cache
def _persons_of(dialect: str) -> Select[Any]:
    columns = (identities.c.account_id, identities.c.kind, identities.c.value)
    return select(*columns, identities.c.person_id).where(one_of_rows(dialect, columns, "wanted"))


async def create_persons(
    connection: AsyncConnection,
    wanted: Iterable[Identity],
    now: datetime,
    random_bytes: RandomBytes = os.urandom,
) -> dict[Identity, str]:
    """Makes a person for each identity that is not known, safely against others doing the same; returns all
    ids.
    """
    ordered = sorted(set(wanted))
    if not ordered:
        return {}
    rows = [
        {"account_id": a, "kind": k, "value": v, "person_id": new_id("per_", random_bytes), "created_at": now}
        for a, k, v in ordered
    ]
    await connection.execute(upsert(connection, identities).on_conflict_do_nothing(), rows)
    found = await find_persons(connection, ordered)
    mine = {row["person_id"]: row for row in rows}
    fresh = [
        {"id": person_id, "account_id": identity[0], "created_at": now}
        for identity, person_id in found.items()
        if person_id in mine
    ]
    if fresh:
        await connection.execute(upsert(connection, persons).on_conflict_do_nothing(), fresh)
    return found


async def find_or_create_person(
    connection: AsyncConnection, account_id: str, kind: str, value: str, now: datetime
) -> str:
    """The person of one identity, made if it is new."""
    identity = (account_id, kind, value)
    found = await find_persons(connection, [identity])
    if identity in found:
        return found[identity]
    return (await create_persons(connection, [identity], now))[identity]


async def add_identity(
    connection: AsyncConnection, account_id: str, kind: str, value: str, person_id: str, now: datetime
) -> None:
    """Notes that an identity is this person's, if it is nobody's yet."""
    row = {
        "account_id": account_id,
        "kind": kind,
        "value": value,
        "person_id": person_id,
        "created_at": now,
    }
    await connection.execute(upsert(connection, identities).on_conflict_do_nothing(), [row])


def numbered(account_id: str, number: str) -> Identity:
    """The identity that a number is: a phone, or the pseudonym of somebody whose phone nobody sees."""
    return (account_id, PSEUDONYM if is_pseudonym(number) else "phone", number)


async def give_pseudonym(connection: AsyncConnection, account_id: str, person_id: str, now: datetime) -> str:
    """The pseudonym of a person, locked, who has none: made, and nobody else's in the account."""
    for attempt in count():
        wanted = make_pseudonym(account_id, person_id, attempt)
        await add_identity(connection, account_id, PSEUDONYM, wanted, person_id, now)
        if (await find_persons(connection, [identity := (account_id, PSEUDONYM, wanted)]))[
            identity
        ] == person_id:
            return wanted
    raise AssertionError("count() ends never")


async def identities_of(connection: AsyncConnection, person_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """For each person the latest value of each kind, but the first pseudonym: agents' threads hang on that."""
    if not person_ids:
        return {}
    rows = await connection.execute(
        select(identities.c.person_id, identities.c.kind, identities.c.value)
        .where(identities.c.person_id.in_(sorted(set(person_ids))))
        .order_by(identities.c.created_at)
    )
    found: dict[str, dict[str, str]] = {}
    for person_id, kind, value in rows:
        kinds = found.setdefault(person_id, {})
        if kind != PSEUDONYM or kind not in kinds:
            kinds[kind] = value
    return found


def ref_of(kinds: Mapping[str, str]) -> PersonRef:
    """How WhatsApp knows a person, of what `identities_of` found."""
    return PersonRef(kinds.get("phone", ""), kinds.get("lid", ""), kinds.get("bsuid", ""))


async def lock_persons(connection: AsyncConnection, person_ids: Iterable[str]) -> dict[str, str]:
    """Locks persons' rows in one fixed order, so that an opt-out and a reply to the same person take turns.

    Returns, for those that were joined to somebody before the lock was had, who they are now: what is true of
    them is written there. SQLite has one writer at a time, who sees every join.
    """
    wanted = sorted(set(person_ids))
    if not wanted or connection.dialect.name != POSTGRESQL:
        return {}
    rows = await connection.execute(_LOCK, {"ids": wanted})
    return {row.id: row.merged_into for row in rows if row.merged_into is not None}


_LOCK = (
    select(persons.c.id, persons.c.merged_into)
    .where(one_of(POSTGRESQL, persons.c.id, "ids"))
    .order_by(persons.c.id)
    .with_for_update()
)


async def lock_person(connection: AsyncConnection, person_id: str) -> str:
    """Locks one person's row; returns the id of who that is once the lock is had."""
    while person_id in (joined := await lock_persons(connection, [person_id])):
        person_id = joined[person_id]
    return person_id


async def join_persons(connection: AsyncConnection, survivor: str, other: str, now: datetime) -> None:
    """Makes `other` and `survivor`, both locked, one: windows take the later time, suppressions their union, the
    rest moves over. The policy log keeps who was meant then.
    """
    await _join_windows(connection, survivor, other)
    for table in (identities, windows, suppressions, messages, conversation_bindings):
        await connection.execute(update(table).where(table.c.person_id == other).values(person_id=survivor))
    waiting = (outbox.c.person_id == other, outbox.c.state == "pending")
    await connection.execute(update(outbox).where(*waiting).values(person_id=survivor))
    await _move_cool_downs(connection, survivor, other)
    await _move_questions(connection, survivor, other)
    await _move_notices(connection, survivor, other)
    paused = (pauses.c.scope == "person", pauses.c.scope_id == other)
    moved = await connection.execute(update(pauses).where(*paused).values(scope_id=survivor))
    if moved.rowcount:
        await bump_version(connection)
    joined = {"merged_into": survivor, "merged_at": now}
    await connection.execute(update(persons).where(persons.c.id == other).values(joined))


async def _join_windows(connection: AsyncConnection, survivor: str, other: str) -> None:
    """Of two windows at one instance the later one stays; the back end's word that one is closed counts for
    both.
    """
    kept = {
        row.instance_id: row
        for row in await connection.execute(select(windows).where(windows.c.person_id == survivor))
    }
    for row in (await connection.execute(select(windows).where(windows.c.person_id == other))).all():
        mine = kept.get(row.instance_id)
        if mine is None:
            continue
        here = windows.c.instance_id == row.instance_id
        await connection.execute(delete(windows).where(here, windows.c.person_id == other))
        closings = [closed for closed in (mine.closed_by_backend_at, row.closed_by_backend_at) if closed]
        await connection.execute(
            update(windows)
            .where(here, windows.c.person_id == survivor)
            .values(
                last_inbound_at=max(mine.last_inbound_at, row.last_inbound_at),
                closed_by_backend_at=max(closings, default=None),
            )
        )


async def _move_questions(connection: AsyncConnection, survivor: str, other: str) -> None:
    """Whoever was asked back stays asked, under whichever name."""
    rows = (await connection.execute(select(clarifications).where(clarifications.c.person_id == other))).all()
    await connection.execute(delete(clarifications).where(clarifications.c.person_id == other))
    for row in rows:
        moved = upsert(connection, clarifications).values({**row._mapping, "person_id": survivor})
        await connection.execute(moved.on_conflict_do_nothing())


async def _move_cool_downs(connection: AsyncConnection, survivor: str, other: str) -> None:
    rows = (await connection.execute(select(cool_downs).where(cool_downs.c.person_id == other))).all()
    await connection.execute(delete(cool_downs).where(cool_downs.c.person_id == other))
    for row in rows:
        moved = upsert(connection, cool_downs).values({**row._mapping, "person_id": survivor})
        await connection.execute(
            moved.on_conflict_do_update(
                index_elements=["integration_id", "event_type", "person_id"],
                # With the message that holds it: only that one gives it back.
                set_={"until": moved.excluded.until, "message_id": moved.excluded.message_id},
                where=cool_downs.c.until < moved.excluded.until,
            )
        )


async def _move_notices(connection: AsyncConnection, survivor: str, other: str) -> None:
    """Agents were told of the later of two windows, or will be."""
    table = window_notices
    rows = (await connection.execute(select(table).where(table.c.person_id == other))).all()
    await connection.execute(delete(table).where(table.c.person_id == other))
    for row in rows:
        moved = upsert(connection, table).values({**row._mapping, "person_id": survivor})
        await connection.execute(
            moved.on_conflict_do_update(
                index_elements=["integration_id", "instance_id", "person_id"],
                set_={"last_inbound_at": moved.excluded.last_inbound_at, "told_at": moved.excluded.told_at},
                where=table.c.last_inbound_at < moved.excluded.last_inbound_at,
            )
        )

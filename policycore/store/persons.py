"""Persons and their identities: finding, making, and joining two that turned out to be one."""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import Select, Table, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ids import RandomBytes, new_id
from policycore.store.batch_values import POSTGRESQL, one_of, one_of_rows, rows_parameter
from policycore.store.tables import (
    clarifications,
    conversation_bindings,
    cool_downs,
    identities,
    messages,
    persons,
    suppressions,
    windows,
)

Identity = tuple[str, str, str]
"""(account id, kind, value); kind is `phone`, `lid` or `bsuid`."""


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


async def identities_of(connection: AsyncConnection, person_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """For each person the latest value of each kind."""
    if not person_ids:
        return {}
    rows = await connection.execute(
        select(identities.c.person_id, identities.c.kind, identities.c.value)
        .where(identities.c.person_id.in_(sorted(set(person_ids))))
        .order_by(identities.c.created_at)
    )
    found: dict[str, dict[str, str]] = {}
    for person_id, kind, value in rows:
        found.setdefault(person_id, {})[kind] = value
    return found


async def lock_persons(connection: AsyncConnection, person_ids: Iterable[str]) -> None:
    """Locks persons' rows in one fixed order, so that an opt-out and a reply to the same person take turns."""
    wanted = sorted(set(person_ids))
    if not wanted or connection.dialect.name != "postgresql":
        return
    await connection.execute(_LOCK, {"ids": wanted})


_LOCK = (
    select(persons.c.id)
    .where(one_of(POSTGRESQL, persons.c.id, "ids"))
    .order_by(persons.c.id)
    .with_for_update()
)


async def join_persons(connection: AsyncConnection, survivor: str, other: str) -> None:
    """Makes `other` and `survivor` one: windows take the later time, suppressions their union, the rest moves
    over.
    """
    await lock_persons(connection, [survivor, other])
    kept = {
        row.instance_id: row.last_inbound_at
        for row in await connection.execute(select(windows).where(windows.c.person_id == survivor))
    }
    for row in (await connection.execute(select(windows).where(windows.c.person_id == other))).all():
        here = (windows.c.instance_id == row.instance_id, windows.c.person_id == survivor)
        if row.instance_id in kept:
            await connection.execute(
                delete(windows).where(windows.c.instance_id == row.instance_id, windows.c.person_id == other)
            )
            if row.last_inbound_at > kept[row.instance_id]:
                await connection.execute(
                    update(windows).where(*here).values(last_inbound_at=row.last_inbound_at)
                )
    for table in (identities, windows, suppressions, messages, conversation_bindings):
        await connection.execute(update(table).where(table.c.person_id == other).values(person_id=survivor))
    await _move_cool_downs(connection, survivor, other)
    await connection.execute(delete(clarifications).where(clarifications.c.person_id == other))
    await connection.execute(update(persons).where(persons.c.id == other).values(merged_into=survivor))


async def _move_cool_downs(connection: AsyncConnection, survivor: str, other: str) -> None:
    rows = (await connection.execute(select(cool_downs).where(cool_downs.c.person_id == other))).all()
    await connection.execute(delete(cool_downs).where(cool_downs.c.person_id == other))
    for row in rows:
        insert = upsert(connection, cool_downs).values({**row._mapping, "person_id": survivor})
        later = func.greatest if connection.dialect.name == "postgresql" else func.max
        await connection.execute(
            insert.on_conflict_do_update(
                index_elements=["integration_id", "event_type", "person_id"],
                set_={"until": later(cool_downs.c.until, insert.excluded.until)},
            )
        )

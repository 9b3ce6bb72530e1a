"""What decisions are read from, one query for each kind of fact; the statements are made once for each database."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ledger import Asked, BatchFacts, Identified, KeyBinding, Named, PersonFacts, WindowRow
from policycore.model import SuppressionFact
from policycore.store.batch_values import one_of, one_of_rows, rows_parameter
from policycore.store.persons import find_persons, numbered, upsert
from policycore.store.tables import (
    conversation_bindings,
    cool_downs,
    idempotency_keys,
    messages,
    quota_usage,
    signature_claims,
    suppressions,
    windows,
)

_NOW = "now_"
"""Name of a parameter; `now` alone is a function in SQL."""


async def identify(connection: AsyncConnection, named: Named, now: datetime) -> Identified:
    """What the batch's names stand for."""
    known = [numbered(account, phone) for account, phone in named.phones]
    persons = await find_persons(connection, known)
    return Identified(
        keys=await find_keys(connection, named.keys, now),
        claims=await find_claims(connection, named.claims),
        persons={(account, value): person for (account, _, value), person in persons.items()},
        bindings=await find_bindings(connection, named.conversations),
    )


async def read_facts(connection: AsyncConnection, asked: Asked, now: datetime) -> BatchFacts:
    """The facts. SQLite has one writer at a time, so nothing needs to be locked."""
    wanted = sorted(set(asked.person_ids))
    windows_of = await read_windows(connection, wanted) if wanted else {}
    blocked = await read_suppressions(connection, wanted) if wanted else {}
    return BatchFacts(
        persons={
            person: PersonFacts(tuple(windows_of.get(person, ())), blocked.get(person)) for person in wanted
        },
        cool_downs=await read_cool_downs(connection, asked.cool_downs, now),
        spread=await read_text_spread(connection, asked.texts, asked.since),
        quota=await read_quota(connection, asked.quotas),
    )


async def find_keys(
    connection: AsyncConnection, keys: Sequence[tuple[str, str]], now: datetime
) -> dict[tuple[str, str], KeyBinding]:
    """Bindings of (scope, key) pairs that have not expired at `now`."""
    if not keys:
        return {}
    dialect = connection.dialect.name
    parameters = {_NOW: now, **rows_parameter(dialect, "keys", sorted(set(keys)))}
    rows = await connection.execute(_keys(dialect), parameters)
    return {
        (row.scope, row.key): KeyBinding(row.body_digest, row.log_id, row.message_id, row.event_type)
        for row in rows
    }


@cache
def _keys(dialect: str) -> Select[Any]:
    table = idempotency_keys
    wanted = one_of_rows(dialect, (table.c.scope, table.c.key), "keys")
    return select(table).where(wanted, table.c.expires_at > bindparam(_NOW))


async def find_claims(connection: AsyncConnection, digests: Sequence[bytes]) -> set[bytes]:
    """Which signatures were claimed before."""
    if not digests:
        return set()
    wanted = {"digests": sorted(set(digests))}
    return set((await connection.execute(_claims(connection.dialect.name), wanted)).scalars())


@cache
def _claims(dialect: str) -> Select[Any]:
    column = signature_claims.c.digest
    return select(column).where(one_of(dialect, column, "digests"))


async def find_bindings(
    connection: AsyncConnection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Instance ids of (integration id, conversation id) pairs, by the phone system's ids or ours."""
    if not keys:
        return {}
    dialect = connection.dialect.name
    wanted = rows_parameter(dialect, "keys", sorted(set(keys)))
    found = {(row[0], row[1]): row[2] for row in await connection.execute(_bindings(dialect), wanted)}
    ours = {key[1] for key in keys if key[1].startswith("cnv_")}
    if ours:
        rows = await connection.execute(_conversations(dialect), {"ids": sorted(ours)})
        instance_of = {row[0]: row[1] for row in rows}
        found.update({key: instance_of[key[1]] for key in keys if key[1] in instance_of})
    return found


@cache
def _bindings(dialect: str) -> Select[Any]:
    table = conversation_bindings
    columns = (table.c.integration_id, table.c.external_id)
    return select(*columns, table.c.instance_id).where(one_of_rows(dialect, columns, "keys"))


@cache
def _conversations(dialect: str) -> Select[Any]:
    column = windows.c.conversation_id
    return select(column, windows.c.instance_id).where(one_of(dialect, column, "ids"))


async def read_windows(connection: AsyncConnection, person_ids: Sequence[str]) -> dict[str, list[WindowRow]]:
    """Every window of each person."""
    found: dict[str, list[WindowRow]] = {}
    for row in await connection.execute(_windows(connection.dialect.name), {"ids": list(person_ids)}):
        window = WindowRow(
            row.instance_id, row.last_inbound_at, row.conversation_id, row.closed_by_backend_at
        )
        found.setdefault(row.person_id, []).append(window)
    return found


@cache
def _windows(dialect: str) -> Select[Any]:
    return select(windows).where(one_of(dialect, windows.c.person_id, "ids"))


async def read_suppressions(
    connection: AsyncConnection, person_ids: Sequence[str]
) -> dict[str, SuppressionFact]:
    """The entry that weighs most for each person who has one: of scope `all` if there is one, else the oldest."""
    found: dict[str, SuppressionFact] = {}
    for row in await connection.execute(_suppressions(connection.dialect.name), {"ids": list(person_ids)}):
        known = found.get(row.person_id)
        if known is None or (known.scope != "all" and row.scope == "all"):
            found[row.person_id] = SuppressionFact(row.id, row.source, row.scope, row.created_at)
    return found


@cache
def _suppressions(dialect: str) -> Select[Any]:
    table = suppressions
    return (
        select(table)
        .where(one_of(dialect, table.c.person_id, "ids"), table.c.lifted_at.is_(None))
        .order_by(table.c.created_at)
    )


async def read_cool_downs(
    connection: AsyncConnection, keys: Sequence[tuple[str, int, str]], now: datetime
) -> dict[tuple[str, int, str], datetime]:
    """Until when (integration id, event type, person id) is cooling down at `now`."""
    if not keys:
        return {}
    dialect = connection.dialect.name
    parameters = {_NOW: now, **rows_parameter(dialect, "keys", sorted(set(keys)))}
    rows = await connection.execute(_cool_downs(dialect), parameters)
    return {(row[0], row[1], row[2]): row[3] for row in rows}


@cache
def _cool_downs(dialect: str) -> Select[Any]:
    table = cool_downs
    columns = (table.c.integration_id, table.c.event_type, table.c.person_id)
    wanted = one_of_rows(dialect, columns, "keys")
    return select(*columns, table.c.until).where(wanted, table.c.until > bindparam(_NOW))


async def read_text_spread(
    connection: AsyncConnection, keys: Sequence[tuple[str, bytes]], since: datetime
) -> dict[tuple[str, bytes], int]:
    """To how many persons an account sent each text since then."""
    if not keys:
        return {}
    dialect = connection.dialect.name
    parameters = {"since": since, **rows_parameter(dialect, "keys", sorted(set(keys)))}
    rows = await connection.execute(_text_spread(dialect), parameters)
    return {(row[0], row[1]): row[2] for row in rows}


@cache
def _text_spread(dialect: str) -> Select[Any]:
    columns = (messages.c.account_id, messages.c.text_digest)
    return (
        select(*columns, func.count(messages.c.person_id.distinct()))
        .where(one_of_rows(dialect, columns, "keys"), messages.c.created_at > bindparam("since"))
        .group_by(*columns)
    )


async def read_quota(
    connection: AsyncConnection, keys: Sequence[tuple[str, str]], *, locking: bool = False
) -> dict[tuple[str, str], int]:
    """Messages counted for (account id, period); the rows stay locked if `locking`."""
    if not keys:
        return {}
    dialect = connection.dialect.name
    wanted = rows_parameter(dialect, "keys", sorted(set(keys)))
    rows = await connection.execute(_quota(dialect, locking), wanted)
    return {(row[0], row[1]): row[2] for row in rows}


async def make_and_lock_quota(
    connection: AsyncConnection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """The same, with a row for each, so that each can be locked: the first message of a period."""
    fresh = [{"account_id": account, "period": period, "used": 0} for account, period in sorted(set(keys))]
    await connection.execute(upsert(connection, quota_usage).on_conflict_do_nothing(), fresh)
    return await read_quota(connection, keys, locking=True)


@cache
def _quota(dialect: str, locking: bool) -> Select[Any]:
    table = quota_usage
    columns = (table.c.account_id, table.c.period)
    query = select(*columns, table.c.used).where(one_of_rows(dialect, columns, "keys")).order_by(*columns)
    return query.with_for_update() if locking else query

"""Owns changing the master key of a store that is in use: every secret is opened and sealed again, a few at a time.

Each sealed value names the key it was sealed with. So nothing has to be remembered: whoever begins again after an
interruption goes on where it ended, and a service that has both keys can work on the store all the while.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Row, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.registry.sealing import (
    INSTANCE_SECRETS,
    INTEGRATION_SECRET,
    SIGNING_SECRET,
    THREECX_API_SECRET,
    THREECX_SMS_URL,
    WEBHOOK_SECRET,
    Sealing,
    SealingError,
    sealed_with,
)
from policycore.store import tables
from policycore.store.engine import Database, open_database
from policycore.store.signing_tables import next_signing_secrets
from policycore.store.threecx_api_tables import threecx_apis

BATCH_ROWS = 100
"""Rows that one transaction locks."""

Progress = Callable[[str, str, int, int], None]
"""Called with what is done, the table, and the rows done and in all."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of sealed values, and for which place the value of a row was sealed."""

    sealed: Column[Any]
    key: Column[Any]
    place: Callable[[str], tuple[str, str]]

    @property
    def table(self) -> Table:
        return self.sealed.table


def _signing_place(destination_id: str) -> tuple[str, str]:
    return SIGNING_SECRET if destination_id.startswith("int_") else WEBHOOK_SECRET


_COLUMNS = (
    _Column(tables.instances.c.secrets_sealed, tables.instances.c.id, lambda _: INSTANCE_SECRETS),
    _Column(
        tables.integration_secrets.c.sealed, tables.integration_secrets.c.id, lambda _: INTEGRATION_SECRET
    ),
    _Column(tables.integrations.c.signing_secret_sealed, tables.integrations.c.id, lambda _: SIGNING_SECRET),
    _Column(
        tables.customer_webhooks.c.signing_secret_sealed,
        tables.customer_webhooks.c.id,
        lambda _: WEBHOOK_SECRET,
    ),
    _Column(next_signing_secrets.c.sealed, next_signing_secrets.c.destination_id, _signing_place),
    _Column(
        tables.threecx_sms.c.webhook_url_sealed,
        tables.threecx_sms.c.integration_id,
        lambda _: THREECX_SMS_URL,
    ),
    _Column(threecx_apis.c.client_secret_sealed, threecx_apis.c.integration_id, lambda _: THREECX_API_SECRET),
)


@dataclass(slots=True)
class Resealed:
    """What was done. `problems` has one sentence for each secret that could not be opened and stays as it was."""

    resealed: int = 0
    untouched: int = 0
    problems: list[str] = field(default_factory=list)


async def reseal(
    url: str, keys: Iterable[bytes], random_bytes: Callable[[int], bytes], progress: Progress
) -> Resealed:
    """Seals every secret with the first of the `keys`; the others only open. Services may work meanwhile.

    Errors: those of the database; what was sealed again by then stays so.
    """
    current, *others = keys
    sealing, done = Sealing(current, random_bytes, others), Resealed()
    database = open_database(url, pool_size=2)
    try:
        for column in _COLUMNS:
            await _reseal_column(database, column, sealing, done, progress)
    finally:
        await database.close()
    return done


async def count_by_key(url: str) -> dict[str, int]:
    """How many secrets are sealed with each key, by the keys' ids."""
    found: Counter[str] = Counter()
    database = open_database(url, pool_size=2)
    try:
        async with database.reading() as connection:
            for column in _COLUMNS:
                rows = await connection.execute(select(column.sealed).where(column.sealed.is_not(None)))
                found.update(sealed_with(sealed) for (sealed,) in rows)
    finally:
        await database.close()
    return dict(found)


async def _reseal_column(
    database: Database, column: _Column, sealing: Sealing, done: Resealed, progress: Progress
) -> None:
    async with database.reading() as connection:
        there = select(func.count()).select_from(column.table).where(column.sealed.is_not(None))
        whole = int((await connection.execute(there)).scalar_one())
    after, seen = "", 0
    while True:
        async with database.transaction() as connection:
            rows = await _next_rows(connection, column, after)
            for row in rows:
                await _reseal_row(connection, column, row, sealing, done)
        if not rows:
            return
        after, seen = rows[-1].key, seen + len(rows)
        progress("resealing", column.table.name, seen, max(whole, seen))


async def _next_rows(connection: AsyncConnection, column: _Column, after: str) -> Sequence[Any]:
    query = (
        select(column.key.label("key"), column.sealed.label("sealed"))
        .where(column.key > after, column.sealed.is_not(None))
        .order_by(column.key)
        .limit(BATCH_ROWS)
        .with_for_update()
    )
    return (await connection.execute(query)).all()


async def _reseal_row(
    connection: AsyncConnection, column: _Column, row: Row[Any], sealing: Sealing, done: Resealed
) -> None:
    if sealed_with(row.sealed) == sealing.current:
        done.untouched += 1
        return
    place = column.place(row.key)
    try:
        secret = sealing.unseal(row.sealed, place, row.key)
    except SealingError as error:
        done.problems.append(str(error))
        return
    sealed = sealing.seal(secret, place, row.key)
    await connection.execute(
        update(column.table).where(column.key == row.key).values({column.sealed.name: sealed})
    )
    done.resealed += 1

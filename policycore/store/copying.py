"""Owns moving a whole store from SQLite to PostgreSQL, and the proof that nothing is missing.

Everything is one transaction on PostgreSQL: an interruption leaves the target as empty as it was. The source is held
alone meanwhile, and is fenced at the end, so that no service takes it for the store any more.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import Table
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from policycore.store import migrate, tables
from policycore.store.embedded_file import Row, TableReader, alone_with, check_revision, path_of
from policycore.store.partitions import Month, making, name_of
from policycore.store.store_errors import StoreDiffers, StoreRefused
from policycore.store.store_state_tables import store_state
from policycore.store.types import from_microseconds

BATCH_ROWS = 2_000
"""Rows that are in memory at once."""

_BITS = 256
_MOST_MONTHS = 120
"""Whatever is older than ten years shares one partition."""
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_LOCK_SECONDS = 5
_MOVED = (
    "This store was moved to PostgreSQL. To go back to it, and lose what happened since, run"
    " `hubgate store restored --nothing-lost`."
)
_encode = msgspec.msgpack.Encoder().encode

Progress = Callable[[str, str, int, int], None]
"""Called with what is done (`copying` or `verifying`), the table, and the rows done and in all."""


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """One table as it is on both sides. `digest` is the same for the same rows, in whatever order."""

    name: str
    rows: int
    digest: str


@dataclass(slots=True)
class Copied:
    """What was moved. `replaced` texts held a NUL, which PostgreSQL cannot keep; they now hold U+FFFD instead."""

    tables: list[CopiedTable] = field(default_factory=list)
    replaced: int = 0


class SetDigest:
    """A digest of rows that does not depend on their order: the sum of their SHA-256."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: Row) -> None:
        """Takes one row; its values are compared by type and value."""
        self.rows += 1
        self._sum += int.from_bytes(sha256(_encode(row)).digest())

    def hex(self) -> str:
        """64 hex digits."""
        return f"{self._sum % (1 << _BITS):064x}"


async def copy(source_url: str, target_url: str, progress: Progress) -> Copied:
    """Moves everything from the embedded store to an empty PostgreSQL database, and compares.

    Errors: `StoreRefused` if the source is in use or not migrated, or the target not empty or in use; `StoreDiffers` if
    a row cannot be kept or a table is not the same afterwards. Then nothing was changed. Others are those of the two
    databases.
    """
    path = path_of(source_url)
    if make_url(target_url).get_backend_name() != "postgresql":
        raise StoreRefused("The target must be PostgreSQL (postgresql://…).")
    with alone_with(path) as source:
        check_revision(source)
        await migrate.upgrade(target_url)
        async with _transaction(target_url) as target:
            await _require_unused(target)
            await _make_months(source, target)
            copied = await _copy_all(source, target, progress)
            await _set_numbers(target)
            await _verify(target, copied, progress)
        source.execute("UPDATE store_state SET fence = ? WHERE id = 1", (_MOVED,))
        source.execute("COMMIT")
    return copied


@asynccontextmanager
async def _transaction(url: str) -> AsyncIterator[Any]:
    """The driver's connection in one transaction; then the planner learns what the tables hold."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", connect_args={"timeout": 10})
    try:
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            async with driver.transaction():
                yield driver
            await driver.execute("ANALYZE")
    finally:
        await engine.dispose()


async def _require_unused(target: Any) -> None:
    names = ", ".join(f'"{table.name}"' for table in _tables())
    try:
        await target.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        await target.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
    except asyncpg.LockNotAvailableError:
        raise StoreRefused("The target database is in use; stop what works on it.") from None
    for table in _tables():
        if table.name in _MADE_BY_MIGRATIONS:
            continue
        if await target.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{table.name}")'):  # noqa: S608 - our own names
            raise StoreRefused(f"The target database is not empty: it has rows in {table.name}.")
    if await target.fetchval("SELECT version FROM config_state") != 1:
        raise StoreRefused("The target database is not empty: its configuration was changed before.")


_MADE_BY_MIGRATIONS = frozenset({"config_state", "store_state"})


def _tables() -> list[Table]:
    """In an order in which every row finds those it refers to."""
    return list(tables.accounts.metadata.sorted_tables)


async def _make_months(source: sqlite3.Connection, target: Any) -> None:
    """Gives the policy log's past the partitions it would have had here. In the default one it would be read through
    whenever another month is made.
    """
    oldest = source.execute("SELECT decided_at FROM decisions ORDER BY log_id LIMIT 1").fetchone()
    if oldest is None:
        return
    this = Month.of(from_microseconds(await target.fetchval(_NOW)))
    month = max(Month.of(from_microseconds(oldest[0])), this.later(-_MOST_MONTHS))
    while month < this:
        if await target.fetchval("SELECT to_regclass($1) IS NULL", name_of(month)):
            for statement in making(month):
                await target.execute(statement)
        month = month.later(1)


async def _copy_all(source: sqlite3.Connection, target: Any, progress: Progress) -> Copied:
    copied = Copied()
    await target.execute("DELETE FROM config_state")
    for table in _tables():
        if table is store_state:
            continue
        reader, digest = TableReader(source, table), SetDigest()
        whole = reader.count()
        columns = [column.name for column in table.columns]
        for rows in reader.batches(BATCH_ROWS):
            try:
                await target.copy_records_to_table(table.name, records=rows, columns=columns)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError) as error:
                raise StoreDiffers(f"A row of {table.name} cannot be kept by PostgreSQL: {error}") from error
            for row in rows:
                digest.add(row)
            progress("copying", table.name, digest.rows, whole)
        copied.tables.append(CopiedTable(table.name, digest.rows, digest.hex()))
        copied.replaced += reader.replaced
    above = source.execute("SELECT numbers_above FROM store_state").fetchone()[0]
    await target.execute("UPDATE store_state SET numbers_above = $1", above)
    return copied


async def _set_numbers(target: Any) -> None:
    """Lets every sequence go on after what was copied."""
    for name, column in (
        ("decision_log_ids", tables.decisions.c.log_id),
        ("message_event_ids", tables.message_events.c.sequence),
    ):
        await _go_on(target, name, column.table.name, column.name, "(SELECT numbers_above FROM store_state)")
    for table in _tables():
        for column in table.primary_key.columns:
            name = await target.fetchval("SELECT pg_get_serial_sequence($1, $2)", table.name, column.name)
            if name is not None:
                await _go_on(target, name, table.name, column.name, "0")


async def _go_on(target: Any, sequence: str, table: str, column: str, at_least: str) -> None:
    highest = await target.fetchval(
        f'SELECT greatest((SELECT max("{column}") FROM "{table}"), {at_least}, 0)'  # noqa: S608 - our own names
    )
    if highest:
        await target.execute("SELECT setval($1::text::regclass, $2)", sequence, highest)


async def _verify(target: Any, copied: Copied, progress: Progress) -> None:
    """Reads everything back. Errors: `StoreDiffers`."""
    for expected in copied.tables:
        table, digest = tables.accounts.metadata.tables[expected.name], SetDigest()
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        query = f'SELECT {columns} FROM "{table.name}"'  # noqa: S608 - our own names
        async for record in target.cursor(query, prefetch=BATCH_ROWS):
            digest.add(tuple(record))
            if not digest.rows % BATCH_ROWS or digest.rows == expected.rows:
                progress("verifying", table.name, digest.rows, expected.rows)
        if (digest.rows, digest.hex()) != (expected.rows, expected.digest):
            raise StoreDiffers(
                f"{table.name} is not the same afterwards: {expected.rows} rows were copied, {digest.rows} are there."
            )

"""The database: one engine, transactions that mean the same on SQLite and PostgreSQL, and the clock decisions
are made by.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from policycore.errors import Contended, DatabaseUnavailable, Malformed
from policycore.store.direct import checked_out
from policycore.store.types import from_microseconds

_MOST_KEPT = 4

_POSTGRES_NOW = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


class Database:
    """An open database.

    `transaction()` gives a connection in a transaction that is committed at the end and rolled back on any
    error. On SQLite there is one writer at a time: the lock here makes waiting fair and keeps `SQLITE_BUSY`
    away.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], datetime]) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        self._clock = clock
        self._writer = asyncio.Lock()
        self._kept: list[AsyncConnection] = []

    @property
    def is_postgres(self) -> bool:
        return self.dialect == "postgresql"

    async def now(self, connection: AsyncConnection) -> datetime:
        """The database's clock. SQLite runs in this process, so its clock is this machine's."""
        if not self.is_postgres:
            return self._clock()
        return from_microseconds(int((await connection.execute(_POSTGRES_NOW)).scalar_one()))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write."""
        with reached():
            if self.is_postgres:
                async with self._taken() as connection, _begun(connection):
                    yield connection
            else:
                async with self._writer, self.engine.begin() as connection:
                    yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """A connection to PostgreSQL for single statements, each a transaction of its own."""
        with reached():
            async with self._taken() as connection:
                driver = await checked_out(connection)
                try:
                    yield connection
                except BaseException:
                    if driver.is_closed():
                        await connection.invalidate()
                    raise

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool. A few are kept in hand between uses: handing one out costs as much as a statement
        does.
        """
        connection = self._kept.pop() if self._kept else await self.engine.connect()
        try:
            yield connection
            if connection.in_transaction():
                # What SQLAlchemy believes to have begun by itself; the driver has ended its transaction.
                await connection.rollback()
        except BaseException:
            await connection.close()
            raise
        if len(self._kept) < _MOST_KEPT:
            self._kept.append(connection)
        else:
            await connection.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading a consistent state; takes no write lock."""
        with reached():
            if self.is_postgres:
                async with self.engine.connect() as connection, _begun(connection):
                    yield connection
                return
            async with self.engine.connect() as connection:
                readonly = await connection.execution_options(hubgate_readonly=True)
                async with readonly.begin():
                    yield readonly

    async def close(self) -> None:
        """Closes every connection."""
        while self._kept:
            await self._kept.pop().close()
        await self.engine.dispose()


@asynccontextmanager
async def _begun(connection: AsyncConnection) -> AsyncIterator[None]:
    """A transaction on PostgreSQL, begun and ended on the driver: SQLAlchemy's own way costs several times as much."""
    driver = await checked_out(connection)
    try:
        await driver.execute("BEGIN")
        yield
    except BaseException:
        try:
            await driver.execute("ROLLBACK")
        except BaseException:  # noqa: BLE001 - whatever it was, what brought us here is what is told
            await connection.invalidate()
        raise
    try:
        await driver.execute("COMMIT")
    except BaseException:
        # Nobody knows whether it was committed; the connection must not be used again.
        await connection.invalidate()
        raise


@contextmanager
def reached() -> Iterator[None]:
    """Tells what a failed statement means to whoever asked for it.

    `DatabaseUnavailable`: the database did not answer. `Contended`: another transaction was quicker. `Malformed`:
    a value cannot be kept. What a statement did wrong by itself stays as it is.
    """
    try:
        yield
    except (OperationalError, PoolTimeoutError, OSError, TimeoutError) as error:
        raise DatabaseUnavailable from error
    except asyncpg.PostgresError as error:
        meaning = _meaning_of(str(error.sqlstate or ""))
        if meaning is None:
            raise
        raise meaning from error
    except asyncpg.InterfaceError as error:
        # The driver refuses by itself what does not fit a parameter's type, as a ValueError.
        if isinstance(error, ValueError):
            raise Malformed("request", "holds a value that cannot be kept.") from error
        raise DatabaseUnavailable from error
    except DBAPIError as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error


def _meaning(error: DBAPIError) -> Exception | None:
    if error.connection_invalidated:
        return DatabaseUnavailable()
    meaning = _meaning_of(str(getattr(error.orig, "sqlstate", None) or ""))
    if meaning is not None:
        return meaning
    # The driver refuses by itself what does not fit a parameter's type, as a ValueError.
    if isinstance(error.orig and error.orig.__cause__, ValueError):
        return Malformed("request", "holds a value that cannot be kept.")
    return DatabaseUnavailable() if isinstance(error, InterfaceError) else None


def _meaning_of(code: str) -> Exception | None:
    """By PostgreSQL's error codes (https://www.postgresql.org/docs/16/errcodes-appendix.html)."""
    if code in _CONTENTION:
        return Contended()
    if code.startswith(_UNKEEPABLE):
        return Malformed("request", "holds a value that cannot be kept.")
    return DatabaseUnavailable() if code.startswith(_AWAY) else None


_CONTENTION = frozenset({"23505", "40001", "40P01"})
"""Unique violation, serialization failure, deadlock."""

_UNKEEPABLE = ("22",)
"""Data exceptions: a text with NUL, a text that is too long, a number out of range."""

_AWAY = ("08", "25006", "28", "3D", "53", "55P03", "57", "58")
"""No connection, a server that only reads, no access, no resources, no lock in time, stopped, its disk."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def open_database(url: str, clock: Callable[[], datetime] = _utc_now, pool_size: int = 12) -> Database:
    """Opens a database by SQLAlchemy URL (`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`); connects on
    first use.
    """
    if url.startswith("sqlite"):
        engine = create_async_engine(url, pool_size=pool_size, max_overflow=4)
        _prepare_sqlite(engine)
    else:
        engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=4,
            pool_timeout=5,
            pool_pre_ping=False,
            # Transactions are begun and ended by `_begun`, on the driver.
            isolation_level="AUTOCOMMIT",
            connect_args={
                "timeout": 5,
                "command_timeout": 15,
                # Prepared plans live long: one that was made while a table was small must not read all of it later.
                "server_settings": {"application_name": "hubgate", "jit": "off", "enable_seqscan": "off"},
            },
        )
    return Database(engine, clock)


def _prepare_sqlite(engine: AsyncEngine) -> None:
    """WAL with full synchronisation; SQLAlchemy, not the driver, begins transactions, and writers say so at
    once.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:
        readonly = connection.get_execution_options().get("hubgate_readonly", False)
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

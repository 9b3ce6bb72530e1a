"""Owns the schema's revision: brings a database up to date, and tells where it stands."""

import asyncio
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from policycore.store.online_steps import prepared

_SCRIPTS = Path(__file__).parent / "migrations"

# Any number no other program on the same PostgreSQL uses for its advisory locks: "hubgate" in ASCII.
_ADVISORY_LOCK = 0x68756267617465
_SQLITE_WAIT_SECONDS = 60.0

_LOCK_PAUSES = (0.2, 0.4, 0.8, 1.5, 3.0, 3.0, 3.0, 3.0, 3.0)
"""Seconds between tries to have a table's lock; each try waits for one second at most."""


async def upgrade(url: str) -> str:
    """Brings the database up to the newest revision, in one transaction, and returns that revision.

    What would lock a large table for long is done before, beside the work of those who use it.
    Does nothing if there is nothing to do. Two callers at once wait for each other. Services may
    work meanwhile: whoever waits for a table's lock has everybody else wait behind him, so that is given up after a
    second, and tried again a little later, for about half a minute in all.

    Errors: SQLAlchemy's `DBAPIError` if the database cannot be reached or the locks not be had, `TimeoutError` if
    another migration does not end. Nothing was changed then.
    """
    _make_folder(url)
    if make_url(url).get_backend_name() == "sqlite":
        return await _upgrade_database(url)
    async with prepared(url, await current(url)):
        return await _upgrade_database(url)


async def _upgrade_database(url: str) -> str:
    engine = _open(url)
    try:
        for seconds in _LOCK_PAUSES:
            try:
                return await _upgrade_once(engine)
            except DBAPIError as error:
                if not _lock_was_busy(error):
                    raise
                await asyncio.sleep(seconds)
        return await _upgrade_once(engine)
    finally:
        await engine.dispose()


async def _upgrade_once(engine: AsyncEngine) -> str:
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await _take_turn(connection)
            await connection.execute(text("SET LOCAL lock_timeout = '1s'"))
        await connection.run_sync(_upgrade)
        revision = await connection.run_sync(_read_revision)
    if revision is None:
        raise RuntimeError("the migrations ran and left no revision behind")
    return revision


async def _take_turn(connection: AsyncConnection) -> None:
    await connection.execute(text("SET LOCAL lock_timeout = '60s'"))
    try:
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    except DBAPIError as error:
        if not _lock_was_busy(error):
            raise
        raise TimeoutError("another migration has been running for a minute") from error


def _lock_was_busy(error: DBAPIError) -> bool:
    """PostgreSQL's `lock_not_available`."""
    return getattr(error.orig, "sqlstate", None) == "55P03"


async def current(url: str) -> str | None:
    """The revision the database stands at; None if it was never migrated or, for SQLite, does not exist.

    Errors: SQLAlchemy's `OperationalError` if the database cannot be reached.
    """
    path = _sqlite_path(url)
    if path is not None and not path.exists():
        return None
    engine = _open(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_read_revision)
    finally:
        await engine.dispose()


def newest() -> str:
    """The revision this version of the program expects."""
    head = ScriptDirectory(str(_SCRIPTS)).get_current_head()
    if head is None:
        raise RuntimeError("the migrations folder holds no revision")
    return head


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _read_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _open(url: str) -> AsyncEngine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_async_engine(url)
    engine = create_async_engine(url, connect_args={"timeout": _SQLITE_WAIT_SECONDS})

    # The driver's own transactions do not cover CREATE TABLE; these do, and take the write lock at once.
    @event.listens_for(engine.sync_engine, "connect")
    def _no_driver_transactions(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _sqlite_path(url: str) -> Path | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def _make_folder(url: str) -> None:
    path = _sqlite_path(url)
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

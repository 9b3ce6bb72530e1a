"""Owns the question whether a store is where it was last used: nobody may take a copy or an old state for the store.

A home is `embedded`, or for PostgreSQL the cluster's system identifier and the database's number, which no dump takes
with it. A file system's snapshot does: whoever puts one back has to say so (`hubgate store restored`).
"""

from pathlib import Path

import asyncpg
from sqlalchemy import inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.store.direct import DriverConnection, driver_of
from policycore.store.engine import Database
from policycore.store.store_errors import StoreFenced, StoreOutdated
from policycore.store.store_state_tables import store_state

_DATABASE = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()"
_REVISIONS = Path(__file__).parent / "migrations" / "versions"
_REVISION = text("SELECT version_num FROM alembic_version")
_CLUSTER = "SELECT system_identifier FROM pg_control_system()"


async def home_of(connection: AsyncConnection) -> str:
    """Where the connection's database is."""
    if connection.dialect.name != "postgresql":
        return "embedded"
    driver = driver_of(connection)
    [(number,)] = await driver.fetch(_DATABASE)
    return f"postgresql {await _cluster(driver)}/{number}"


async def _cluster(driver: DriverConnection) -> int:
    """The cluster's identifier; 0 where the role may not read it."""
    await driver.execute("SAVEPOINT cluster")
    try:
        [(identifier,)] = await driver.fetch(_CLUSTER)
    except asyncpg.PostgresError:
        await driver.execute("ROLLBACK TO SAVEPOINT cluster")
        return 0
    return int(identifier)


def needed_revision() -> int:
    """The number of the revision this version works on, or a later one: versions only add to a schema.

    Read from the names of the files: a service that starts has no use for Alembic.
    """
    return max(int(path.name.partition("_")[0]) for path in _REVISIONS.glob("[0-9]*_*.py"))


async def _require_schema(connection: AsyncConnection) -> None:
    there = await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version"))
    found = (await connection.execute(_REVISION)).scalar_one_or_none() if there else None
    if found is None or int(found) < needed_revision():
        raise StoreOutdated(
            f"The database's schema is at {found or 'nothing'}, and this version needs {needed_revision():04d};"
            " run `hubgate migrate` first."
        )


async def move_in(database: Database) -> None:
    """Called by a service before it works on the store: the first one says where the store lives.

    Errors: `StoreOutdated` if the schema is older than this version, `StoreFenced` if the store is fenced, or lived
    elsewhere when it was last used.
    """
    async with database.transaction() as connection:
        await _require_schema(connection)
        row = (await connection.execute(select(store_state.c.home, store_state.c.fence))).one()
        if row.fence:
            raise StoreFenced(row.fence)
        here = await home_of(connection)
        if row.home and row.home != here:
            raise StoreFenced(
                "This database holds a store that was last used in another one. If it was restored from a back-up, run"
                " `hubgate store restored`; if nothing was lost on the way, with --nothing-lost."
            )
        if not row.home:
            await connection.execute(update(store_state).values(home=here))

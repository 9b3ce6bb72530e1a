"""Owns the question whether a store is where it was last used: nobody may take a copy or an old state for the store.

A home is `embedded`, or for PostgreSQL the cluster's system identifier and the database's number, which no dump takes
with it. A file system's snapshot does: whoever puts one back has to say so (`hubgate store restored`).
"""

import asyncpg
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.store.direct import DriverConnection, driver_of
from policycore.store.engine import Database
from policycore.store.store_errors import StoreFenced
from policycore.store.store_state_tables import store_state

_DATABASE = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()"
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


async def move_in(database: Database) -> None:
    """Called by a service before it works on the store: the first one says where the store lives.

    Errors: `StoreFenced` if the store is fenced, or lived elsewhere when it was last used.
    """
    async with database.transaction() as connection:
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

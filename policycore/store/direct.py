"""The few statements that every message needs, run on PostgreSQL's driver itself.

SQLAlchemy keeps the pool, and every other statement; what it does around one execution costs as much processor time
as five rows do. These statements are plain SQL over arrays, so their text never changes and the server keeps them
prepared.
"""

from collections.abc import Sequence
from typing import Any, Protocol, cast

from sqlalchemy.ext.asyncio import AsyncConnection


class DriverConnection(Protocol):
    """What is used of `asyncpg.Connection`
    (https://magicstack.github.io/asyncpg/current/api/index.html#connection).
    """

    async def fetch(self, query: str, *args: Any) -> list[Sequence[Any]]:
        """Rows of a statement that takes `$1`, `$2`, …"""

    async def execute(self, query: str) -> str:
        """Runs what gives no rows."""

    def is_closed(self) -> bool:
        """Whether the connection is known to be gone."""

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open, as the server said last."""


async def checked_out(connection: AsyncConnection) -> DriverConnection:
    """The driver's connection under one that was just taken; one that has ended is replaced, and one with a transaction
    left open: what is written there as a statement of its own would never be committed.
    """
    while True:
        driver = driver_of(connection)
        if not driver.is_closed() and not driver.is_in_transaction():
            return driver
        await connection.invalidate()
        await connection.get_raw_connection()


def driver_of(connection: AsyncConnection) -> DriverConnection:
    """The driver's connection under an open one, in the same transaction."""
    sync_connection = connection.sync_connection
    if sync_connection is None:
        raise RuntimeError("the connection is not open")
    return cast(DriverConnection, sync_connection.connection.driver_connection)

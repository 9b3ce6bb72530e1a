"""Reads what a walk through a 3CX connection asks: the newest configuration, and whether anybody wrote lately."""

from datetime import datetime

from sqlalchemy import select

from policycore.registry.snapshot import Snapshot
from policycore.store.decisions import SnapshotAt
from policycore.store.engine import Database
from policycore.store.tables import windows


class SqlConnectionReads:
    """Reads over one database. `at` gives its clock and what is configured."""

    def __init__(self, database: Database, at: SnapshotAt) -> None:
        self._database = database
        self._at = at

    async def configured(self) -> tuple[datetime, Snapshot]:
        """The database's clock, and the configuration as it is now: somebody may have changed it a moment ago."""
        async with self._database.reading() as connection:
            return await self._at(connection)

    async def written_since(self, instance_id: str, since: datetime) -> bool:
        """Whether anybody wrote to an instance since then, and the back end has not closed the window."""
        query = (
            select(windows.c.person_id)
            .where(
                windows.c.instance_id == instance_id,
                windows.c.last_inbound_at > since,
                windows.c.closed_by_backend_at.is_(None),
            )
            .limit(1)
        )
        async with self._database.reading() as connection:
            return (await connection.execute(query)).first() is not None

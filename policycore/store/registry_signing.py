"""Owns the rows of signing secrets that do not sign yet."""

from dataclasses import asdict

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.registry.rows import NextSigningRow
from policycore.store.registry_tables import row_of
from policycore.store.signing_tables import next_signing_secrets


class SqlNextSigning:
    """See `policycore.registry.ports.NextSigning`. Whoever changes a row holds that of its destination."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, destination_id: str) -> NextSigningRow | None:
        """The one of this destination, if it has one."""
        table = next_signing_secrets
        found = await self._connection.execute(select(table).where(table.c.destination_id == destination_id))
        row = found.mappings().one_or_none()
        return None if row is None else row_of(NextSigningRow, row)

    async def put(self, row: NextSigningRow) -> None:
        """Inserts or replaces."""
        await self.remove(row.destination_id)
        await self._connection.execute(insert(next_signing_secrets).values(asdict(row)))

    async def remove(self, destination_id: str) -> None:
        """Deletes."""
        table = next_signing_secrets
        await self._connection.execute(delete(table).where(table.c.destination_id == destination_id))

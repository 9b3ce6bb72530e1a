"""Owns the registry's rows of phone systems' APIs."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.registry.threecx_rows import ThreecxApiRow, ThreecxApiState
from policycore.store.registry_tables import row_of
from policycore.store.threecx_api_tables import threecx_apis, threecx_calls, threecx_watches


class SqlThreecxApis:
    """See `policycore.registry.threecx_rows.ThreecxApiRows`."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def find(self, integration_id: str) -> ThreecxApiRow | None:
        """What is set, if anything is."""
        found = await self._connection.execute(
            select(threecx_apis).where(threecx_apis.c.integration_id == integration_id)
        )
        row = found.mappings().one_or_none()
        return None if row is None else row_of(ThreecxApiRow, row)

    async def put(self, row: ThreecxApiRow, *, known_until: datetime | None) -> None:
        """Inserts or replaces. With `known_until`, calls before that are not asked for any more."""
        api, watch = threecx_apis, threecx_watches
        await self._connection.execute(delete(api).where(api.c.integration_id == row.integration_id))
        await self._connection.execute(insert(api).values(asdict(row)))
        state = {"state": "waiting", "reason": "", "state_since": self._now}
        if known_until is not None:
            await self._connection.execute(delete(watch).where(watch.c.integration_id == row.integration_id))
            await self._connection.execute(
                insert(watch).values(integration_id=row.integration_id, known_until=known_until, **state)
            )
            return
        await self._connection.execute(
            update(watch).where(watch.c.integration_id == row.integration_id).values(state)
        )

    async def remove(self, integration_id: str) -> None:
        """Deletes settings, watch and calls."""
        for table in (threecx_apis, threecx_watches, threecx_calls):
            await self._connection.execute(delete(table).where(table.c.integration_id == integration_id))

    async def state(self, integration_id: str) -> ThreecxApiState:
        """How watching goes, of one that is set."""
        watch, calls = threecx_watches.c, threecx_calls.c
        row = (
            await self._connection.execute(
                select(
                    watch.state, watch.reason, watch.state_since, watch.known_until, watch.leased_until
                ).where(watch.integration_id == integration_id)
            )
        ).one()
        counted = (
            await self._connection.execute(
                select(func.max(calls.ended_at), func.count(calls.next_try_at)).where(
                    calls.integration_id == integration_id
                )
            )
        ).one()
        held = row.leased_until is not None and row.leased_until > self._now
        state, reason = (row.state, row.reason) if held or row.state == "failing" else ("waiting", "")
        return ThreecxApiState(state, reason, row.state_since, row.known_until, counted[0], counted[1])

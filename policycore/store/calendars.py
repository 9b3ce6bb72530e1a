"""Reads and writes business hours, and the chats that are looked through for them."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.pseudonym import KIND as PSEUDONYM
from policycore.reading import StoredEvent
from policycore.registry.rows import CalendarRow
from policycore.store.calendar_tables import business_calendars
from policycore.store.engine import Database
from policycore.store.events import read_events
from policycore.store.findings import decode_view
from policycore.store.persons import identities_of
from policycore.store.registry_tables import row_of
from policycore.store.tables import message_events, persons


class SqlCalendarRows:
    """See `policycore.registry.ports.CalendarRows`. Whoever changes a row holds that of its integration."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, integration_id: str) -> CalendarRow | None:
        """The calendar of an integration, if it has one."""
        table = business_calendars
        found = await self._connection.execute(select(table).where(table.c.integration_id == integration_id))
        row = found.mappings().one_or_none()
        return None if row is None else row_of(CalendarRow, row)

    async def put(self, row: CalendarRow) -> None:
        """Inserts or replaces."""
        await self.remove(row.integration_id)
        await self._connection.execute(insert(business_calendars).values(asdict(row)))

    async def remove(self, integration_id: str) -> None:
        """Deletes."""
        table = business_calendars
        await self._connection.execute(delete(table).where(table.c.integration_id == integration_id))

    async def newest_event(self, account_id: str) -> int:
        """The last number of an account's event stream; 0 if there is none."""
        return await _newest(self._connection, account_id)


class SqlChats:
    """Implements `policycore.usecases.after_hours.Chats`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def calendars(self) -> Sequence[CalendarRow]:
        """Every calendar."""
        query = select(business_calendars).order_by(business_calendars.c.integration_id)
        async with self._database.reading() as connection:
            return [row_of(CalendarRow, row) for row in (await connection.execute(query)).mappings()]

    async def newest_event(self, account_id: str) -> int:
        """The last number of an account's event stream; 0 if there is none."""
        async with self._database.reading() as connection:
            return await _newest(connection, account_id)

    async def events(self, account_id: str, after: int, limit: int) -> Sequence[StoredEvent]:
        """The account's event stream after a number, in order."""
        async with self._database.reading() as connection:
            rows = await read_events(connection, account_id, after, "", limit)
        return [
            StoredEvent(row.sequence, row.occurred_at, row.event_name, decode_view(row.message_json))
            for row in rows
        ]

    async def number_of(self, person_id: str) -> str:
        """What agents see of a person: the phone, or the pseudonym; empty if there is neither."""
        joined = select(persons.c.merged_into)
        async with self._database.reading() as connection:
            # Who was joined to somebody since they wrote has left every number there.
            while now := (await connection.execute(joined.where(persons.c.id == person_id))).scalar():
                person_id = now
            kinds = (await identities_of(connection, [person_id])).get(person_id, {})
        return kinds.get("phone", "") or kinds.get(PSEUDONYM, "")

    async def seen(self, integration_id: str, sequence: int) -> None:
        """Notes how far an integration's chats were looked through; never moves back."""
        table = business_calendars
        statement = (
            update(table)
            .where(table.c.integration_id == integration_id, table.c.seen_sequence < sequence)
            .values(seen_sequence=sequence)
        )
        async with self._database.transaction() as connection:
            await connection.execute(statement)


async def _newest(connection: AsyncConnection, account_id: str) -> int:
    query = select(func.max(message_events.c.sequence)).where(message_events.c.account_id == account_id)
    return int((await connection.execute(query)).scalar_one() or 0)

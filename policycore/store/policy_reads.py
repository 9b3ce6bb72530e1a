"""Reads of the gRPC face in SQL; see `policycore.reading`."""

from collections.abc import Sequence
from datetime import datetime

from policycore.ledger import MessageView
from policycore.reading import RefusalCount, StoredEvent
from policycore.registry.log_rows import DecisionRecord
from policycore.store.engine import Database
from policycore.store.events import read_events
from policycore.store.findings import decode_view
from policycore.store.log_queries import read_decision
from policycore.store.message_authors import SqlMessageAuthors
from policycore.store.message_queries import find_message
from policycore.store.usage import record_usage


class SqlPolicyReads:
    """Implements `PolicyReads` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def decision(self, log_id: int | None, decision_id: str | None) -> DecisionRecord | None:
        """One row of the policy log."""
        async with self._database.reading() as connection:
            return await read_decision(connection, log_id=log_id, decision_id=decision_id)

    async def message(self, account_id: str, message_id: str) -> MessageView | None:
        """An account's message."""
        return await find_message(self._database, account_id, message_id)

    async def author(self, message_id: str) -> tuple[str, str] | None:
        """Extension and name of the agent who wrote a message, if it is known."""
        return await SqlMessageAuthors(self._database).find(message_id)

    async def events(self, account_id: str, after: int, message_id: str, limit: int) -> list[StoredEvent]:
        """Rows of the event stream."""
        async with self._database.reading() as connection:
            rows = await read_events(connection, account_id, after, message_id, limit)
        return [
            StoredEvent(row.sequence, row.occurred_at, row.event_name, decode_view(row.message_json))
            for row in rows
        ]

    async def record_usage(
        self, counts: Sequence[RefusalCount], uses: Sequence[tuple[str, datetime]]
    ) -> None:
        """Security log and last-used marks."""
        await record_usage(self._database, counts, uses)

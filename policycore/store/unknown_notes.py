"""Notes messages as they become unknown, in the transaction that makes them so."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.reconciliation import next_look_at
from policycore.store.persons import upsert
from policycore.store.unknown_tables import unknown_messages


async def note_unknown(connection: AsyncConnection, message_ids: Sequence[str], now: datetime) -> None:
    """Notes messages that become unknown in this transaction; the first look follows soon."""
    rows = [
        {"message_id": message_id, "unknown_since": now, "next_look_at": next_look_at(now, 0)}
        for message_id in message_ids
    ]
    if rows:
        await connection.execute(upsert(connection, unknown_messages).on_conflict_do_nothing(), rows)

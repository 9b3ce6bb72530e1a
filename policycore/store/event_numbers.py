"""Numbers of the event stream: rising, and committed in their order."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.store.decisions import next_numbers
from policycore.store.tables import message_events

EVENTS_LOCK = 0x6576656E7473
"""PostgreSQL advisory lock: numbers of the event stream are given out and committed one transaction at a
time, so that whoever resumes after a number has seen every smaller one.
"""

_LOCK_AND_NUMBER = text(
    "WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock(:key)) "
    "SELECT nextval('message_event_ids') FROM held CROSS JOIN generate_series(1, :count)"
)
"""The numbers are drawn for the rows of the join, so not before the lock is held."""


async def next_event_numbers(connection: AsyncConnection, count: int) -> Sequence[int]:
    """So many numbers, in their order. On PostgreSQL the lock is held until the transaction ends."""
    if connection.dialect.name != "postgresql":
        return await next_numbers(connection, "message_event_ids", message_events.c.sequence, count)
    wanted = {"key": EVENTS_LOCK, "count": count}
    return sorted((await connection.execute(_LOCK_AND_NUMBER, wanted)).scalars())

"""Removes rows whose time is over: the oldest first, a bounded number in each transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Delete, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.store.crm_tables import call_folds
from policycore.store.engine import Database
from policycore.store.invariant_tables import invariant_violations
from policycore.store.tables import (
    cool_downs,
    gateway_lines,
    idempotency_keys,
    inbox,
    message_events,
    refusals,
    signature_claims,
    unmatched_receipts,
    window_notices,
)

INBOX_LIFE = timedelta(days=9)
"""How long an event's identity is remembered; back ends repeat webhooks for up to 7 days (Meta's
documentation).
"""

UNMATCHED_LIFE = timedelta(days=1)
LINES_LIFE = timedelta(days=1)
NOTICES_LIFE = timedelta(days=30)
"""Longer than any conversation window: nobody is told of it again."""

EVENTS_LIFE = timedelta(days=30)
REFUSALS_LIFE = timedelta(days=90)
"""How long the security log is kept."""
VIOLATIONS_LIFE = timedelta(days=90)
"""How long a broken invariant is kept after it was last seen."""

_AT_ONCE = 2_000
"""Rows of one transaction: it ends long before a statement's 15 s, and holds SQLite's writers up only briefly."""

_MOST_ROUNDS = 20
"""Transactions for one table in one run; what is left after them is for the next run."""


@dataclass(frozen=True, slots=True)
class _Expiring:
    """A table whose rows end by a moment in `column`, which an index begins with."""

    column: ColumnElement[datetime]
    life: timedelta = timedelta()


_EXPIRING: Sequence[_Expiring] = (
    _Expiring(idempotency_keys.c.expires_at),
    _Expiring(signature_claims.c.expires_at),
    _Expiring(inbox.c.completed_at, INBOX_LIFE),
    _Expiring(unmatched_receipts.c.received_at, UNMATCHED_LIFE),
    _Expiring(cool_downs.c.until),
    _Expiring(call_folds.c.expires_at),
    _Expiring(gateway_lines.c.written_at, LINES_LIFE),
    _Expiring(window_notices.c.told_at, NOTICES_LIFE),
    _Expiring(refusals.c.minute, REFUSALS_LIFE),
    _Expiring(invariant_violations.c.seen_at, VIOLATIONS_LIFE),
)


async def remove_expired(database: Database) -> int:
    """Removes what has expired; returns how many rows."""
    removed = 0
    for expiring in _EXPIRING:
        for _ in range(_MOST_ROUNDS):
            async with database.transaction() as connection:
                now = await database.now(connection)
                statement = await _oldest(connection, expiring.column, now - expiring.life)
                rows = (await connection.execute(statement)).rowcount
            removed += rows
            if rows < _AT_ONCE:
                break
    return removed + await remove_expired_events(database, EVENTS_LIFE)


async def remove_expired_events(database: Database, life: timedelta) -> int:
    """Removes message events that are older than `life`; returns how many."""
    removed = 0
    for _ in range(_MOST_ROUNDS):
        async with database.transaction() as connection:
            rows = await _remove_events(connection, await database.now(connection) - life)
        removed += rows
        if rows < _AT_ONCE:
            break
    return removed


async def _oldest(connection: AsyncConnection, column: ColumnElement[datetime], until: datetime) -> Delete:
    """Removes about `_AT_ONCE` of the oldest rows, all of one moment together."""
    nth = select(column).where(column <= until).order_by(column).offset(_AT_ONCE - 1).limit(1)
    bound = (await connection.execute(nth)).scalar_one_or_none()
    return delete(column.table).where(column <= (until if bound is None else bound))


async def _remove_events(connection: AsyncConnection, until: datetime) -> int:
    """Removes the oldest message events. Their numbers rise with their time, so they are found by number."""
    oldest = (
        select(message_events.c.sequence, message_events.c.occurred_at)
        .order_by(message_events.c.sequence)
        .limit(_AT_ONCE)
        .subquery("oldest")
    )
    expired = select(func.max(oldest.c.sequence)).where(oldest.c.occurred_at <= until)
    # The newest row stays, for SQLite's numbers follow the highest: none may be given out twice.
    newest = select(func.max(message_events.c.sequence)).scalar_subquery()
    last = (await connection.execute(expired)).scalar_one_or_none()
    if last is None:
        return 0
    statement = delete(message_events).where(
        message_events.c.sequence <= last, message_events.c.sequence < newest
    )
    return (await connection.execute(statement)).rowcount

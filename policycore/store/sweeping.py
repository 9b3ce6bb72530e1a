"""Finds messages whose process is gone, and removes rows that have expired."""

from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.event_ledger import StrandedMessage
from policycore.ledger import MessageState, NewMessage
from policycore.store.tables import (
    cool_downs,
    idempotency_keys,
    inbox,
    invariant_violations,
    message_events,
    messages,
    refusals,
    signature_claims,
    unmatched_receipts,
)

INBOX_LIFE = timedelta(days=9)
"""How long an event's identity is remembered; back ends repeat webhooks for up to 7 days (Meta's
documentation).
"""

UNMATCHED_LIFE = timedelta(days=1)
EVENTS_LIFE = timedelta(days=30)
REFUSALS_LIFE = timedelta(days=90)
"""How long the security log is kept."""
VIOLATIONS_LIFE = timedelta(days=90)
"""How long a broken invariant is kept after it was last seen."""
_AT_ONCE = 200


async def find_stranded(
    connection: AsyncConnection, now: datetime, overdue_seconds: float, lost_seconds: float
) -> list[StrandedMessage]:
    """At most 200 messages that nobody seems to be working on, the oldest first."""
    overdue = now - timedelta(seconds=overdue_seconds)
    lost = now - timedelta(seconds=lost_seconds)
    open_states = messages.c.state.in_([int(MessageState.WAITING), int(MessageState.HANDED_OUT)])
    rows = await connection.execute(
        select(messages)
        .where(
            open_states,
            or_(
                and_(messages.c.state == int(MessageState.WAITING), messages.c.send_after < overdue),
                and_(messages.c.state == int(MessageState.HANDED_OUT), messages.c.handed_out_at < lost),
            ),
        )
        .order_by(messages.c.created_at)
        .limit(_AT_ONCE)
    )
    return [
        StrandedMessage(
            message=NewMessage(
                message_id=row.id,
                account_id=row.account_id,
                instance_id=row.instance_id,
                integration_id=row.integration_id,
                person_id=row.person_id,
                conversation_id=row.conversation_id,
                state=MessageState(row.state),
                text=row.text,
                text_digest=row.text_digest,
                phone=row.to_phone,
                lid=row.to_lid,
                bsuid=row.to_bsuid,
                event_type=row.event_type,
                purpose=row.purpose,
                log_id=row.log_id,
                created_at=row.created_at,
                send_after=row.send_after,
                not_after=row.not_after,
                reserved_day=row.reserved_day,
                reserved_month=row.reserved_month,
                confirms_opt_out=row.confirms_opt_out,
            ),
            handed_out=row.state == int(MessageState.HANDED_OUT),
        )
        for row in rows
    ]


async def sweep(connection: AsyncConnection, now: datetime) -> int:
    """Removes expired rows; each table has an index on its time."""
    conditions = (
        delete(idempotency_keys).where(idempotency_keys.c.expires_at <= now),
        delete(signature_claims).where(signature_claims.c.expires_at <= now),
        delete(inbox).where(inbox.c.completed_at <= now - INBOX_LIFE),
        delete(unmatched_receipts).where(unmatched_receipts.c.received_at <= now - UNMATCHED_LIFE),
        delete(cool_downs).where(cool_downs.c.until <= now),
        delete(refusals).where(refusals.c.minute <= now - REFUSALS_LIFE),
        delete(invariant_violations).where(invariant_violations.c.seen_at <= now - VIOLATIONS_LIFE),
        delete(message_events).where(
            message_events.c.occurred_at <= now - EVENTS_LIFE,
            # The newest row stays, for SQLite's numbers follow the highest: none may be given out twice.
            message_events.c.sequence < select(func.max(message_events.c.sequence)).scalar_subquery(),
        ),
    )
    removed = 0
    for statement in conditions:
        removed += (await connection.execute(statement)).rowcount
    return removed

"""Finds messages whose process is gone."""

from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.event_ledger import StrandedMessage
from policycore.ledger import MessageState, NewMessage
from policycore.store.tables import messages

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
                reserved_share=row.reserved_share,
            ),
            handed_out=row.state == int(MessageState.HANDED_OUT),
        )
        for row in rows
    ]

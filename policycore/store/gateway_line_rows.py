"""Decides in the database which lines to agents are written: one for each chat and reason in ten minutes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.event_ledger import NewDelivery, NewLine
from policycore.model import Source
from policycore.store.persons import find_persons, upsert
from policycore.store.tables import decisions
from policycore.store.threecx_sms_tables import gateway_lines

QUIET = timedelta(minutes=10)
"""How long a reason is not told again in a chat: an agent who tries again knows it, and a machine that answers every
message gets nothing to answer.
"""

_CHAT = ("integration_id", "business_number", "customer", "reason")


async def take_lines(
    connection: AsyncConnection, lines: Sequence[NewLine], now: datetime
) -> list[NewDelivery]:
    """The deliveries of those lines that are due. Whoever asks at the same time, here or in another process, waits and
    then gets none.
    """
    taken = []
    # One order for all, so that two transactions never wait for each other.
    for line in sorted(lines, key=lambda each: (each.integration_id, each.business_number, each.customer)):
        if line.log_id and not await _came_from_chat(connection, line.log_id):
            continue
        if await _is_due(connection, line, now):
            taken.append(await _delivery(connection, line))
    return taken


async def _came_from_chat(connection: AsyncConnection, log_id: int) -> bool:
    """Whether the message was a reply in a chat: what came another way has no chat to tell it in."""
    query = select(decisions.c.source).where(decisions.c.log_id == log_id)
    return (await connection.execute(query)).scalar_one_or_none() == Source.THREECX_SMS.value


async def _is_due(connection: AsyncConnection, line: NewLine, now: datetime) -> bool:
    key = dict(
        zip(_CHAT, (line.integration_id, line.business_number, line.customer, line.reason), strict=True)
    )
    statement = (
        upsert(connection, gateway_lines)
        .values(**key, written_at=now)
        .on_conflict_do_update(
            index_elements=_CHAT,
            set_={"written_at": now},
            where=gateway_lines.c.written_at <= now - QUIET,
        )
        .returning(gateway_lines.c.reason)
    )
    return (await connection.execute(statement)).first() is not None


async def _delivery(connection: AsyncConnection, line: NewLine) -> NewDelivery:
    """In the customer's own line of deliveries, so that it comes after what was written before."""
    person_id = line.person_id
    if person_id is None and line.ordered:
        identity = (line.account_id, "phone", line.customer)
        person_id = (await find_persons(connection, [identity])).get(identity)
    return NewDelivery(
        delivery_id=line.delivery_id,
        account_id=line.account_id,
        integration_id=line.integration_id,
        webhook_id=None,
        instance_id=line.instance_id,
        person_id=person_id,
        event_name=line.event_name,
        body=line.body,
    )

"""Reading messages by id for those who ask what became of one."""

from sqlalchemy import select

from policycore.ledger import MessageView
from policycore.store.engine import Database
from policycore.store.message_rows import view_of_row
from policycore.store.tables import instances, messages


async def find_message(database: Database, account_id: str, message_id: str) -> MessageView | None:
    """An account's message by `msg_…` id, or by the back end's id (the newest, if several instances used it)."""
    column = messages.c.id if message_id.startswith("msg_") else messages.c.external_id
    query = (
        select(messages)
        .where(column == message_id, messages.c.account_id == account_id)
        .order_by(messages.c.created_at.desc())
        .limit(1)
    )
    if not message_id.startswith("msg_"):
        # The index on external ids begins with the instance.
        query = query.where(
            messages.c.instance_id.in_(select(instances.c.id).where(instances.c.account_id == account_id))
        )
    async with database.reading() as connection:
        row = (await connection.execute(query)).first()
    return None if row is None else view_of_row(row)

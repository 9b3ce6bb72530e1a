"""Rows of `messages` as views, and new messages as rows."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.agent_text import Original
from policycore.ledger import MessageState, MessageView, NewMessage
from policycore.store.batch_values import Rows, insert_rows, one_of, one_of_rows, rows_parameter
from policycore.store.tables import messages


def view_of_row(row: Row[Any]) -> MessageView:
    """A row of `messages` as callers see it."""
    return MessageView(
        message_id=row.id,
        account_id=row.account_id,
        instance_id=row.instance_id,
        integration_id=row.integration_id,
        conversation_id=row.conversation_id,
        person_id=row.person_id,
        phone=row.to_phone,
        lid=row.to_lid,
        bsuid=row.to_bsuid,
        outbound=row.outbound,
        state=MessageState(row.state),
        external_message_id=row.external_id or "",
        text=row.text,
        created_at=row.created_at,
        updated_at=row.updated_at,
        log_id=row.log_id,
        error_code=row.error_code,
        error_text=row.error_text,
        event_type=row.event_type,
        kind=row.kind,
    )


async def read_views(connection: AsyncConnection, message_ids: Sequence[str]) -> dict[str, MessageView]:
    """Messages by id."""
    if not message_ids:
        return {}
    wanted = {"ids": sorted(set(message_ids))}
    rows = await connection.execute(_by_id(connection.dialect.name), wanted)
    return {row.id: view_of_row(row) for row in rows}


@cache
def _by_id(dialect: str) -> Select[Any]:
    return select(messages).where(one_of(dialect, messages.c.id, "ids"))


async def find_originals(
    connection: AsyncConnection, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Original]:
    """Messages by (instance id, the back end's id)."""
    if not wanted:
        return {}
    dialect = connection.dialect.name
    rows = await connection.execute(
        _by_external(dialect), rows_parameter(dialect, "keys", sorted(set(wanted)))
    )
    return {
        (row.instance_id, row.external_id): Original(row.id, row.text, row.kind, row.outbound) for row in rows
    }


@cache
def _by_external(dialect: str) -> Select[Any]:
    keys = (messages.c.instance_id, messages.c.external_id)
    columns = (messages.c.id, messages.c.text, messages.c.kind, messages.c.outbound)
    return select(*keys, *columns).where(one_of_rows(dialect, keys, "keys"))


def new_message_row(message: NewMessage) -> dict[str, Any]:
    """An outbound message as a row."""
    return {
        "id": message.message_id,
        "account_id": message.account_id,
        "instance_id": message.instance_id,
        "integration_id": message.integration_id,
        "person_id": message.person_id,
        "conversation_id": message.conversation_id,
        "outbound": True,
        "from_business": False,
        "state": int(message.state),
        "kind": 1,
        "text": message.text,
        "text_digest": message.text_digest,
        "to_phone": message.phone,
        "to_lid": message.lid,
        "to_bsuid": message.bsuid,
        "event_type": message.event_type,
        "purpose": message.purpose,
        "log_id": message.log_id,
        "created_at": message.created_at,
        "updated_at": message.created_at,
        "send_after": message.send_after,
        "not_after": message.not_after,
        "handed_out_at": message.created_at if message.state is MessageState.HANDED_OUT else None,
        "reserved_day": message.reserved_day,
        "reserved_month": message.reserved_month,
        "cool_down_reserved": message.cool_down_until is not None,
        "confirms_opt_out": message.confirms_opt_out,
    }


_SAME_IN_MESSAGES = (
    "outbound",
    "from_business",
    "state",
    "kind",
    "to_lid",
    "to_bsuid",
    "event_type",
    "purpose",
    "created_at",
    "updated_at",
    "send_after",
    "handed_out_at",
    "reserved_day",
    "reserved_month",
    "cool_down_reserved",
    "confirms_opt_out",
)
"""Columns that have one value in a batch of replies that are handed out at once."""


def message_rows(new: Sequence[NewMessage]) -> Rows:
    """New outbound messages as rows."""
    rows = [new_message_row(message) for message in new]
    if any(message.reserved_share for message in new):
        # Few accounts share out their quotas; the others' statements do without the column.
        for row, message in zip(rows, new, strict=True):
            row["reserved_share"] = message.reserved_share
    return Rows(messages, rows, same=_SAME_IN_MESSAGES)


async def insert_messages(connection: AsyncConnection, new: Sequence[NewMessage]) -> None:
    """Writes new outbound messages."""
    await insert_rows(connection, message_rows(new))

"""Records what came of attempts, and gives back what messages held that were not sent."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Row, Select, bindparam, delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.event_ledger import Settlement
from policycore.ledger import MessageState, MessageView
from policycore.ports import AttemptOutcome, Outcome
from policycore.store.batch_values import POSTGRESQL, insert_rows, one_of
from policycore.store.message_rows import read_views, view_of_row
from policycore.store.quota_rows import reserved_quota
from policycore.store.receipts import apply_receipts, take_early_receipts
from policycore.store.tables import cool_downs, messages, suppressions
from policycore.store.unknown_notes import note_unknown

_STATES = {
    Outcome.ACCEPTED: MessageState.ACCEPTED,
    Outcome.REJECTED: MessageState.REJECTED,
    Outcome.UNKNOWN: MessageState.UNKNOWN,
    Outcome.NOT_ATTEMPTED: MessageState.LAPSED,
}
_GIVES_BACK = frozenset({MessageState.REJECTED, MessageState.LAPSED})
_OPEN = (int(MessageState.WAITING), int(MessageState.HANDED_OUT))
_SETTLEABLE = (*_OPEN, int(MessageState.UNKNOWN))
_UNKNOWN = int(MessageState.UNKNOWN)
RETRY_GAP = timedelta(seconds=1)


async def settle(
    connection: AsyncConnection, settlements: Sequence[Settlement], now: datetime
) -> dict[str, MessageView]:
    """Records outcomes. A message that a receipt already moved on stays there and only learns its external
    id.

    An attempt that never reached a sender puts a fresh message back into waiting. Returns the messages as
    they are then.
    """
    by_id = {settlement.message_id: settlement.outcome for settlement in settlements}
    rows = (await connection.execute(_locked(connection.dialect.name), {"ids": sorted(by_id)})).all()
    changes = [_change(row, by_id[row.id], now) for row in rows]
    if changes:
        await connection.execute(_UPDATE, changes)
    lost = [row for row, change in zip(rows, changes, strict=True) if _gives_back(row, change)]
    await _give_back(connection, lost)
    await note_unknown(connection, [each["b_id"] for each in changes if each["b_state"] == _UNKNOWN], now)
    accepted = [(row.instance_id, by_id[row.id].external_message_id) for row in rows]
    early = await take_early_receipts(connection, [pair for pair in accepted if pair[1]])
    if early:
        await apply_receipts(connection, early, now)
        return await read_views(connection, list(by_id))
    return {row.id: _changed(row, change) for row, change in zip(rows, changes, strict=True)}


def _change(row: Row[Any], outcome: AttemptOutcome, now: datetime) -> dict[str, Any]:
    state, settled_at, send_after = MessageState(row.state), row.settled_at, row.send_after
    if row.state in _SETTLEABLE:
        state = _STATES[outcome.outcome]
        settled_at = now
        retry_at = now + RETRY_GAP
        if not outcome.handed_over and row.not_after is not None and retry_at < row.not_after:
            state, settled_at, send_after = MessageState.WAITING, None, retry_at
    refused = state in (
        MessageState.REJECTED,
        MessageState.UNKNOWN,
        MessageState.LAPSED,
        MessageState.WAITING,
    )
    return {
        "b_id": row.id,
        "b_state": int(state),
        "b_external_id": row.external_id or outcome.external_message_id or None,
        "b_settled_at": settled_at,
        "b_send_after": send_after,
        "b_updated_at": now,
        "b_error_code": outcome.code[:64] if refused else row.error_code,
        "b_error_text": outcome.explanation[:500] if refused else row.error_text,
    }


def _changed(row: Row[Any], change: dict[str, Any]) -> MessageView:
    """The message as it is once the change is written."""
    return replace(
        view_of_row(row),
        state=MessageState(change["b_state"]),
        external_message_id=change["b_external_id"] or "",
        updated_at=change["b_updated_at"],
        error_code=change["b_error_code"],
        error_text=change["b_error_text"],
    )


@cache
def _locked(dialect: str) -> Select[Any]:
    query = select(messages).where(one_of(dialect, messages.c.id, "ids")).order_by(messages.c.id)
    return query.with_for_update() if dialect == POSTGRESQL else query


_UPDATE = (
    update(messages)
    .where(messages.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        external_id=bindparam("b_external_id"),
        settled_at=bindparam("b_settled_at"),
        send_after=bindparam("b_send_after"),
        updated_at=bindparam("b_updated_at"),
        error_code=bindparam("b_error_code"),
        error_text=bindparam("b_error_text"),
    )
)


def _gives_back(row: Row[Any], change: dict[str, Any]) -> bool:
    return row.state in _SETTLEABLE and MessageState(change["b_state"]) in _GIVES_BACK


async def _give_back(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> None:
    """Quota and cool-down of messages that were not sent; nothing is given back twice, since states move only
    once.
    """
    await insert_rows(connection, reserved_quota(rows, -1))
    cooling = [row.id for row in rows if row.cool_down_reserved]
    if cooling:
        await connection.execute(delete(cool_downs).where(cool_downs.c.message_id.in_(cooling)))


async def hand_out(connection: AsyncConnection, message_ids: Sequence[str], now: datetime) -> set[str]:
    """Marks waiting messages as handed out. Only those returned may be attempted: somebody else has the
    others.
    """
    if not message_ids:
        return set()
    rows = await connection.execute(
        update(messages)
        .where(messages.c.id.in_(sorted(message_ids)), messages.c.state == int(MessageState.WAITING))
        .values(state=int(MessageState.HANDED_OUT), handed_out_at=now, updated_at=now)
        .returning(messages.c.id)
    )
    return set(rows.scalars())


async def opted_out_meanwhile(connection: AsyncConnection, message_ids: Sequence[str]) -> set[str]:
    """Of these messages, those whose person was suppressed for every purpose after they were decided."""
    if not message_ids:
        return set()
    holding = (suppressions.c.scope == "all", suppressions.c.lifted_at.is_(None))
    rows = await connection.execute(
        select(messages.c.id)
        .join(suppressions, suppressions.c.person_id == messages.c.person_id)
        .where(messages.c.id.in_(sorted(message_ids)), messages.c.confirms_opt_out.is_(False), *holding)
    )
    return set(rows.scalars())


async def opted_out_under_way(connection: AsyncConnection) -> set[str]:
    """Persons suppressed for every purpose to whom a message, other than their confirmation, is under way."""
    return set((await connection.execute(_OPTED_OUT_UNDER_WAY)).scalars())


_OPTED_OUT_UNDER_WAY = (
    select(messages.c.person_id)
    .distinct()
    .join(suppressions, suppressions.c.person_id == messages.c.person_id)
    .where(
        # As in the condition of the index of all open messages; as parameters, no plan would find it.
        text("messages.state IN (1, 2)"),
        messages.c.confirms_opt_out.is_(False),
        suppressions.c.scope == "all",
        suppressions.c.lifted_at.is_(None),
    )
)

"""Moves messages forward by receipts, never backwards, and keeps receipts that came too early."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, exists, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.inbound import Receipt, ReceiptKind
from policycore.ledger import MessageState, MessageView
from policycore.store.batch_values import insert_rows, one_of_rows, rows_parameter
from policycore.store.message_rows import view_of_row
from policycore.store.persons import upsert
from policycore.store.quota_rows import reserved_quota
from policycore.store.tables import messages, unmatched_receipts

_RANK = {
    MessageState.WAITING: 0,
    MessageState.HANDED_OUT: 0,
    MessageState.UNKNOWN: 0,
    MessageState.LAPSED: 0,
    MessageState.REJECTED: 0,
    MessageState.ACCEPTED: 1,
    MessageState.SENT: 2,
    MessageState.FAILED: 2,
    MessageState.DELIVERED: 3,
    MessageState.READ: 4,
}
"""How far a state is; a receipt only ever moves a message up. FAILED wins over ACCEPTED and SENT only."""

_STATE = {
    ReceiptKind.ACCEPTED: MessageState.ACCEPTED,
    ReceiptKind.SENT: MessageState.SENT,
    ReceiptKind.DELIVERED: MessageState.DELIVERED,
    ReceiptKind.READ: MessageState.READ,
    ReceiptKind.PLAYED: MessageState.READ,
    ReceiptKind.FAILED: MessageState.FAILED,
}

_GAVE_BACK = frozenset({MessageState.REJECTED, MessageState.LAPSED})
"""Messages that did not leave, as far as was known, and hold no quota."""

_UNSETTLED = (MessageState.HANDED_OUT, MessageState.UNKNOWN)
_TEXT_MATCH = timedelta(hours=24)
"""How long after its attempt an UNKNOWN message may be settled by a report that repeats its text."""


def next_state(current: MessageState, kind: ReceiptKind) -> MessageState | None:
    """The state a receipt moves a message to, or None if it must stay where it is."""
    target = _STATE[kind]
    if target is MessageState.FAILED and current in _GAVE_BACK:
        return None
    if target is MessageState.FAILED:
        return (
            target
            if _RANK.get(current, 9) < _RANK[MessageState.DELIVERED] and current is not target
            else None
        )
    return target if _RANK[target] > _RANK.get(current, 9) else None


async def apply_receipts(
    connection: AsyncConnection, receipts: Sequence[tuple[str, Receipt]], now: datetime
) -> list[MessageView]:
    """Applies (instance id, receipt) pairs in order; returns messages whose state changed, as they are then."""
    by_external, by_id = await _find(connection, receipts)
    changed: dict[str, Row[Any]] = {}
    unmatched: list[dict[str, Any]] = []
    states: dict[str, MessageState] = {}
    for instance_id, receipt in receipts:
        row = by_external.get((instance_id, receipt.external_message_id)) or by_id.get(
            (instance_id, receipt.correlation_id)
        )
        if row is None and receipt.text:
            row = await _find_by_text(connection, instance_id, receipt.text, now)
        if row is None:
            unmatched.append(_unmatched_row(instance_id, receipt, now))
            continue
        state = next_state(states.get(row.id, MessageState(row.state)), receipt.kind)
        if state is not None or (receipt.external_message_id and not row.external_id):
            states[row.id] = state or states.get(row.id, MessageState(row.state))
            await _move(connection, row, states[row.id], receipt, now)
            changed[row.id] = row
    if unmatched:
        await connection.execute(upsert(connection, unmatched_receipts).on_conflict_do_nothing(), unmatched)
    if not changed:
        return []
    sent_after_all = [
        row for row in changed.values() if row.state in _GAVE_BACK and states[row.id] not in _GAVE_BACK
    ]
    await insert_rows(connection, reserved_quota(sent_after_all, +1))
    rows = await connection.execute(select(messages).where(messages.c.id.in_(sorted(changed))))
    views = {row.id: view_of_row(row) for row in rows}
    return [views[message_id] for message_id in changed]


async def _find(
    connection: AsyncConnection, receipts: Sequence[tuple[str, Receipt]]
) -> tuple[dict[tuple[str, str], Row[Any]], dict[tuple[str, str], Row[Any]]]:
    pairs = sorted({(i, r.external_message_id) for i, r in receipts if r.external_message_id})
    ids = sorted({r.correlation_id for _, r in receipts if r.correlation_id.startswith("msg_")})
    wanted = []
    if pairs:
        wanted.append(
            and_(tuple_(messages.c.instance_id, messages.c.external_id).in_(pairs), messages.c.outbound)
        )
    if ids:
        instances = sorted({instance_id for instance_id, _ in receipts})
        wanted.append(and_(messages.c.id.in_(ids), messages.c.instance_id.in_(instances)))
    if not wanted:
        return {}, {}
    query = select(messages).where(or_(*wanted)).order_by(messages.c.id)
    if connection.dialect.name == "postgresql":
        query = query.with_for_update()
    rows = (await connection.execute(query)).all()
    return {(row.instance_id, row.external_id): row for row in rows if row.external_id}, {
        (row.instance_id, row.id): row for row in rows
    }


async def _find_by_text(
    connection: AsyncConnection, instance_id: str, text: str, now: datetime
) -> Row[Any] | None:
    """The one unsettled message with this very text, if there is exactly one: a guess between two would be no
    proof.
    """
    rows = (
        await connection.execute(
            select(messages)
            .where(
                messages.c.instance_id == instance_id,
                messages.c.outbound,
                messages.c.state.in_([int(state) for state in _UNSETTLED]),
                messages.c.external_id.is_(None),
                messages.c.text == text,
                messages.c.created_at > now - _TEXT_MATCH,
            )
            .limit(2)
        )
    ).all()
    return rows[0] if len(rows) == 1 else None


async def _move(
    connection: AsyncConnection, row: Row[Any], state: MessageState, receipt: Receipt, now: datetime
) -> None:
    values: dict[str, Any] = {"state": int(state), "updated_at": now}
    if receipt.external_message_id and not row.external_id:
        values["external_id"] = receipt.external_message_id
    if row.settled_at is None and state is not MessageState.HANDED_OUT:
        values["settled_at"] = now
    if state is MessageState.FAILED:
        values["error_code"] = receipt.error_code[:64]
        values["error_text"] = receipt.error_text[:500]
    await connection.execute(update(messages).where(messages.c.id == row.id).values(**values))


def _unmatched_row(instance_id: str, receipt: Receipt, now: datetime) -> dict[str, Any]:
    return {
        "instance_id": instance_id,
        "external_id": receipt.external_message_id[:300],
        "kind": int(receipt.kind),
        "error_code": receipt.error_code[:64],
        "error_text": receipt.error_text[:500],
        "received_at": now,
    }


def _early_of(dialect: str) -> ColumnElement[bool]:
    columns = (unmatched_receipts.c.instance_id, unmatched_receipts.c.external_id)
    return one_of_rows(dialect, columns, "pairs")


@cache
def _early(dialect: str) -> Select[Any]:
    return select(unmatched_receipts).where(_early_of(dialect)).order_by(unmatched_receipts.c.kind)


_MOST_MATCHED = 200


async def find_matched(connection: AsyncConnection) -> list[tuple[str, str]]:
    """(instance id, external id) pairs of receipts that came too early and whose messages are known by now, the oldest
    first. A receipt that came in the very moment in which its message was accepted saw no message, and was not seen.
    """
    early = unmatched_receipts
    same = and_(messages.c.instance_id == early.c.instance_id, messages.c.external_id == early.c.external_id)
    query = (
        select(early.c.instance_id, early.c.external_id)
        .where(exists().where(same, messages.c.outbound))
        .order_by(early.c.received_at)
        .limit(_MOST_MATCHED)
    )
    return [(row[0], row[1]) for row in await connection.execute(query)]


async def take_early_receipts(
    connection: AsyncConnection, pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, Receipt]]:
    """Takes out the receipts that were waiting for these (instance id, external id) pairs, in rising order."""
    if not pairs:
        return []
    dialect = connection.dialect.name
    wanted = rows_parameter(dialect, "pairs", sorted(set(pairs)))
    rows = (await connection.execute(_early(dialect), wanted)).all()
    if rows:
        await connection.execute(delete(unmatched_receipts).where(_early_of(dialect)), wanted)
    return [
        (
            row.instance_id,
            Receipt(row.external_id, ReceiptKind(row.kind), row.error_code, row.error_text),
        )
        for row in rows
    ]

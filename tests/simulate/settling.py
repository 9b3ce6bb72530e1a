"""Owns what outcomes and receipts do to messages in memory: forward and never back, and what is given back."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from policycore.event_ledger import Settlement
from policycore.inbound import Receipt, ReceiptKind
from policycore.ledger import MessageState, MessageView
from policycore.ports import AttemptOutcome, Outcome
from simulate.decision_twin import add_quota
from simulate.rows import GAVE_BACK, OPEN, SETTLEABLE, EarlyReceipt, MessageRow, SuppressionRow
from simulate.store import Transaction

_STATE_OF_OUTCOME = {
    Outcome.ACCEPTED: MessageState.ACCEPTED,
    Outcome.REJECTED: MessageState.REJECTED,
    Outcome.UNKNOWN: MessageState.UNKNOWN,
    Outcome.NOT_ATTEMPTED: MessageState.LAPSED,
}
_REFUSED = frozenset({MessageState.REJECTED, MessageState.UNKNOWN, MessageState.LAPSED, MessageState.WAITING})
_PROGRESS = (MessageState.ACCEPTED, MessageState.SENT, MessageState.DELIVERED, MessageState.READ)
_STATE_OF_RECEIPT = {
    ReceiptKind.ACCEPTED: MessageState.ACCEPTED,
    ReceiptKind.SENT: MessageState.SENT,
    ReceiptKind.DELIVERED: MessageState.DELIVERED,
    ReceiptKind.READ: MessageState.READ,
    ReceiptKind.PLAYED: MessageState.READ,
    ReceiptKind.FAILED: MessageState.FAILED,
}


async def settle(tx: Transaction, settlements: Sequence[Settlement]) -> dict[str, MessageView]:
    """Records outcomes, and applies receipts that came before them."""
    outcomes = {each.message_id: each.outcome for each in settlements}
    await tx.lock(("messages", message_id) for message_id in sorted(outcomes))
    for message_id in sorted(outcomes):
        await _settle_one(tx, tx.get("messages", message_id), outcomes[message_id])
    early = []
    for message_id in sorted(outcomes):
        external_id = outcomes[message_id].external_message_id
        if external_id:
            instance_id = tx.get("messages", message_id).view.instance_id
            early += await _take_early(tx, instance_id, external_id)
    if early:
        await apply_receipts(tx, early)
    return {message_id: tx.get("messages", message_id).view for message_id in outcomes}


async def _settle_one(tx: Transaction, row: MessageRow, outcome: AttemptOutcome) -> None:
    state, settled_at, send_after = row.view.state, row.settled_at, row.send_after
    settleable = state in SETTLEABLE
    if settleable:
        state, settled_at = _STATE_OF_OUTCOME[outcome.outcome], tx.now
        again_at = tx.now + timedelta(seconds=1)
        if not outcome.handed_over and row.made is not None and again_at < row.made.not_after:
            state, settled_at, send_after = MessageState.WAITING, None, again_at
    view = replace(
        row.view,
        state=state,
        external_message_id=row.view.external_message_id or outcome.external_message_id,
        updated_at=tx.now,
        error_code=outcome.code[:64] if state in _REFUSED else row.view.error_code,
    )
    changed = replace(row, view=view, settled_at=settled_at, send_after=send_after)
    await tx.put("messages", view.message_id, changed)
    if settleable and state in GAVE_BACK:
        await _give_back(tx, row, -1)
        for key, held in tx.items("cool_downs").items():
            if held.message_id == view.message_id:
                await tx.put("cool_downs", key, None)


async def _give_back(tx: Transaction, row: MessageRow, each: int) -> None:
    if row.made is None:
        return
    periods = [period for period in (row.made.reserved_day, row.made.reserved_month) if period]
    counted_under = [name for name in (row.view.account_id, row.made.reserved_share) if name]
    await add_quota(tx, {(name, period): each for name in counted_under for period in periods})


async def _take_early(tx: Transaction, instance_id: str, external_id: str) -> list[tuple[str, Receipt]]:
    found = [
        row for row in tx.rows("early") if (row.instance_id, row.external_id) == (instance_id, external_id)
    ]
    for row in found:
        await tx.put("early", (instance_id, external_id, row.kind), None)
    found.sort(key=lambda row: row.kind)
    return [(instance_id, Receipt(external_id, ReceiptKind(row.kind), row.error_code)) for row in found]


def crossed(messages: Iterable[MessageRow], early: Iterable[EarlyReceipt]) -> list[tuple[str, str]]:
    """(instance id, external id) of receipts that were kept and whose messages are known by now."""
    waiting = {(row.instance_id, row.external_id) for row in early}
    if not waiting:
        return []
    known = {(row.view.instance_id, row.view.external_message_id) for row in messages if row.made is not None}
    return sorted(waiting & known)


async def match_receipts(tx: Transaction) -> list[MessageView]:
    """Applies receipts that crossed their messages' answers."""
    receipts = []
    for instance_id, external_id in crossed(tx.rows("messages"), tx.rows("early")):
        receipts += await _take_early(tx, instance_id, external_id)
    return await apply_receipts(tx, receipts)


async def hand_out(tx: Transaction, message_ids: Sequence[str]) -> set[str]:
    """Marks waiting messages as handed out; returns those that were still waiting."""
    mine = set()
    for message_id in sorted(message_ids):
        await tx.lock([("messages", message_id)])
        row = tx.get("messages", message_id)
        if row is not None and row.view.state is MessageState.WAITING:
            view = replace(row.view, state=MessageState.HANDED_OUT, updated_at=tx.now)
            await tx.put("messages", message_id, replace(row, view=view, handed_out_at=tx.now))
            mine.add(message_id)
    return mine


def opted_out_meanwhile(tx: Transaction, message_ids: Sequence[str]) -> set[str]:
    """Of these messages, those to persons who are suppressed for every purpose."""
    blocked = {row.person_id for row in tx.rows("suppressions") if row.scope == "all" and not row.lifted_at}
    rows = [tx.get("messages", message_id) for message_id in message_ids]
    return {
        row.view.message_id
        for row in rows
        if row is not None
        and row.made is not None
        and not row.made.confirms_opt_out
        and row.view.person_id in blocked
    }


def opted_out_under_way(messages: Iterable[MessageRow], suppressions: Iterable[SuppressionRow]) -> set[str]:
    """Persons who are suppressed for every purpose and to whom a message is under way."""
    blocked = {row.person_id for row in suppressions if row.scope == "all" and not row.lifted_at}
    if not blocked:
        return blocked
    return {
        row.view.person_id
        for row in messages
        if row.made is not None and row.view.state in OPEN and not row.made.confirms_opt_out
    } & blocked


async def apply_receipts(tx: Transaction, receipts: Sequence[tuple[str, Receipt]]) -> list[MessageView]:
    """Moves messages forward; returns those that changed. What nobody knows yet is kept."""
    changed: dict[str, None] = {}
    for instance_id, receipt in receipts:
        row = _find(tx, instance_id, receipt)
        if row is None:
            early = EarlyReceipt(
                instance_id, receipt.external_message_id, int(receipt.kind), receipt.error_code, tx.now
            )
            key = (instance_id, receipt.external_message_id, int(receipt.kind))
            if tx.get("early", key) is None:
                await tx.put("early", key, early)
            continue
        await tx.lock([("messages", row.view.message_id)])
        row = tx.get("messages", row.view.message_id)
        if await _move(tx, row, receipt, tx.now):
            changed[row.view.message_id] = None
    return [tx.get("messages", message_id).view for message_id in changed]


def _find(tx: Transaction, instance_id: str, receipt: Receipt) -> MessageRow | None:
    named: MessageRow | None = tx.get("messages", receipt.correlation_id)
    for row in tx.rows("messages"):
        if row.made is None or row.view.instance_id != instance_id:
            continue
        if receipt.external_message_id and row.view.external_message_id == receipt.external_message_id:
            found: MessageRow = row
            return found
    if named is not None and named.made is not None and named.view.instance_id == instance_id:
        return named
    return None


async def _move(tx: Transaction, row: MessageRow, receipt: Receipt, now: datetime) -> bool:
    state = next_state(row.view.state, receipt.kind)
    learns = bool(receipt.external_message_id) and not row.view.external_message_id
    if state is None and not learns:
        return False
    moved = row.view.state if state is None else state
    view = replace(
        row.view,
        state=moved,
        updated_at=now,
        external_message_id=row.view.external_message_id or receipt.external_message_id,
        error_code=receipt.error_code if moved is MessageState.FAILED else row.view.error_code,
    )
    await tx.put("messages", view.message_id, replace(row, view=view, settled_at=row.settled_at or now))
    if row.view.state in GAVE_BACK and moved not in GAVE_BACK:
        await _give_back(tx, row, +1)
    return True


def next_state(current: MessageState, kind: ReceiptKind) -> MessageState | None:
    """Where a receipt moves a message, or None if it stays where it is."""
    target = _STATE_OF_RECEIPT[kind]
    far = _PROGRESS.index(current) if current in _PROGRESS else -1
    if target is MessageState.FAILED:
        fails = current not in GAVE_BACK and current is not MessageState.FAILED and far <= 1
        return target if fails else None
    if current is MessageState.FAILED:
        far = 1
    return target if _PROGRESS.index(target) > far else None

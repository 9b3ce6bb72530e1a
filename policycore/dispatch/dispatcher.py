"""Carries allowed messages to the senders and outcomes back, and finds what a dead process left behind."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import structlog

from policycore import steps
from policycore.dispatch.consequences import add_consequences, turns_to_skip
from policycore.dispatch.instance_gates import Entry, InstanceGates
from policycore.errors import PolicyCoreError
from policycore.event_ledger import EventLedger, EventWrites, Settlement, StrandedMessage
from policycore.ids import RandomBytes
from policycore.inbound import InboundEvent, Receipt, ReceiptKind
from policycore.ledger import MessageState, MessageView, NewMessage, view_of
from policycore.ports import (
    AttemptOutcome,
    Consequence,
    Counters,
    LateReceipt,
    OutboundMessage,
    Outcome,
    Senders,
)
from policycore.registry.snapshot import InstanceConfig, Snapshot
from policycore.usecases.bodies import STATUS_UPDATED
from policycore.usecases.deliveries import tell_status, webhook_wants
from policycore.usecases.group_commit import GroupCommit
from policycore.usecases.record_events import Report

_log = structlog.get_logger(__name__)

MOST_UNDER_WAY = 20_000
"""Messages of one process that wait for their turn or their outcome; each is a task, and takes memory."""

OVERDUE_SECONDS = 5.0
"""A waiting message this long past its turn has lost its process."""

LOST_SECONDS = 90.0
"""A message handed out this long ago and not settled has lost its process; an attempt ends within 35 s."""

GUARD_LAG_SECONDS = 0.3
"""Longest time in which a sender that is connected hears of a change: a heartbeat and its way."""

_SETTLE_WAITS = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0)
"""Seconds between tries to record an outcome: 40 s in all, within the time after which a sweep calls it
unknown.
"""

_RECEIPT_KINDS = {
    "sent": ReceiptKind.SENT,
    "delivered": ReceiptKind.DELIVERED,
    "read": ReceiptKind.READ,
    "failed": ReceiptKind.FAILED,
}


OPTED_OUT_MEANWHILE = AttemptOutcome(
    Outcome.NOT_ATTEMPTED,
    "recipient_suppressed",
    "The person opted out while this message waited for its turn.",
)


HELD_BACK = AttemptOutcome(
    Outcome.NOT_ATTEMPTED,
    "instance_held_back",
    "The instance's back end does not answer; the message waits.",
    handed_over=False,
)

LOOKS_AGAIN_SECONDS = 1.0
"""How often a message whose instance is held back looks whether it still is."""


class HandOut(Enum):
    """Whose a waiting message is when its turn has come. Guards know opt-outs by the process that took them; a
    message that waited may be another's, so the ledger is asked once more.
    """

    OURS = 1
    NOT_OURS = 2
    OPTED_OUT = 3


class Dispatcher:
    """One process's messages under way. Every message it was given ends in a settlement, or is found by a
    sweep.
    """

    def __init__(
        self,
        ledger: EventLedger,
        senders: Senders,
        counters: Counters,
        snapshot: Callable[[], Snapshot],
        clock: Callable[[], datetime],
        random_bytes: RandomBytes,
        *,
        deliveries_waiting: Callable[[], None],
        states_changed: Callable[[], None],
        opted_out: Callable[[str], None],
        database_now: Callable[[], datetime] | None = None,
        most_under_way: int = MOST_UNDER_WAY,
        gates: InstanceGates | None = None,
    ) -> None:
        self._ledger = ledger
        self._senders = senders
        self._counters = counters
        self._snapshot = snapshot
        self._clock = clock
        self._random = random_bytes
        self._deliveries_waiting = deliveries_waiting
        self._states_changed = states_changed
        self._opted_out = opted_out
        self._database_now = database_now or clock
        self.most_under_way = most_under_way
        self.gates = gates or InstanceGates(lambda: clock().timestamp())
        self._open: dict[str, asyncio.Future[MessageView]] = {}
        self._open_of: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: GroupCommit[Settlement, MessageView] = GroupCommit(
            self._settle_batch, max_batch=128, max_waiting=100_000
        )
        self._handing_out: GroupCommit[str, HandOut] = GroupCommit(
            self._hand_out_batch, max_batch=128, max_waiting=100_000
        )
        self.record: Callable[[Report], Awaitable[object]] | None = None

    def settle_after(self, deciding: GroupCommit[Any, Any]) -> None:
        """Outcomes are recorded between batches of decisions, not while one reads: then each batch is larger, and a
        batch costs the database much the same whatever its size.
        """
        self._settling.follow(deciding)

    # --- sending --------------------------------------------------------------------------------------------

    def outcome(self, message_id: str) -> "asyncio.Future[MessageView] | None":
        """The outcome of a message this process works on."""
        return self._open.get(message_id)

    def has_room_for(self, account_id: str) -> bool:
        """Whether further messages of an account may be committed: one account may have half of the room."""
        room = self.most_under_way - len(self._open)
        return room > 0 and self._open_of.get(account_id, 0) < self.most_under_way // 2

    def send(self, message: NewMessage) -> None:
        """Takes a committed message: at once if it is handed out, else when its turn comes."""
        if message.message_id in self._open:
            return
        self._open[message.message_id] = asyncio.get_running_loop().create_future()
        self._open_of[message.account_id] = self._open_of.get(message.account_id, 0) + 1
        self._spawn(self._carry(message))

    async def _carry(self, message: NewMessage) -> None:
        future = self._open[message.message_id]
        try:
            view = await self._attempt_in_turn(message)
            if view is not None and not future.done():
                future.set_result(view)
        except Exception as error:  # noqa: BLE001 - a sweep finds the message; the others must go on
            _log.error("dispatch.stranded", message_id=message.message_id, error=type(error).__name__)
        finally:
            self._open.pop(message.message_id, None)
            self._one_less_of(message.account_id)
            future.cancel()

    def _one_less_of(self, account_id: str) -> None:
        left = self._open_of[account_id] - 1
        if left:
            self._open_of[account_id] = left
        else:
            del self._open_of[account_id]

    async def _attempt_in_turn(self, message: NewMessage) -> MessageView | None:
        """Attempts a message until a sender has had it; returns None if another process has it."""
        waiting = message.state.name == "WAITING"
        turn = message.send_after
        while True:
            if waiting:
                await asyncio.sleep(max(0.0, (turn - self._clock()).total_seconds()))
                await self._until_let_through(message)
                handed_out = await self._handing_out.do(message.message_id)
                if handed_out is HandOut.NOT_OURS:
                    return None
                if handed_out is HandOut.OPTED_OUT:
                    return await self._settle(Settlement(message.message_id, OPTED_OUT_MEANWHILE))
            outcome = await self._attempt(message)
            view = await self._settle(Settlement(message.message_id, outcome, message))
            if view.state.name != "WAITING":
                self._schedule_receipts(message, view, outcome.receipts)
                return view
            waiting, turn = True, self._clock() + timedelta(seconds=1)

    async def _attempt(self, message: NewMessage) -> AttemptOutcome:
        instance = self._snapshot().instances.get(message.instance_id)
        if instance is None:
            return AttemptOutcome(Outcome.REJECTED, "instance_removed", "The instance was removed.")
        if self._clock() >= message.not_after:
            return AttemptOutcome(Outcome.NOT_ATTEMPTED, "too_late", "It was too late to send this message.")
        entry = self.gates.enter(message.instance_id)
        if entry is Entry.HELD_BACK:
            return HELD_BACK
        outcome = None
        try:
            outcome = await self._deliver(message, instance)
            return outcome
        finally:
            self.gates.leave(message.instance_id, entry, outcome)

    async def _until_let_through(self, message: NewMessage) -> None:
        """Waits while the message's instance is held back, as long as the message is fresh."""
        while self.gates.held and self._clock() < message.not_after:
            hold = self.gates.hold(message.instance_id)
            if hold is None:
                return
            await asyncio.sleep(min(hold.seconds, LOOKS_AGAIN_SECONDS))

    async def _deliver(self, message: NewMessage, instance: InstanceConfig) -> AttemptOutcome:
        outcome = await self._senders.deliver(_outbound(message), instance)
        if outcome.code.startswith("guarded_"):
            # What the ledger allowed just now a sender may still guard against: it hears of a lifted pause or opt-out
            # a heartbeat later. A guard that is meant is still there then.
            await asyncio.sleep(GUARD_LAG_SECONDS)
            outcome = await self._senders.deliver(_outbound(message), instance)
        return outcome

    # --- settling -------------------------------------------------------------------------------------------

    async def _settle(self, settlement: Settlement) -> MessageView:
        """Records an outcome, and tries again while the ledger cannot be written: only this process knows
        what came.
        """
        for wait in _SETTLE_WAITS:
            try:
                return await self._settling.do(settlement)
            except Exception as error:  # noqa: BLE001 - whatever the ledger raises, the outcome must not be lost
                _log.warning(
                    "dispatch.unsettled", message_id=settlement.message_id, error=type(error).__name__
                )
                await asyncio.sleep(wait)
        return await self._settling.do(settlement)

    async def _settle_batch(self, settlements: Sequence[Settlement]) -> list[MessageView]:
        steps.passed("record.learned")
        views = await self._record_accepted([each for each in settlements if self._only_accepted(each)])
        others = [each for each in settlements if each.message_id not in views]
        if others:
            views.update(await self._settle_others(others))
        steps.passed("record.settled")
        return [views[settlement.message_id] for settlement in settlements]

    def _only_accepted(self, settlement: Settlement) -> bool:
        """Whether nothing follows from an outcome but that its message was accepted."""
        outcome, message = settlement.outcome, settlement.message
        return (
            message is not None
            and outcome.outcome is Outcome.ACCEPTED
            and outcome.consequence is Consequence.NONE
            and bool(outcome.external_message_id)
            and not webhook_wants(self._snapshot(), message.account_id, STATUS_UPDATED)
        )

    async def _record_accepted(self, settlements: Sequence[Settlement]) -> dict[str, MessageView]:
        """Messages that are accepted now. One that is not handed out any more, or has receipts waiting for it, is
        left to be settled with everything that belongs to that.
        """
        if not settlements:
            return {}
        now = self._database_now()
        views = {
            each.message_id: view_of(
                each.message, MessageState.ACCEPTED, each.outcome.external_message_id, now
            )
            for each in settlements
            if each.message is not None
        }
        accepted, early = await self._ledger.record_accepted(list(views.values()), STATUS_UPDATED, now)
        return {message_id: views[message_id] for message_id in accepted - early}

    async def _settle_others(self, settlements: Sequence[Settlement]) -> dict[str, MessageView]:
        async with self._ledger.begin() as transaction:
            views = await transaction.settle(settlements)
            writes = EventWrites()
            ended = [view for view in views.values() if view.state is not MessageState.WAITING]
            tell_status(ended, transaction.snapshot, writes, self._random)
            for settlement in settlements:
                view = views[settlement.message_id]
                add_consequences(settlement.outcome, view, writes, transaction.now, self._random)
            await transaction.write(writes)
        if writes.deliveries:
            self._deliveries_waiting()
        if writes.states or writes.pauses:
            self._states_changed()
        for suppression in writes.suppressions:
            if suppression.scope == "all":
                self._opted_out(suppression.person_id)
        await self._slow_down(settlements, views)
        return views

    async def _slow_down(self, settlements: Sequence[Settlement], views: dict[str, MessageView]) -> None:
        """A back end that says "too fast" moves the next turns of its instance, or of the one pair, away."""
        for settlement in settlements:
            view = views[settlement.message_id]
            instance = self._snapshot().instances.get(view.instance_id)
            turns = turns_to_skip(settlement.outcome, view, instance) if instance else []
            if turns:
                await self._counters.reserve_turns(turns)

    async def _hand_out_batch(self, message_ids: Sequence[str]) -> list[HandOut]:
        async with self._ledger.begin() as transaction:
            mine = await transaction.hand_out(message_ids)
            opted_out = await transaction.opted_out_meanwhile(sorted(mine))
        steps.passed("permit.handed_out")
        answers = []
        for each in message_ids:
            if each not in mine:
                answers.append(HandOut.NOT_OURS)
                continue
            # Whoever asks for the same message twice in one batch gets it once.
            mine.discard(each)
            answers.append(HandOut.OPTED_OUT if each in opted_out else HandOut.OURS)
        return answers

    def _schedule_receipts(
        self, message: NewMessage, view: MessageView, receipts: Sequence[LateReceipt]
    ) -> None:
        for receipt in receipts:
            self._spawn(self._late_receipt(message, view.external_message_id, receipt))

    async def _late_receipt(self, message: NewMessage, external_id: str, receipt: LateReceipt) -> None:
        await asyncio.sleep(receipt.after_seconds)
        if self.record is None:
            return
        report = Receipt(
            external_id, _RECEIPT_KINDS[receipt.kind], receipt.error_code, correlation_id=message.message_id
        )
        event = InboundEvent(f"{message.message_id}:{receipt.kind}", report, provider_time=self._clock())
        try:
            await self.record(Report(message.instance_id, (event,), self._clock()))
        except PolicyCoreError as error:
            _log.warning("dispatch.receipt_lost", message_id=message.message_id, error=error.reason)

    # --- sweeping -------------------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Takes up what a dead process left: sends what is fresh and was not handed out, settles the rest."""
        found = await self._ledger.find_stranded(overdue_seconds=OVERDUE_SECONDS, lost_seconds=LOST_SECONDS)
        stranded = [each for each in found if each.message.message_id not in self._open]
        for each in stranded:
            await self._take_up(each)
        return len(stranded)

    async def match_receipts(self) -> int:
        """Applies receipts that were quicker than their messages; returns how many messages changed."""
        async with self._ledger.begin() as transaction:
            changed = await transaction.match_receipts()
            writes = EventWrites()
            tell_status(changed, transaction.snapshot, writes, self._random)
            await transaction.write(writes)
        if writes.deliveries:
            self._deliveries_waiting()
        return len(changed)

    async def clean(self) -> int:
        """Removes rows that have expired; returns how many."""
        return await self._ledger.sweep()

    async def _take_up(self, stranded: StrandedMessage) -> None:
        message = stranded.message
        if stranded.handed_out:
            outcome = AttemptOutcome(
                Outcome.UNKNOWN, "process_lost", "The process that had this message handed out ended."
            )
        elif self._clock() < message.not_after and self._senders.available():
            self.send(message)
            return
        elif self._clock() < message.not_after:
            return
        elif await self._handing_out.do(message.message_id) is HandOut.NOT_OURS:
            # Whoever it belongs to may be attempting it this very moment.
            return
        else:
            outcome = AttemptOutcome(
                Outcome.NOT_ATTEMPTED, "too_late", "It was too late to send this message."
            )
        _log.info("dispatch.taken_up", message_id=message.message_id, code=outcome.code)
        await self._settling.do(Settlement(message.message_id, outcome))

    # --- life -----------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Waits for messages under way; those still waiting for their turn after `seconds` stay for the next
        process.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()


def _outbound(message: NewMessage) -> OutboundMessage:
    return OutboundMessage(
        message_id=message.message_id,
        account_id=message.account_id,
        instance_id=message.instance_id,
        integration_id=message.integration_id,
        person_id=message.person_id,
        phone=message.phone,
        lid=message.lid,
        bsuid=message.bsuid,
        text=message.text,
        purpose=message.purpose,
        decided_at=message.created_at,
        not_after=message.not_after,
        send_after=message.send_after,
        confirms_opt_out=message.confirms_opt_out,
    )

"""Decides a batch of requests in one transaction: facts, `decide`, and everything the decisions change.

Inside a batch each decision sees the effect of those before it: with one unit of quota left, one of two
passes.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import structs

from policycore import steps
from policycore.checks import NamedCheck
from policycore.decide import decide
from policycore.decide_inputs import decision_inputs
from policycore.errors import Malformed
from policycore.ids import RandomBytes, new_id
from policycore.ledger import (
    DecisionLedger,
    DecisionTransaction,
    DecisionWrites,
    KeyBinding,
    MessageState,
    MessageView,
    NewDecision,
    NewKey,
    NewMessage,
    view_of,
)
from policycore.model import TEMPLATED, Action, Decision, EventType, Facts, Finding
from policycore.phone import mask_phone
from policycore.ports import Counters, InstanceHolds, Turn, TurnRequest
from policycore.reasons import CheckName, ReasonCode, Verdict
from policycore.registry.snapshot import InstanceConfig
from policycore.usecases.command import Decided, SubmitCommand
from policycore.usecases.gather import (
    Gathered,
    Prepared,
    cool_down_key,
    facts_of,
    gather,
    identify,
    prepare,
    reach,
)

FRESH = timedelta(minutes=2)
"""How long after its decision a message may still be attempted."""

KEY_LIFE = timedelta(days=9)
"""How long an idempotency key binds; the contract promises at least 8 days."""

NO_WAIT = Turn(0.0, 0.0, True)

# Answered with 503: nothing happened, so the signature may come again.
_FREES_SIGNATURE = frozenset(
    {
        ReasonCode.INSTANCE_NOT_CONNECTED,
        ReasonCode.INSTANCE_UNKNOWN,
        ReasonCode.FACTS_UNREADABLE,
        ReasonCode.CLOCK_UNTRUSTED,
        ReasonCode.OVERLOADED,
    }
)


@dataclass(slots=True)
class Draft:
    """A request of the batch on its way to an answer."""

    item: Prepared
    facts: Facts = field(default_factory=Facts)
    instance: InstanceConfig | None = None
    decision: Decision | None = None
    turn: TurnRequest | None = None
    waits: Turn = NO_WAIT
    repeats: "Draft | KeyBinding | None" = None
    turned_away: ReasonCode | None = None
    retry_after_seconds: float | None = None
    claims_signature: bool = False
    log_id: int = 0
    decision_id: str = ""
    message_id: str = ""

    @property
    def sends(self) -> bool:
        return self.decision is not None and self.decision.action is Action.SEND


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Answers in the order asked, and the messages that were allowed, by message id."""

    answers: list[Decided]
    messages: dict[str, NewMessage]


class BatchDecider:
    """Decides batches. Clock and randomness come from outside; decisions are made by the database's clock."""

    def __init__(
        self,
        ledger: DecisionLedger,
        counters: Counters,
        checks: Sequence[NamedCheck],
        clock: Callable[[], datetime],
        random_bytes: RandomBytes,
        senders_available: Callable[[], bool],
        holds: InstanceHolds | None = None,
    ) -> None:
        self._ledger = ledger
        self._counters = counters
        self._checks = checks
        self._clock = clock
        self._random = random_bytes
        self._senders_available = senders_available
        self._holds = holds

    async def __call__(
        self, commands: Sequence[SubmitCommand], admitting: Awaitable[Sequence[float]] | None = None
    ) -> BatchResult:
        """Decides and commits. Turns that were reserved are given back if the transaction fails.

        `admitting` tells for each request how many seconds it must wait to be admitted at all; whoever must wait is
        turned away.
        """
        reserved: list[TurnRequest] = []
        try:
            writing = not all(command.validate_only for command in commands)
            async with self._ledger.begin(writing=writing) as transaction:
                result = await self._decide(transaction, commands, reserved, admitting)
            return result
        except BaseException:
            await self._counters.give_back_turns(reserved)
            raise

    async def _decide(
        self,
        transaction: DecisionTransaction,
        commands: Sequence[SubmitCommand],
        reserved: list[TurnRequest],
        admitting: Awaitable[Sequence[float]] | None,
    ) -> BatchResult:
        known = await identify(transaction, commands)
        waits = await admitting if admitting is not None else [0.0] * len(commands)
        now = transaction.now
        batch = [prepare(command, transaction.snapshot, now) for command in commands]
        found = await gather(transaction, batch, known)
        offset = (self._clock() - now).total_seconds()
        drafts: list[Draft] = []
        for item, wait in zip(batch, waits, strict=True):
            if wait > 0:
                draft = Draft(item, turned_away=ReasonCode.WEBHOOK_RATE_LIMITED, retry_after_seconds=wait)
            else:
                draft = self._first_pass(item, found, transaction, drafts, offset)
            drafts.append(draft)
        await self._take_turns(drafts, found, now, reserved)
        steps.passed("reserve.turns")
        writes = DecisionWrites()
        await self._number(transaction, drafts)
        for draft in drafts:
            self._collect(draft, found, writes, now)
        if writes.decisions or writes.claims:
            await transaction.write(writes)
            steps.passed("decide.written")
        return await self._answers(transaction, drafts, writes, now)

    # --- pass one: everything but pace
    # ---------------------------------------------------------------------------

    def _first_pass(
        self,
        item: Prepared,
        found: Gathered,
        transaction: DecisionTransaction,
        earlier: Sequence[Draft],
        offset: float,
    ) -> Draft:
        command = item.command
        draft = Draft(item)
        bound = found.keys.get((command.key_scope, command.key)) if command.key else None
        same_batch = _same_key(command, earlier)
        if _is_replay(command, found.claims):
            draft.turned_away = ReasonCode.SIGNATURE_REPLAYED
        elif bound is not None or same_batch is not None:
            digest = bound.body_digest if bound else same_batch.item.command.body_digest  # type: ignore[union-attr]
            if digest != command.body_digest:
                draft.turned_away = ReasonCode.IDEMPOTENCY_KEY_REUSED
            else:
                draft.repeats = bound or same_batch
        else:
            self._decide_one(draft, found, transaction, offset)
        if command.claim and command.claim not in found.claims and not command.validate_only:
            draft.claims_signature = True
            found.claims.update(command.claims)
        return draft

    def _decide_one(
        self, draft: Draft, found: Gathered, transaction: DecisionTransaction, offset: float
    ) -> None:
        item, now = draft.item, transaction.now
        draft.facts, draft.instance = facts_of(
            item, found, transaction.snapshot, now, clock_offset_seconds=offset, holds=self._holds
        )
        if not self._senders_available():
            # Nobody could carry the message: that is a "not now", and nothing may be promised.
            draft.facts = structs.replace(draft.facts, unreadable=frozenset({CheckName.INSTANCE.name}))
        draft.decision = decide(item.intent, draft.facts, item.account.rules, now, self._checks)
        if not draft.sends or draft.instance is None:
            return
        rules = item.account.rules
        draft.turn = TurnRequest(
            instance_id=draft.instance.instance_id,
            person_id=draft.facts.person_id or "",
            instance_rate=draft.instance.messages_per_second,
            instance_burst=draft.instance.burst,
            pair_rate=0.0 if draft.instance.backend == "sandbox" else rules.pair_messages_per_minute / 60,
            pair_burst=rules.pair_burst,
            max_wait_seconds=rules.max_wait.total_seconds(),
        )
        if not item.command.validate_only:
            _apply(draft, found, now, +1)

    # --- pass two: pace
    # ------------------------------------------------------------------------------------------

    async def _take_turns(
        self, drafts: Sequence[Draft], found: Gathered, now: datetime, reserved: list[TurnRequest]
    ) -> None:
        """One trip for every message that everything else allows; a turn too far away changes the decision."""
        for peek in (False, True):
            wanting = [
                d for d in drafts if d.turn is not None and d.sends and d.item.command.validate_only is peek
            ]
            paced = [d for d in wanting if d.turn and (d.turn.instance_rate or d.turn.pair_rate)]
            requests = [d.turn for d in paced if d.turn]
            if not requests:
                continue
            turns = await self._counters.reserve_turns(requests, peek=peek)
            for draft, request, turn in zip(paced, requests, turns, strict=True):
                draft.waits = turn
                if turn.reserved and not peek:
                    reserved.append(request)
                self._decide_pace(draft, found, now, turn)

    def _decide_pace(self, draft: Draft, found: Gathered, now: datetime, turn: Turn) -> None:
        if turn.instance_wait_seconds <= 0 and turn.pair_wait_seconds <= 0:
            return
        item = draft.item
        draft.facts = structs.replace(
            draft.facts,
            instance_wait_seconds=turn.instance_wait_seconds,
            pair_wait_seconds=turn.pair_wait_seconds,
        )
        # Quota and cool-down were already reserved for this very message, so its own decision must not count
        # them.
        facts = draft.facts
        draft.decision = decide(item.intent, facts, item.account.rules, now, self._checks)
        if not draft.sends and not item.command.validate_only:
            _apply(draft, found, now, -1)
        if CheckName.RATE in item.account.rules.shadow:
            draft.waits = Turn(0.0, 0.0, turn.reserved)

    # --- rows
    # ----------------------------------------------------------------------------------------------------

    async def _number(self, transaction: DecisionTransaction, drafts: Sequence[Draft]) -> None:
        logged = [d for d in drafts if d.decision is not None and not d.item.command.validate_only]
        if not logged:
            return
        numbers = await transaction.next_log_ids(len(logged))
        for draft, log_id in zip(logged, numbers, strict=True):
            draft.log_id = log_id
            draft.decision_id = new_id("dec_", self._random)
            draft.message_id = new_id("msg_", self._random) if draft.sends else ""

    def _collect(self, draft: Draft, found: Gathered, writes: DecisionWrites, now: datetime) -> None:
        command = draft.item.command
        if command.validate_only:
            return
        if draft.claims_signature and _keeps_claim(draft):
            expires_at = command.claim_expires_at or now + KEY_LIFE
            writes.claims.extend((claim, expires_at) for claim in command.claims)
        if draft.decision is None or draft.log_id == 0:
            return
        writes.decisions.append(_decision_row(draft, draft.decision, now))
        if draft.sends:
            message = _message_row(draft, found, now)
            writes.messages.append(message)
            for key in draft.item.counted:
                writes.quota[key] = writes.quota.get(key, 0) + 1
            _bind_conversation(draft, found, writes)
        if command.key and draft.decision.action is not Action.BLOCK:
            binding = KeyBinding(
                command.body_digest, draft.log_id, draft.message_id or None, int(draft.item.intent.event_type)
            )
            writes.keys.append(NewKey(command.key_scope, command.key, binding, now + KEY_LIFE))

    # --- answers
    # -------------------------------------------------------------------------------------------------

    async def _answers(
        self,
        transaction: DecisionTransaction,
        drafts: Sequence[Draft],
        writes: DecisionWrites,
        now: datetime,
    ) -> BatchResult:
        bound = [d.repeats for d in drafts if isinstance(d.repeats, KeyBinding)]
        decided = await transaction.read_decided([b.log_id for b in bound]) if bound else {}
        wanted = [b.message_id for b in bound if b.message_id]
        views = await transaction.read_messages(wanted) if wanted else {}
        messages = {message.message_id: message for message in writes.messages}
        answers = []
        for draft in drafts:
            if draft.turned_away is not None:
                answers.append(_turned_away(draft, draft.turned_away, now))
            elif isinstance(draft.repeats, KeyBinding):
                answers.append(_repeat_of_bound(draft.repeats, decided, views))
            elif isinstance(draft.repeats, Draft):
                answers.append(structs.replace(_answer(draft.repeats, messages, now), duplicate=True))
            else:
                answers.append(_answer(draft, messages, now))
        return BatchResult(answers, messages)


def _is_replay(command: SubmitCommand, claimed: set[bytes]) -> bool:
    """Whether the signature was claimed by another request than the one this may be the repeat of."""
    if not command.claim or command.claim not in claimed:
        return False
    return not command.key or command.claims[1] not in claimed


def _same_key(command: SubmitCommand, earlier: Sequence[Draft]) -> Draft | None:
    """An accepted request of this batch with the same key. A refusal binds nothing."""
    if not command.key:
        return None
    for draft in earlier:
        other = draft.item.command
        if (other.key_scope, other.key) == (command.key_scope, command.key) and draft.decision is not None:
            if draft.decision.action is not Action.BLOCK and not other.validate_only:
                return draft
    return None


def _apply(draft: Draft, found: Gathered, now: datetime, sign: int) -> None:
    """Counts, or uncounts, an allowed message in the facts that later requests of the batch see."""
    item, account_id = draft.item, draft.item.account.account_id
    for count in item.counted:
        found.quota[count] = found.quota.get(count, 0) + sign
    if item.text_digest:
        spread_key = (account_id, item.text_digest)
        found.spread[spread_key] = found.spread.get(spread_key, 0) + sign
    key = cool_down_key(item, found)
    if key is not None and item.integration is not None:
        if sign > 0:
            found.cool_downs[key] = now + timedelta(seconds=item.integration.cool_down_seconds)
        else:
            found.cool_downs.pop(key, None)


def _keeps_claim(draft: Draft) -> bool:
    return draft.decision is None or draft.decision.reason not in _FREES_SIGNATURE


def _decision_row(draft: Draft, decision: Decision, now: datetime) -> NewDecision:
    item, intent = draft.item, draft.item.intent
    return NewDecision(
        log_id=draft.log_id,
        decision_id=draft.decision_id,
        decided_at=now,
        account_id=item.account.account_id,
        integration_id=intent.integration_id,
        instance_id=draft.instance.instance_id if draft.instance else None,
        person_id=draft.facts.person_id,
        caller=intent.caller,
        source=intent.source.value,
        event_type=int(intent.event_type),
        purpose=intent.purpose_text[:64],
        phone_masked=mask_phone(draft.facts.phone) if draft.facts.phone else "",
        conversation_id=intent.conversation_id[:200],
        message_id=draft.message_id or None,
        decision=decision,
        inputs=decision_inputs(intent, draft.facts, item.account.rules, now, decision),
    )


def _message_row(draft: Draft, found: Gathered, now: datetime) -> NewMessage:
    item, intent, instance = draft.item, draft.item.intent, draft.instance
    if instance is None or draft.facts.person_id is None or draft.facts.last_inbound_at is None:
        raise Malformed("decision", "a message was allowed without instance, person or window")
    wait = max(draft.waits.instance_wait_seconds, draft.waits.pair_wait_seconds, 0.0)
    rules = item.account.rules
    closes_at = draft.facts.last_inbound_at + rules.window - rules.window_margin
    cool_down = None
    if intent.event_type in TEMPLATED and item.integration is not None:
        cool_down = now + timedelta(seconds=item.integration.cool_down_seconds)
    to = reach(draft.facts.phone or "", draft.facts.person_id, found)
    return NewMessage(
        message_id=draft.message_id,
        account_id=item.account.account_id,
        instance_id=instance.instance_id,
        integration_id=intent.integration_id,
        person_id=draft.facts.person_id,
        conversation_id=intent.conversation_id[:200],
        state=MessageState.WAITING if wait > 0 else MessageState.HANDED_OUT,
        text=intent.text,
        text_digest=item.text_digest,
        phone=to.phone,
        lid=to.lid,
        bsuid=to.bsuid,
        event_type=int(intent.event_type),
        purpose=intent.purpose_text.strip().casefold()[:64],
        log_id=draft.log_id,
        created_at=now,
        send_after=now + timedelta(seconds=wait),
        not_after=min(now + FRESH, closes_at),
        reserved_day=item.periods.day,
        reserved_month=item.periods.month,
        cool_down_until=cool_down,
        reserved_share=item.share.key if item.share is not None else None,
    )


def _bind_conversation(draft: Draft, found: Gathered, writes: DecisionWrites) -> None:
    intent = draft.item.intent
    if intent.integration_id and intent.conversation_id and draft.instance and draft.facts.person_id:
        key = (intent.integration_id, intent.conversation_id[:200])
        # A conversation that is bound to this very instance stays as it is; our own ids are bound by the window.
        if found.bindings.get(key) != draft.instance.instance_id or key[1].startswith("cnv_"):
            writes.bindings[key] = (draft.instance.instance_id, draft.facts.person_id)


def _answer(draft: Draft, messages: dict[str, NewMessage], now: datetime) -> Decided:
    if draft.decision is None:
        raise Malformed("decision", "a request was neither decided nor turned away")
    message = messages.get(draft.message_id)
    return Decided(
        decision_id=draft.decision_id,
        log_id=draft.log_id,
        decided_at=now,
        decision=draft.decision,
        event_type=draft.item.intent.event_type,
        message=view_of(message) if message else None,
    )


def _repeat_of_bound(
    bound: KeyBinding,
    decided: dict[int, tuple[str, Decision, datetime]],
    views: dict[str, MessageView],
) -> Decided:
    decision_id, decision, decided_at = decided[bound.log_id]
    return Decided(
        decision_id=decision_id,
        log_id=bound.log_id,
        decided_at=decided_at,
        decision=decision,
        event_type=EventType(bound.event_type),
        message=views.get(bound.message_id or ""),
        duplicate=True,
    )


_EXPLANATIONS = {
    ReasonCode.SIGNATURE_REPLAYED: "This signature was accepted before.",
    ReasonCode.IDEMPOTENCY_KEY_REUSED: "This idempotency key belongs to a request with another body.",
    ReasonCode.WEBHOOK_RATE_LIMITED: "This integration made more requests in a minute than it may.",
}


def _turned_away(draft: Draft, reason: ReasonCode, now: datetime) -> Decided:
    return turned_away(reason, draft.item.intent.event_type, now, draft.retry_after_seconds)


def turned_away(
    reason: ReasonCode, event_type: EventType, now: datetime, retry_after_seconds: float | None
) -> Decided:
    """The answer to a request that was turned away before it was decided; it is not in the policy log."""
    finding = Finding(CheckName.FACTS, Verdict.DENY, reason, _EXPLANATIONS[reason])
    decision = Decision(
        verdict=Verdict.DENY,
        reason=reason,
        action=Action.BLOCK,
        findings=(finding,),
        risk_score=0,
        retry_after_seconds=retry_after_seconds,
        rules_version=0,
        explanation=finding.explanation,
    )
    return Decided("", 0, now, decision, event_type)

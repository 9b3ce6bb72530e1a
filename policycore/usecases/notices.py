"""The gateway's own few messages: the one confirmation of an opt-out, the one question back, the confirmation
of a START.

Each is decided and permitted in the transaction of the message it answers, by the same checks as a reply,
less those that its purpose rules out: the opt-out itself does not stop its confirmation, and nobody's fair
use pays for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from policycore.checks import facts as facts_check
from policycore.checks import instance as instance_check
from policycore.checks import pause, purpose, suppression, window
from policycore.checks import text as text_check
from policycore.decide import decide
from policycore.decide_inputs import decision_inputs
from policycore.event_ledger import EventTransaction, EventWrites, KnownPerson
from policycore.ids import RandomBytes, new_id
from policycore.ledger import MessageState, MessageView, NewDecision, NewMessage
from policycore.model import Action, Decision, EventType, Facts, Intent, Source, SuppressionFact
from policycore.optout.match import MatchKind
from policycore.optout.replies import reply
from policycore.phone import mask_phone
from policycore.reasons import CheckName
from policycore.registry.snapshot import AccountConfig, InstanceConfig
from policycore.usecases.gather import instance_fact

CONFIRMATION_LIFE = timedelta(minutes=5)
"""A confirmation later than this is not sent (47 CFR 64.1200(a)(12) presumes consent to one within five
minutes).
"""

_CHECKS = (
    (CheckName.TEXT, text_check.check),
    (CheckName.PURPOSE, purpose.check),
    (CheckName.SUPPRESSION, suppression.check),
    (CheckName.WINDOW, window.check),
    (CheckName.PAUSE, pause.check),
    (CheckName.INSTANCE, instance_check.check),
    (CheckName.FACTS, facts_check.check),
)

_KINDS = {
    "opt_out": MatchKind.OPT_OUT,
    "opt_in": MatchKind.OPT_IN,
    "clarify": MatchKind.AMBIGUOUS,
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A message of the gateway's own, before it is decided. `kind` is `opt_out`, `opt_in` or `clarify`."""

    kind: str
    language: str
    person: KnownPerson
    instance: InstanceConfig
    account: AccountConfig
    answers: MessageView
    suppressed_by: str | None = None


async def write_notices(
    notices: Sequence[Notice], transaction: EventTransaction, writes: EventWrites, random_bytes: RandomBytes
) -> None:
    """Decides each notice and adds its decision and, if allowed, its message to the batch's writes."""
    numbers = await transaction.next_log_ids(len(notices))
    for notice, log_id in zip(notices, numbers, strict=True):
        _write_notice(notice, log_id, transaction, writes, random_bytes)


def _write_notice(
    notice: Notice,
    log_id: int,
    transaction: EventTransaction,
    writes: EventWrites,
    random_bytes: RandomBytes,
) -> None:
    now, rules = transaction.now, notice.account.rules
    last_inbound_at = writes.windows[notice.instance.instance_id, notice.person.person_id][1]
    intent = _intent(notice)
    facts = _facts(notice, transaction, last_inbound_at)
    decision = decide(intent, facts, rules, now, _CHECKS)
    message_id = new_id("msg_", random_bytes) if decision.action is Action.SEND else None
    decision_id = new_id("dec_", random_bytes)
    writes.decisions.append(
        _decision_row(notice, intent, facts, decision, now, log_id, decision_id, message_id)
    )
    if message_id is not None:
        closes_at = last_inbound_at + rules.window - rules.window_margin
        not_after = min(now + CONFIRMATION_LIFE, closes_at)
        # It answers what this very transaction records, so it comes after it.
        created_at = now + timedelta(microseconds=len(writes.inbound) + len(writes.messages))
        writes.messages.append(_message_row(notice, intent.text, message_id, log_id, created_at, not_after))


def _intent(notice: Notice) -> Intent:
    return Intent(
        account_id=notice.account.account_id,
        source=Source.SERVICE,
        caller="gateway",
        event_type=EventType.OUTBOUND_MESSAGE,
        event_type_text=f"gateway_{notice.kind}",
        phone_text=notice.person.ref.phone,
        text=reply(_KINDS[notice.kind], notice.language),
        purpose_text="operational",
        conversation_id=notice.answers.conversation_id,
    )


def _facts(notice: Notice, transaction: EventTransaction, last_inbound_at: datetime) -> Facts:
    instance, person_id = notice.instance, notice.person.person_id
    account_id = notice.account.account_id
    return Facts(
        phone=notice.person.ref.phone or None,
        person_id=person_id,
        suppression=_other_suppression(notice, transaction.now),
        last_inbound_at=last_inbound_at,
        pauses=transaction.snapshot.pauses_for(account_id, instance.instance_id, None, person_id),
        instance=instance_fact(instance, transaction.now),
    )


def _decision_row(
    notice: Notice,
    intent: Intent,
    facts: Facts,
    decision: Decision,
    now: datetime,
    log_id: int,
    decision_id: str,
    message_id: str | None,
) -> NewDecision:
    phone = notice.person.ref.phone
    return NewDecision(
        log_id=log_id,
        decision_id=decision_id,
        decided_at=now,
        account_id=notice.account.account_id,
        integration_id=None,
        instance_id=notice.instance.instance_id,
        person_id=notice.person.person_id,
        caller=intent.caller,
        source=intent.source.value,
        event_type=int(intent.event_type),
        purpose=intent.purpose_text,
        phone_masked=mask_phone(phone) if phone else "",
        conversation_id=intent.conversation_id,
        message_id=message_id,
        decision=decision,
        inputs=decision_inputs(intent, facts, notice.account.rules, now, decision),
    )


def _message_row(
    notice: Notice, text: str, message_id: str, log_id: int, now: datetime, not_after: datetime
) -> NewMessage:
    ref = notice.person.ref
    return NewMessage(
        message_id=message_id,
        account_id=notice.account.account_id,
        instance_id=notice.instance.instance_id,
        integration_id=None,
        person_id=notice.person.person_id,
        conversation_id=notice.answers.conversation_id,
        state=MessageState.HANDED_OUT,
        text=text,
        text_digest=None,
        phone=ref.phone,
        lid=ref.lid,
        bsuid=ref.bsuid,
        event_type=int(EventType.OUTBOUND_MESSAGE),
        purpose="operational",
        log_id=log_id,
        created_at=now,
        send_after=now,
        not_after=not_after,
        reserved_day=None,
        reserved_month=None,
        confirms_opt_out=notice.kind == "opt_out",
    )


def _other_suppression(notice: Notice, now: datetime) -> SuppressionFact | None:
    """A suppression that stops the notice: an administrator's, and for all but the confirmation the person's
    own.
    """
    for entry in notice.person.suppressions:
        if entry.scope == "all" and entry.source != "person":
            return entry
    if notice.suppressed_by is not None and notice.kind != "opt_out":
        return SuppressionFact("", notice.suppressed_by, "all", now)
    return None

"""What an outcome means beyond its message: an instance closes or is paused, a window or a pair waits, a
person is suppressed.
"""

import math
from datetime import datetime, timedelta

from policycore.event_ledger import EventWrites, NewSuppression
from policycore.ids import RandomBytes, new_id
from policycore.inbound import InstanceStateChange
from policycore.ledger import MessageView
from policycore.ports import AttemptOutcome, Consequence, TurnRequest
from policycore.registry.snapshot import InstanceConfig

_MAX_SKIPPED_TURNS = 64
_DEFAULT_WAIT_SECONDS = 6.0
"""Meta's pair limit is one message in six seconds; a back end that names no time is given as long."""

_REPLIES_ONLY = timedelta(hours=1)
"""How long a reach-out lock is assumed to last when its end is not reported."""


def add_consequences(
    outcome: AttemptOutcome, view: MessageView, writes: EventWrites, now: datetime, random_bytes: RandomBytes
) -> None:
    """Adds to a transaction's writes what an outcome leads to."""
    match outcome.consequence:
        case Consequence.INSTANCE_CLOSED:
            writes.states.append((view.instance_id, InstanceStateChange("close", outcome.code)))
        case Consequence.PAUSE_INSTANCE:
            reason = f"The back end refused to send ({outcome.code}): {outcome.explanation}"
            writes.pauses.append(
                (new_id("pau_", random_bytes), view.instance_id, view.account_id, reason[:500])
            )
        case Consequence.CLOSE_WINDOW:
            writes.closed_windows.append((view.instance_id, view.person_id))
        case Consequence.STOP_MARKETING:
            writes.suppressions.append(_suppression(outcome, view, "marketing", random_bytes))
        case Consequence.SUPPRESS_PERSON:
            writes.suppressions.append(_suppression(outcome, view, "all", random_bytes))
        case Consequence.REPLIES_ONLY:
            change = InstanceStateChange("open", outcome.code, replies_only_until=now + _REPLIES_ONLY)
            writes.states.append((view.instance_id, change))
        case _:
            pass


def _suppression(
    outcome: AttemptOutcome, view: MessageView, scope: str, random_bytes: RandomBytes
) -> NewSuppression:
    return NewSuppression(
        suppression_id=new_id("sup_", random_bytes),
        account_id=view.account_id,
        person_id=view.person_id,
        source="whatsapp",
        scope=scope,
        reason=outcome.explanation[:500],
        evidence_message_id=view.message_id,
        evidence_rule=outcome.code,
    )


def turns_to_skip(outcome: AttemptOutcome, view: MessageView, instance: InstanceConfig) -> list[TurnRequest]:
    """Turns to take away from an instance or a pair after "too fast", so that the next one comes after the
    wait.
    """
    wait = outcome.retry_after_seconds or _DEFAULT_WAIT_SECONDS
    rate = instance.messages_per_second
    if outcome.consequence is Consequence.SLOW_INSTANCE and rate > 0:
        count = min(math.ceil(wait * rate), _MAX_SKIPPED_TURNS)
        request = TurnRequest(view.instance_id, view.person_id, rate, 1, 0.0, 1, max_wait_seconds=wait)
        return [request] * count
    if outcome.consequence is Consequence.HOLD_PAIR:
        return [TurnRequest(view.instance_id, view.person_id, 0.0, 1, 1 / wait, 1, max_wait_seconds=wait)]
    return []

"""The instance check: an instance serves the request, may be reached by this caller, is connected and answers."""

from datetime import datetime, timedelta
from math import ceil

from policycore.model import Facts, Finding, InstanceFact, Intent, Rules, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

SANDBOX = "sandbox"
"""The only back end that test keys reach."""

_HELD_BACK = {
    "unacknowledged": "Nothing that the instance {} accepted lately was acknowledged",
    "unanswered": "The back end of the instance {} did not answer the last messages",
    "busy": "The instance {} has as many messages under way as it is given at once",
}

_ALLOWED = allow(CheckName.INSTANCE)


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny without an instance and for a test key outside the sandbox; defer while the instance is not
    `open` or is held back.
    """
    instance = facts.instance
    if instance is None:
        wanted = " with the given id or name" if intent.instance_ref.strip() else ""
        explanation = f"No instance{wanted} serves this request."
        return Finding(CheckName.INSTANCE, Verdict.DENY, ReasonCode.INSTANCE_UNKNOWN, explanation)
    wrong_key = intent.test_key and instance.backend != SANDBOX
    if instance.state == "open" and not wrong_key:
        return _held_back(instance, now) if instance.hold else _ALLOWED
    noted = {"instance_id": instance.instance_id, "backend": instance.backend, "state": instance.state}
    if wrong_key:
        explanation = (
            f"A test key reaches sandbox instances only; this one is of the type {instance.backend}."
        )
        reason = ReasonCode.INSTANCE_NOT_FOR_TEST_KEY
        return Finding(CheckName.INSTANCE, Verdict.DENY, reason, explanation, facts=noted)
    since = ""
    if instance.state_changed_at is not None:
        noted["state_changed_at"] = instance.state_changed_at.isoformat(timespec="seconds")
        since = f" since {noted['state_changed_at']}"
    explanation = (
        f"The instance {instance.instance_id} is not connected: its state is {instance.state!r}{since}."
    )
    reason = ReasonCode.INSTANCE_NOT_CONNECTED
    return Finding(CheckName.INSTANCE, Verdict.DEFER, reason, explanation, facts=noted)


def _held_back(instance: InstanceFact, now: datetime) -> Finding:
    """Defers for as long as the instance is held back."""
    seconds = instance.hold_seconds
    reason = ReasonCode.OVERLOADED if instance.hold == "busy" else ReasonCode.INSTANCE_NOT_CONNECTED
    what = _HELD_BACK[instance.hold].format(instance.instance_id)
    return Finding(
        CheckName.INSTANCE,
        Verdict.DEFER,
        reason,
        f"{what}; it is tried again in {ceil(seconds)} s.",
        passes_at=now + timedelta(seconds=seconds),
        facts={"instance_id": instance.instance_id, "backend": instance.backend, "hold": instance.hold},
    )

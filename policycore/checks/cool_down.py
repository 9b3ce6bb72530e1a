"""The cool-down check: the same call event does not reach the same person twice in a short while."""

from datetime import datetime

from policycore.model import TEMPLATED, Facts, Finding, Intent, Rules, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

_ALLOWED = allow(CheckName.COOL_DOWN)


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny a call event while `facts.cool_down_until` lies ahead, and name that time. Replies have no cool-
    down.
    """
    until = facts.cool_down_until
    if until is None or until <= now or intent.event_type not in TEMPLATED:
        return _ALLOWED
    minutes = f"{rules.cool_down.total_seconds() / 60:g}"
    explanation = (
        f"A {intent.event_type.name.lower()} message reached this person less than {minutes} minutes ago; "
        f"the next one may go at {until.isoformat(timespec='seconds')}."
    )
    return Finding(
        CheckName.COOL_DOWN, Verdict.DENY, ReasonCode.COOL_DOWN_ACTIVE, explanation, passes_at=until
    )

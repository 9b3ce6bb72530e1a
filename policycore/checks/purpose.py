"""The purpose check: the declared message purpose is one that may be sent."""

from datetime import datetime

from policycore.model import TEMPLATED, Facts, Finding, Intent, Rules, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

ALLOWED_PURPOSES = ("transactional", "operational", "support", "internal_team", "authentication")
"""Every other word is refused, known or not."""

_ALLOWED = allow(CheckName.PURPOSE)
_CHOICE = ", ".join(ALLOWED_PURPOSES)
_SHOWN_CHARACTERS = 40


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny a purpose outside `ALLOWED_PURPOSES`, after trimming and case folding.

    A call event has its template's purpose; a purpose that the caller writes beside it must be allowed as
    well.
    """
    declared = intent.purpose_text.strip().casefold()
    template = facts.toggles.template
    if intent.event_type in TEMPLATED and template is not None:
        of_template = template.purpose.strip().casefold()
        if declared in ALLOWED_PURPOSES or not declared:
            declared = of_template
    if declared in ALLOWED_PURPOSES:
        return _ALLOWED
    if not declared:
        explanation = f"The request declares no purpose; allowed are {_CHOICE}."
        return Finding(CheckName.PURPOSE, Verdict.DENY, ReasonCode.PURPOSE_MISSING, explanation)
    explanation = f"The purpose {declared[:_SHOWN_CHARACTERS]!r} is not allowed; allowed are {_CHOICE}."
    return Finding(CheckName.PURPOSE, Verdict.DENY, ReasonCode.PURPOSE_NOT_ALLOWED, explanation)

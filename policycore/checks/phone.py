"""The phone check: the recipient is given, and is a possible number."""

from datetime import datetime

from policycore.model import Facts, Finding, Intent, Rules, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

_ALLOWED = allow(CheckName.PHONE)
_MISSING = Finding(
    CheckName.PHONE, Verdict.DENY, ReasonCode.MISSING_PHONE, "The request names no phone number to write to."
)
_INVALID = Finding(
    CheckName.PHONE,
    Verdict.DENY,
    ReasonCode.INVALID_PHONE,
    "The phone number is not a possible E.164 number (country code and number, at most 15 digits); "
    "a number in national format needs the integration's country.",
)


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny a request without a usable number. Needs `facts.phone`, the number in E.164 or None."""
    if facts.phone:
        return _ALLOWED
    return _INVALID if intent.phone_text.strip() else _MISSING

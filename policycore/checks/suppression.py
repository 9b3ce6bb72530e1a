"""The suppression check: who opted out, or was suppressed, is not written to."""

from datetime import datetime

from policycore.model import Facts, Finding, Intent, Rules, SuppressionFact, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

_ALLOWED = allow(CheckName.SUPPRESSION)
_WHO = {
    "person": "opted out",
    "administrator": "was suppressed by an administrator",
    "import": "was suppressed by an imported list",
    "whatsapp": "was suppressed through WhatsApp",
}


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny if an entry of any scope but `marketing` stands; no time lifts it, only the person or an
    administrator.

    Marketing is never an allowed purpose, so an entry against marketing alone is only noted.
    """
    entry = facts.suppression
    if entry is None:
        return _ALLOWED
    noted = {
        "suppression_id": entry.suppression_id,
        "suppression_source": entry.source,
        "suppression_scope": entry.scope,
        "suppressed_at": entry.created_at.isoformat(timespec="seconds"),
    }
    if entry.scope == "marketing":
        return allow(CheckName.SUPPRESSION, **noted)
    return Finding(
        CheckName.SUPPRESSION,
        Verdict.DENY,
        ReasonCode.RECIPIENT_SUPPRESSED,
        _explain(entry),
        facts=noted,
    )


def _explain(entry: SuppressionFact) -> str:
    since = entry.created_at.isoformat(timespec="seconds")
    what = _WHO.get(entry.source, "was suppressed")
    remedy = (
        "the customer can write START / ابدأ" if entry.source == "person" else "an administrator can lift it"
    )
    return f"The person {what} at {since}; {remedy}."

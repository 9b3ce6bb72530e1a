"""The quota check: fair use of the calendar day and the calendar month is not spent."""

from datetime import datetime

from policycore.model import Facts, Finding, Intent, QuotaFact, Rules
from policycore.reasons import CheckName, ReasonCode, Verdict

_QUOTA, _ALLOW, _ALLOWED = CheckName.QUOTA, Verdict.ALLOW, ReasonCode.ALLOWED
"""Named here, for a member of an Enum is slow to look up and this runs for every message."""


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny when the day's or the month's messages are used up; the day is named first.

    Passes when the period begins anew; where both are spent, when the later one does. A quota that is not
    there could not be read: it defers.
    """
    day, month = facts.day, facts.month
    if day is not None and day.used >= day.limit:
        return _spent("day", ReasonCode.DAILY_QUOTA_SPENT, day, month)
    if month is not None and month.used >= month.limit:
        return _spent("month", ReasonCode.MONTHLY_QUOTA_SPENT, month, None)
    if day is None or month is None:
        period = "day" if day is None else "month"
        explanation = f"The fair use of the {period} could not be read."
        return Finding(CheckName.QUOTA, Verdict.DEFER, ReasonCode.FACTS_UNREADABLE, explanation)
    return Finding(
        _QUOTA,
        _ALLOW,
        _ALLOWED,
        limit=day.limit,
        used=day.used,
        facts={"period": "day", "month_limit": str(month.limit), "month_used": str(month.used)},
    )


def _spent(period: str, reason: ReasonCode, quota: QuotaFact, other: QuotaFact | None) -> Finding:
    resets = quota.resets_at.isoformat(timespec="seconds")
    facts = {"period": period, "resets_at": resets}
    passes_at = quota.resets_at
    if other is not None and other.used >= other.limit:
        passes_at = max(passes_at, other.resets_at)
        facts |= {
            "month_limit": str(other.limit),
            "month_used": str(other.used),
            "month_resets_at": other.resets_at.isoformat(timespec="seconds"),
        }
    spent = f"{quota.used} of the {period}'s {quota.limit} messages are used"
    explanation = f"{spent}; the next {period} begins at {resets}."
    return Finding(
        CheckName.QUOTA,
        Verdict.DENY,
        reason,
        explanation,
        limit=quota.limit,
        used=quota.used,
        passes_at=passes_at,
        facts=facts,
    )

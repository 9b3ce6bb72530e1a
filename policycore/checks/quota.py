"""The quota check: fair use of the calendar day and the calendar month is not spent, nor the caller's share of it."""

from datetime import datetime

from policycore.model import Facts, Finding, Intent, QuotaFact, Rules, ShareFact
from policycore.reasons import CheckName, ReasonCode, Verdict

_QUOTA, _ALLOW, _ALLOWED = CheckName.QUOTA, Verdict.ALLOW, ReasonCode.ALLOWED
"""Named here, for a member of an Enum is slow to look up and this runs for every message."""


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny when the day's or the month's messages are used up, of the account or of the caller's share; the account
    is named first, and the day before the month.

    Passes when the period begins anew; where several are spent, when the last one does. A quota that is not
    there could not be read: it defers.
    """
    day, month, share = facts.day, facts.month, facts.share
    if day is not None and day.used >= day.limit:
        return _spent("day", ReasonCode.DAILY_QUOTA_SPENT, day, month, share)
    if month is not None and month.used >= month.limit:
        return _spent("month", ReasonCode.MONTHLY_QUOTA_SPENT, month, None, share)
    if day is None or month is None:
        period = "day" if day is None else "month"
        explanation = f"The fair use of the {period} could not be read."
        return Finding(CheckName.QUOTA, Verdict.DEFER, ReasonCode.FACTS_UNREADABLE, explanation)
    if share is not None and (refused := _share_spent(share)) is not None:
        return refused
    return Finding(
        _QUOTA,
        _ALLOW,
        _ALLOWED,
        limit=day.limit,
        used=day.used,
        facts={"period": "day", "month_limit": str(month.limit), "month_used": str(month.used)},
    )


def _share_spent(share: ShareFact) -> Finding | None:
    if share.day.used >= share.day.limit:
        return _spent("day", ReasonCode.DAILY_QUOTA_SPENT, share.day, share.month, None, share.caller)
    if share.month.used >= share.month.limit:
        return _spent("month", ReasonCode.MONTHLY_QUOTA_SPENT, share.month, None, None, share.caller)
    return None


def _spent(
    period: str,
    reason: ReasonCode,
    quota: QuotaFact,
    other: QuotaFact | None,
    share: ShareFact | None,
    caller: str = "",
) -> Finding:
    """`other` is the month beside a day, `share` the caller's beside the account's; `caller` is set for a share."""
    resets = quota.resets_at.isoformat(timespec="seconds")
    facts = {"period": period, "resets_at": resets}
    if caller:
        facts["share"] = caller
    passes_at = quota.resets_at
    if other is not None and other.used >= other.limit:
        passes_at = max(passes_at, other.resets_at)
        facts |= {
            "month_limit": str(other.limit),
            "month_used": str(other.used),
            "month_resets_at": other.resets_at.isoformat(timespec="seconds"),
        }
    if share is not None:
        spent = (each.resets_at for each in (share.day, share.month) if each.used >= each.limit)
        passes_at = max((passes_at, *spent))
    whose = f" that {caller} may use" if caller else ""
    spent_words = f"{quota.used} of the {period}'s {quota.limit} messages{whose} are used"
    return Finding(
        CheckName.QUOTA,
        Verdict.DENY,
        reason,
        f"{spent_words}; the next {period} begins at {resets}.",
        limit=quota.limit,
        used=quota.used,
        passes_at=passes_at,
        facts=facts,
    )

"""The window check: the person wrote first, and not longer ago than the conversation window."""

from datetime import datetime

from policycore.model import Facts, Finding, Intent, Rules, iso_seconds
from policycore.reasons import CheckName, ReasonCode, Verdict

_NEVER_OPENED = Finding(
    CheckName.WINDOW,
    Verdict.DENY,
    ReasonCode.WINDOW_NEVER_OPENED,
    "The person has never written to this instance; a conversation begins with the person's first message.",
)

_WINDOW, _ALLOW, _ALLOWED = CheckName.WINDOW, Verdict.ALLOW, ReasonCode.ALLOWED
"""Named here, for a member of an Enum is slow to look up and this runs for every message."""


def closes_at(last_inbound_at: datetime, rules: Rules, now: datetime) -> datetime:
    """When the window closes that the person's last message opened.

    `last_inbound_at` is on the provider's clock; where that clock is ahead of ours the message counts from
    `now`, so that a wrong clock never lengthens a window. The margin keeps a message from arriving at the
    provider too late.
    """
    return min(last_inbound_at, now) + rules.window - rules.window_margin


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny unless `now` lies inside the window. Only a new message of the person makes it pass."""
    last = facts.last_inbound_at
    if last is None:
        return _NEVER_OPENED
    closes = closes_at(last, rules, now)
    if now < closes:
        noted = {"last_inbound_at": iso_seconds(last), "closes_at": iso_seconds(closes)}
        return Finding(_WINDOW, _ALLOW, _ALLOWED, facts=noted)
    last_text, closed_text = iso_seconds(last), iso_seconds(closes)
    hours = f"{rules.window.total_seconds() / 3600:g}"
    margin = f"{rules.window_margin.total_seconds():g}"
    explanation = (
        f"The person last wrote at {last_text}; "
        f"the window of {hours} h, less {margin} s of margin, closed at {closed_text}."
    )
    return Finding(
        CheckName.WINDOW,
        Verdict.DENY,
        ReasonCode.WINDOW_EXPIRED,
        explanation,
        facts={"last_inbound_at": last_text, "closed_at": closed_text},
    )

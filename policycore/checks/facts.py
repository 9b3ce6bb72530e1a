"""The facts check: everything a decision rests on could be read, and the clock is right."""

from datetime import datetime

from policycore.model import Facts, Finding, Intent, Rules, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

_ALLOWED = allow(CheckName.FACTS)


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Defer when this process's clock is too far off the database's, and when anything could not be read."""
    limit = rules.max_clock_offset.total_seconds()
    offset = facts.clock_offset_seconds
    # Written so that an offset that is no number (NaN) refuses.
    if not abs(offset) <= limit:
        return _untrusted_clock(offset, limit)
    if facts.unreadable:
        names = ", ".join(sorted(facts.unreadable)).lower()
        explanation = f"{len(facts.unreadable)} of the facts could not be read: {names}."
        return Finding(
            CheckName.FACTS,
            Verdict.DEFER,
            ReasonCode.FACTS_UNREADABLE,
            explanation,
            facts={"unreadable": names},
        )
    return _ALLOWED


def _untrusted_clock(offset: float, limit: float) -> Finding:
    return Finding(
        CheckName.FACTS,
        Verdict.DEFER,
        ReasonCode.CLOCK_UNTRUSTED,
        f"This process's clock is {offset:+.1f} s off the database's; at most {limit:g} s are trusted.",
        facts={"clock_offset_seconds": f"{offset:.1f}"},
    )

"""The pause check: nobody has paused sending, from the whole platform down to this one person."""

from datetime import datetime

from policycore.model import Facts, Finding, Intent, PauseFact, Rules, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

_ALLOWED = allow(CheckName.PAUSE)
# From the most general to the most particular: the order in which a pause gives the reason.
_REASONS = {
    "platform": ReasonCode.PLATFORM_PAUSED,
    "account": ReasonCode.ACCOUNT_PAUSED,
    "instance": ReasonCode.INSTANCE_PAUSED,
    "integration": ReasonCode.INTEGRATION_PAUSED,
    "person": ReasonCode.PERSON_PAUSED,
}
_ORDER = {scope: place for place, scope in enumerate(_REASONS)}
_SHOWN_CHARACTERS = 200


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny while a pause holds. Passes when the last of them ends, if all of them have an end."""
    if not facts.pauses:
        return _ALLOWED
    holding = [pause for pause in facts.pauses if pause.until is None or pause.until > now]
    if not holding:
        return _ALLOWED
    # A scope that this version does not know may be a wide one: it counts as the widest.
    first = min(holding, key=lambda pause: _ORDER.get(pause.scope, 0))
    ends = [pause.until for pause in holding if pause.until is not None]
    return Finding(
        CheckName.PAUSE,
        Verdict.DENY,
        _REASONS.get(first.scope, ReasonCode.PLATFORM_PAUSED),
        _explain(first, len(holding)),
        passes_at=max(ends) if len(ends) == len(holding) else None,
        facts={
            "pause_id": first.pause_id,
            "pause_scope": first.scope,
            "pause_author": first.author,
            "pause_reason": first.reason[:_SHOWN_CHARACTERS],
            "pauses": str(len(holding)),
        },
    )


def _explain(pause: PauseFact, count: int) -> str:
    end = "someone resumes it" if pause.until is None else pause.until.isoformat(timespec="seconds")
    why = f" ({pause.reason[:_SHOWN_CHARACTERS]})" if pause.reason else ""
    others = f"; {count} pauses hold in all" if count > 1 else ""
    author = pause.author or "an unnamed author"
    return f"Sending is paused for the {pause.scope} by {author} until {end}{why}{others}."

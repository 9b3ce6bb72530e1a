"""The toggles check: module, event type, replies and call events are switched on."""

from datetime import datetime

from policycore.model import REPLIES, EventType, Facts, Finding, Intent, Rules, Source, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

_ALLOWED = allow(CheckName.TOGGLES)
_UNSUPPORTED, _THREECX = EventType.UNSUPPORTED, Source.THREECX
_THREECX_SMS = Source.THREECX_SMS
_NO_CALLS = frozenset({EventType.TEST, EventType.CHAT_ENDED})
"""Events that are neither replies nor about calls: no switch but the module's turns them off."""


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny what is switched off. Needs `facts.toggles`; a person must act before it passes."""
    toggles = facts.toggles
    through_phone_system = toggles.is_integration or intent.source in (_THREECX, _THREECX_SMS)
    if through_phone_system and not toggles.module_enabled:
        return _deny(ReasonCode.MODULE_NOT_ENABLED, "The 3CX module is not enabled for this account.")
    if intent.event_type is _UNSUPPORTED:
        return _unsupported(intent.event_type_text)
    if intent.event_type in REPLIES:
        if not toggles.outbound_enabled:
            return _deny(ReasonCode.OUTBOUND_DISABLED, "Replies are switched off for this integration.")
    elif not toggles.call_events_enabled and intent.event_type not in _NO_CALLS:
        return _deny(ReasonCode.CALL_EVENTS_DISABLED, "Call events are switched off for this integration.")
    return _ALLOWED


def _deny(reason: ReasonCode, explanation: str) -> Finding:
    return Finding(CheckName.TOGGLES, Verdict.DENY, reason, explanation)


def _unsupported(event_type_text: str) -> Finding:
    known = ", ".join(event.name.lower() for event in EventType if event is not EventType.UNSUPPORTED)
    written = event_type_text.strip()[:64]
    problem = f"The event type {written!r} does not exist" if written else "The event type is missing"
    return _deny(ReasonCode.UNSUPPORTED_EVENT_TYPE, f"{problem}; there are {known}.")

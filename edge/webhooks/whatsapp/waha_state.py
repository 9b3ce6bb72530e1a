"""What WAHA says about a session -> state changes.

Pure. Statuses as in https://waha.devlike.pro/docs/how-to/sessions/. While WhatsApp's reach-out time-lock
holds, the session stays WORKING, but only existing chats may be answered; restarting or linking again makes
it worse.
"""

from collections.abc import Mapping
from datetime import datetime

from edge.webhooks.whatsapp.fields import (
    Json,
    as_object,
    child,
    digest,
    elements,
    event_key,
    flag,
    identifier,
    moment,
)
from edge.webhooks.whatsapp.intake import UnusableError
from edge.webhooks.whatsapp.model import InboundEvent, InstanceState, InstanceStateChange

_STATES: Mapping[str, tuple[InstanceState, str]] = {
    "WORKING": (InstanceState.OPEN, ""),
    "STARTING": (InstanceState.CONNECTING, ""),
    "SCAN_QR_CODE": (InstanceState.CONNECTING, "scan_qr"),
    "PASSKEY_REQUIRED": (InstanceState.CONNECTING, "passkey_required"),
    "PASSKEY_CONFIRMATION_REQUIRED": (InstanceState.CONNECTING, "passkey_required"),
    "STOPPED": (InstanceState.CLOSE, "stopped"),
    "FAILED": (InstanceState.CLOSE, "failed"),
}


def read_session_status(payload: Json, body: Json, _: str) -> InboundEvent:
    """`session.status`, with the reach-out time-lock if the event or the session itself tells of one.

    Raises UnusableError for a status that is not known: guessing a state could stop an instance that works.
    """
    word = identifier(payload, "status").upper()
    if word not in _STATES:
        raise UnusableError("names no status that is known.")
    state, reason = _STATES[word]
    told = child(child(payload, "data"), "reachoutTimelock")
    lock = told or child(child(body, "me"), "reachoutTimelock")
    until: datetime | None = None
    if state is InstanceState.OPEN and flag(lock, "isActive"):
        reason, until = "reachout_lock", moment(lock.get("timeEnforcementEnds"))
    elif state is InstanceState.OPEN and told:
        reason = "reachout_lock_lifted"
    happened_at = _happened_at(payload, word) or moment(body.get("timestamp"))
    stamp = happened_at.isoformat() if happened_at is not None else ""
    return InboundEvent(
        event_key=event_key("state", "session.status", word.lower(), reason, digest([stamp, dict(lock)])),
        event=InstanceStateChange(state, reason, until),
        provider_time=happened_at,
    )


def _happened_at(payload: Json, word: str) -> datetime | None:
    """When the session took this status: the same in every subscription, other than the envelope's time."""
    history = elements(payload, "statuses")
    last = as_object(history[-1]) if history else {}
    return moment(last.get("timestamp")) if identifier(last, "status").upper() == word else None

"""What Evolution API says about the instance itself -> state changes.

Pure. Codes are those of Baileys' `DisconnectReason` and of WhatsApp's connect failures
(https://github.com/tulir/whatsmeow/blob/main/types/events/events.go). After 401, 402, 403 and 406 nothing
reconnects by itself. The body's `date_time` is local time with a false `Z`; it only tells changes apart here.
"""

from collections.abc import Callable, Mapping

from edge.webhooks.whatsapp.fields import Json, child, digest, event_key, identifier, iso_moment
from edge.webhooks.whatsapp.intake import UnusableError
from edge.webhooks.whatsapp.model import InboundEvent, InstanceState, InstanceStateChange

_STATES: Mapping[str, InstanceState] = {
    "open": InstanceState.OPEN,
    "connecting": InstanceState.CONNECTING,
    "close": InstanceState.CLOSE,
    "closed": InstanceState.CLOSE,
    "refused": InstanceState.CLOSE,
}
_REASONS: Mapping[str, str] = {
    "": "",
    "200": "",
    "401": "logged_out",
    "402": "temporarily_banned",
    "403": "locked",
    "405": "client_outdated",
    "406": "banned",
    "408": "connection_lost",
    "411": "multi_device_mismatch",
    "428": "connection_closed",
    "440": "replaced",
    "500": "bad_session",
    "503": "unavailable",
    "515": "restart_required",
}


def _reason(code: str) -> str:
    return _REASONS.get(code, f"code_{code}" if code.isdecimal() and len(code) <= 6 else "")


def _connection(part: Json, date_time: str) -> InboundEvent:
    """`connection.update`. `refused` is what comes once nobody scanned the QR code in time."""
    word = identifier(part, "state").lower()
    if word not in _STATES:
        raise UnusableError("names no state that is known.")
    code = identifier(part, "statusReason")
    reason = "qr_limit" if word == "refused" else "" if word == "open" else _reason(code)
    return _change("connection.update", _STATES[word], reason, part, date_time)


def _status(part: Json, date_time: str) -> InboundEvent | None:
    """`status.instance`: the definitive end of a session, sent once."""
    word = identifier(part, "status", "state").lower()
    if _STATES.get(word) is not InstanceState.CLOSE:
        return None
    reason = _reason(identifier(part, "disconnectionReasonCode"))
    return _change("status.instance", InstanceState.CLOSE, reason, part, date_time)


def _qr_code(part: Json, date_time: str) -> InboundEvent | None:
    """`qrcode.updated`.

    A fresh code changes nothing (`connection.update` has said so); the limit ends the attempt.
    """
    if child(part, "qrcode") or not (identifier(part, "statusCode") or identifier(part, "message")):
        return None
    return _change("qrcode.updated", InstanceState.CLOSE, "qr_limit", part, date_time)


def _logged_out(part: Json, date_time: str) -> InboundEvent:
    return _change("logout.instance", InstanceState.CLOSE, "logged_out", part, date_time)


def _removed(part: Json, date_time: str) -> InboundEvent:
    return _change("remove.instance", InstanceState.CLOSE, "removed", part, date_time)


def _change(event_name: str, state: InstanceState, reason: str, part: Json, date_time: str) -> InboundEvent:
    return InboundEvent(
        event_key=event_key("state", event_name, state.name.lower(), reason, digest([date_time, part])),
        event=InstanceStateChange(state, reason),
        # The one date here that JavaScript itself wrote, and that therefore is UTC as it says.
        provider_time=iso_moment(part.get("disconnectionAt")),
    )


EVENTS: Mapping[str, Callable[[Json, str], InboundEvent | None]] = {
    "connection.update": _connection,
    "status.instance": _status,
    "qrcode.updated": _qr_code,
    "logout.instance": _logged_out,
    "remove.instance": _removed,
}
"""Reader by event name; each takes the event's `data` and the body's `date_time`."""

"""3CX's own webhook for a provider of text messages: events become the envelopes such a provider posts. Pure.

The shape is that of the Telnyx messaging webhook (https://developers.telnyx.com/docs/messaging/messages/receive-message),
as working connectors post it to 3CX (https://github.com/NdoleStudio/httpsms, entities/integration_3cx.go): `to` is an
array, numbers are E.164. The address holds the only key, so nothing is signed.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sender.destinations.signed_event import Destination, Event, parse
from sender.model import HttpRequest

_WRITTEN = frozenset({"message.received", "gateway.line"})
"""Events that agents see as messages of the customer."""

_TOLD = frozenset({"message.changed", "message.sent_on_phone", "conversation.window_closing"})
"""Events that agents see as lines in the customer's chat: they name a message that has an envelope of its own."""

_STATUSES: Mapping[str, tuple[str, str]] = {
    "sent": ("message.sent", "sent"),
    "delivered": ("message.finalized", "delivered"),
    "failed": ("message.sent", "sending_failed"),
    "rejected": ("message.sent", "sending_failed"),
}
"""What a provider calls how far a message has come: the event, and the recipient's status."""


def build(event: Event, now: datetime) -> HttpRequest | None:
    """The envelope; None for an event that a provider of text messages has no word for."""
    try:
        body = json.loads(event.body)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    payload = _payload(event, body, now)
    if payload is None:
        return None
    envelope = {
        "data": {
            "record_type": "event",
            "event_type": payload.pop("event_type"),
            "id": event.delivery_id,
            "occurred_at": _text(body, "received_at") or _text(body, "updated_at") or _instant(now),
            "payload": payload,
        }
    }
    raw = json.dumps(envelope, ensure_ascii=False).encode("utf-8", "replace")
    return HttpRequest("POST", event.url, {"Content-Type": "application/json"}, raw)


def _payload(event: Event, body: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
    if event.event_name in _WRITTEN or event.event_name in _TOLD:
        return _message(event, body, now)
    if event.event_name == "message.status_updated":
        return _receipt(event, body)
    return None


def _message(event: Event, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    kind = _text(body, "message_type") or "message"
    # WhatsApp's own id where there is one, so that the two logs can be laid side by side.
    own = "" if event.event_name in _TOLD else _text(body, "external_message_id") or _text(body, "message_id")
    return {
        "event_type": "message.received",
        "record_type": "message",
        "direction": "inbound",
        "type": "SMS",
        "id": own or event.delivery_id,
        "received_at": _text(body, "received_at") or _instant(now),
        "from": {
            "phone_number": _text(body, "from") or _text(body, "customer_phone") or _text(body, "person_id"),
            "status": "webhook_delivered",
        },
        "to": [{"phone_number": event.business_number, "status": "webhook_delivered"}],
        "text": _text(body, "agent_text") or _text(body, "message_text") or f"[{kind}]",
        "media": [],
    }


def _receipt(event: Event, body: Mapping[str, Any]) -> dict[str, Any] | None:
    known = _STATUSES.get(_text(body, "status"))
    if known is None:
        return None
    event_type, status = known
    return {
        "event_type": event_type,
        "record_type": "message",
        "direction": "outbound",
        "type": "SMS",
        # The id that the reply was answered with.
        "id": _text(body, "message_id"),
        "completed_at": _text(body, "updated_at"),
        "from": {"phone_number": event.business_number},
        "to": [{"phone_number": _text(body, "to"), "status": status}],
    }


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _instant(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


THREECX_SMS = Destination("threecx_sms", build, parse)

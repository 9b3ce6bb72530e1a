"""The bodies of the events the gateway posts (contract, section 4): one flat shape for 3CX and customer
systems.
"""

from datetime import datetime
from typing import Any

from policycore.event_ledger import KnownPerson
from policycore.inbound import MediaItem
from policycore.ledger import MessageState, MessageView
from policycore.registry.snapshot import InstanceConfig

RECEIVED = "message.received"
OPTED_OUT = "recipient.opted_out"
STATUS_UPDATED = "message.status_updated"
EVENT_NAMES = (RECEIVED, OPTED_OUT, STATUS_UPDATED)
CHANGED = "message.changed"
ON_PHONE = "message.sent_on_phone"
WINDOW_CLOSING = "conversation.window_closing"
FOR_AGENTS_ALONE = frozenset({CHANGED, ON_PHONE, WINDOW_CLOSING})
"""Only phone systems get these. Customer webhooks promise three names, and who takes all of them expects no other."""

KIND_NAMES = {
    0: "other",
    1: "text",
    2: "image",
    3: "video",
    4: "audio",
    5: "document",
    6: "sticker",
    7: "location",
    8: "contacts",
    9: "interactive",
    10: "order",
    11: "poll",
    12: "other",
}


def instant(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as in every body the gateway posts."""
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def received_body(
    *,
    event_name: str,
    instance: InstanceConfig,
    person: KnownPerson,
    view: MessageView,
    contact_name: str,
    received_at: datetime,
    window_expires_at: datetime,
    media: tuple[MediaItem, ...],
) -> dict[str, Any]:
    """Body of `message.received` and `recipient.opted_out`."""
    return {
        "event": event_name,
        "instance_id": instance.instance_id,
        "instance_name": instance.name,
        "from": person.number,
        "from_hidden": not person.ref.phone,
        "message_text": view.text,
        "message_type": KIND_NAMES.get(view.kind, "other"),
        "message_id": view.message_id,
        "external_message_id": view.external_message_id,
        "conversation_id": view.conversation_id,
        "person_id": person.person_id,
        "contact_name": contact_name,
        "received_at": instant(received_at),
        "window_expires_at": instant(window_expires_at),
        "media": [
            {
                "url": item.url,
                "mime_type": item.mime_type,
                "file_name": item.file_name,
                "id": item.external_id,
            }
            for item in media
        ],
    }


STATUS_NAMES = {
    MessageState.WAITING: "pending",
    MessageState.HANDED_OUT: "pending",
    MessageState.ACCEPTED: "accepted",
    MessageState.SENT: "sent",
    MessageState.DELIVERED: "delivered",
    MessageState.READ: "read",
    MessageState.REJECTED: "rejected",
    MessageState.UNKNOWN: "unknown",
    MessageState.FAILED: "failed",
    MessageState.LAPSED: "not_sent",
    MessageState.RECEIVED: "received",
}


def status_body(view: MessageView, instance_name: str) -> dict[str, Any]:
    """Body of `message.status_updated`."""
    return {
        "event": STATUS_UPDATED,
        "instance_id": view.instance_id,
        "instance_name": instance_name,
        "to": view.phone,
        "message_id": view.message_id,
        "external_message_id": view.external_message_id,
        "conversation_id": view.conversation_id,
        "status": STATUS_NAMES[view.state],
        "updated_at": instant(view.updated_at),
        "log_id": view.log_id,
        "error": {"code": view.error_code, "message": view.error_text} if view.error_code else None,
    }

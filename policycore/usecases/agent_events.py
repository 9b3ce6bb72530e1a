"""What agents are told beside the chat itself: reactions, edits and deletions, and what was typed on the business's
own phone. None of it opens a window or can be answered; each is a body with the line that agents read.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from policycore.agent_text import (
    EDIT,
    REACTION,
    REACTION_REMOVED,
    REVOKE,
    Original,
    change_text,
    message_text,
)
from policycore.event_ledger import KnownPerson
from policycore.inbound import InboundEvent, Message, MessageChange
from policycore.ledger import MessageView
from policycore.registry.snapshot import InstanceConfig
from policycore.usecases.bodies import CHANGED, KIND_NAMES, ON_PHONE, instant
from policycore.usecases.deliveries import Lines

OriginalKey = tuple[str, str]
"""(instance id, the back end's message id)."""

_CHANGES = {
    REACTION: "reaction",
    REACTION_REMOVED: "reaction_removed",
    EDIT: "edited",
    REVOKE: "deleted",
}


def originals_wanted(events: Iterable[tuple[str, InboundEvent]]) -> list[OriginalKey]:
    """The earlier messages that (instance id, event) pairs name: quoted, changed, or told back by a back end."""
    wanted = []
    for instance_id, event in events:
        match event.report:
            case Message(quoted_external_message_id=quoted) as message:
                wanted += [(instance_id, quoted)] if quoted else []
                if message.from_business:
                    wanted.append((instance_id, message.external_message_id))
            case MessageChange(target_external_message_id=target) if target:
                wanted.append((instance_id, target))
    return [key for key in dict.fromkeys(wanted) if key[1]]


def lines_of(instance_id: str, message: Message, originals: Mapping[OriginalKey, Original]) -> Lines:
    """What agents read of a message."""
    original = originals.get((instance_id, message.quoted_external_message_id))
    return lambda language: message_text(message, original, language)


def lines_of_change(change: MessageChange, original: Original | None) -> Lines:
    """What agents read of a change."""
    return lambda language: change_text(change, original, language)


def is_told(change: MessageChange) -> bool:
    """Whether agents hear of a change of this kind."""
    return change.kind in _CHANGES


def changed_body(
    *,
    instance: InstanceConfig,
    person: KnownPerson,
    change: MessageChange,
    original: Original | None,
    conversation: tuple[str, datetime | None],
    received_at: datetime,
) -> dict[str, Any]:
    """Body of `message.changed`. `conversation` is its id and when its window closes, as far as either is known."""
    conversation_id, closes_at = conversation
    return {
        "event": CHANGED,
        "instance_id": instance.instance_id,
        "instance_name": instance.name,
        "customer_phone": person.number,
        "customer_hidden": not person.ref.phone,
        "change": _CHANGES[change.kind],
        "message_text": change.text,
        "message_id": original.message_id if original else None,
        "external_message_id": change.target_external_message_id,
        "by_business": change.from_business,
        "conversation_id": conversation_id,
        "person_id": person.person_id,
        "contact_name": person.display_name,
        "received_at": instant(received_at),
        "window_expires_at": instant(closes_at),
    }


def on_phone_body(
    *, instance: InstanceConfig, person: KnownPerson, view: MessageView, sent_at: datetime
) -> dict[str, Any]:
    """Body of `message.sent_on_phone`: outside policy, since nobody asked the gateway."""
    return {
        "event": ON_PHONE,
        "instance_id": instance.instance_id,
        "instance_name": instance.name,
        "customer_phone": person.number,
        "customer_hidden": not person.ref.phone,
        "outside_policy": True,
        "message_text": view.text,
        "message_type": KIND_NAMES.get(view.kind, "other"),
        "message_id": view.message_id,
        "external_message_id": view.external_message_id,
        "conversation_id": view.conversation_id,
        "person_id": person.person_id,
        "contact_name": person.display_name,
        "sent_at": instant(sent_at),
    }

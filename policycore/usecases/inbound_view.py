"""A message that came in, or was typed on the business's own phone, as callers see it."""

from datetime import datetime

from policycore.event_ledger import KnownPerson
from policycore.inbound import InboundEvent, Message
from policycore.ledger import MessageState, MessageView
from policycore.registry.snapshot import InstanceConfig


def inbound_view(
    message_id: str,
    instance: InstanceConfig,
    known: KnownPerson,
    event: InboundEvent,
    message: Message,
    conversation_id: str,
    now: datetime,
) -> MessageView:
    """The view of a new message from a person, or from the business's own phone, made at `now`."""
    return MessageView(
        message_id=message_id,
        account_id=instance.account_id,
        instance_id=instance.instance_id,
        integration_id=None,
        conversation_id=conversation_id,
        person_id=known.person_id,
        phone=event.person.phone or known.ref.phone,
        lid=event.person.lid,
        bsuid=event.person.bsuid,
        outbound=message.from_business,
        state=MessageState.SENT if message.from_business else MessageState.RECEIVED,
        external_message_id=message.external_message_id,
        text=message.text,
        created_at=now,
        updated_at=now,
        log_id=0,
        error_code="",
        error_text="",
        event_type=0,
        kind=message.kind,
    )

"""Events of a WhatsApp webhook -> `RecordEvents` requests. Knows the wire types; decides nothing."""

from collections.abc import Iterator
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from edge.webhooks.whatsapp.model import (
    Delivery,
    Event,
    IdentityLink,
    InboundEvent,
    InboundMessage,
    InstanceStateChange,
    MarketingPreference,
    MessageChange,
    PersonRef,
    Receipt,
)
from hubgate.policy.v1 import events_pb2, policy_service_pb2

MAX_EVENTS = 1_000
"""Events in one request, as the contract of `RecordEvents` says."""

MAX_BYTES = 2 * 1024 * 1024
"""Events in one request, encoded; well below the 4 MiB that gRPC takes without being told otherwise."""


def to_wire(
    instance_id: str, delivery: Delivery, received_at: datetime
) -> list[policy_service_pb2.RecordEventsRequest]:
    """Requests that carry the delivery, in its order, the unparsed elements with the first.

    `received_at` is aware. The list is empty if there is nothing to record. No request has more than
    `MAX_EVENTS` events, nor, unless one event alone is larger, more than `MAX_BYTES` of them.
    """
    requests = [
        policy_service_pb2.RecordEventsRequest(
            instance_id=instance_id, events=chunk, received_at=_timestamp(received_at)
        )
        for chunk in _chunks(delivery)
    ]
    if delivery.unparsed:
        if not requests:
            requests.append(
                policy_service_pb2.RecordEventsRequest(
                    instance_id=instance_id, received_at=_timestamp(received_at)
                )
            )
        requests[0].unparsed.extend(delivery.unparsed)
    return requests


def _chunks(delivery: Delivery) -> Iterator[list[events_pb2.InboundEvent]]:
    chunk: list[events_pb2.InboundEvent] = []
    size = 0
    for event in map(_event, delivery.events):
        octets = event.ByteSize()
        if chunk and (len(chunk) == MAX_EVENTS or size + octets > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(event)
        size += octets
    if chunk:
        yield chunk


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _person(person: PersonRef) -> events_pb2.PersonRef:
    return events_pb2.PersonRef(
        phone=person.phone, lid=person.lid, business_scoped_id=person.business_scoped_id
    )


def _event(event: InboundEvent) -> events_pb2.InboundEvent:
    wire = events_pb2.InboundEvent(
        event_key=event.event_key,
        provider_time=_timestamp(event.provider_time) if event.provider_time is not None else None,
        person=_person(event.person) if event.person is not None else None,
        chat=events_pb2.ChatKind.ValueType(event.chat),
    )
    _set_event(wire, event.event)
    return wire


def _set_event(wire: events_pb2.InboundEvent, event: Event) -> None:
    if isinstance(event, InboundMessage):
        wire.message.CopyFrom(_message(event))
    elif isinstance(event, Receipt):
        wire.receipt.CopyFrom(_receipt(event))
    elif isinstance(event, InstanceStateChange):
        wire.instance_state.CopyFrom(_instance_state(event))
    elif isinstance(event, MarketingPreference):
        # Also for False: it is the presence of the field that makes the event.
        wire.marketing_preference.SetInParent()
        wire.marketing_preference.stopped = event.stopped
    elif isinstance(event, IdentityLink):
        wire.identity_link.previous.CopyFrom(_person(event.previous))
        wire.identity_link.current.CopyFrom(_person(event.current))
    else:
        wire.change.CopyFrom(_change(event))


def _message(message: InboundMessage) -> events_pb2.InboundMessage:
    return events_pb2.InboundMessage(
        external_message_id=message.external_message_id,
        kind=events_pb2.MessageKind.ValueType(message.kind),
        text=message.text,
        media=[
            events_pb2.Media(
                url=media.url,
                external_id=media.external_id,
                mime_type=media.mime_type,
                file_name=media.file_name,
                sha256=media.sha256,
            )
            for media in message.media
        ],
        contact_name=message.contact_name,
        from_business=message.from_business,
        quoted_external_message_id=message.quoted_external_message_id,
        is_button_reply=message.is_button_reply,
        voice=message.voice,
        seconds=message.seconds,
        view_once=message.view_once,
    )


def _receipt(receipt: Receipt) -> events_pb2.Receipt:
    return events_pb2.Receipt(
        external_message_id=receipt.external_message_id,
        kind=events_pb2.ReceiptKind.ValueType(receipt.kind),
        error_code=receipt.error_code,
        error_text=receipt.error_text,
        correlation_id=receipt.correlation_id,
        participant=receipt.participant,
        price_category=receipt.price_category,
        text=receipt.text,
    )


def _instance_state(change: InstanceStateChange) -> events_pb2.InstanceStateChange:
    until = change.replies_only_until
    return events_pb2.InstanceStateChange(
        state=events_pb2.InstanceState.ValueType(change.state),
        reason=change.reason,
        replies_only_until=_timestamp(until) if until is not None else None,
    )


def _change(change: MessageChange) -> events_pb2.MessageChange:
    return events_pb2.MessageChange(
        kind=events_pb2.MessageChange.Kind.ValueType(change.kind),
        target_external_message_id=change.target_external_message_id,
        text=change.text,
        from_business=change.from_business,
    )

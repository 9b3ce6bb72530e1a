"""Inbound events: wire -> model."""

from hubgate.policy.v1 import events_pb2, policy_service_pb2
from policycore.errors import Malformed
from policycore.inbound import (
    ChatKind,
    IdentityLink,
    InboundEvent,
    InstanceStateChange,
    MarketingPreference,
    MediaItem,
    Message,
    MessageChange,
    PersonRef,
    Receipt,
    ReceiptKind,
)
from policycore.inbound import Message as InboundMessage
from policycore.rpc.times import to_datetime
from policycore.usecases.record_events import Report

MAX_EVENTS = 1_000
_MAX_KEY = 200
_MAX_TEXT = 65_536
_STATES = {
    events_pb2.INSTANCE_STATE_OPEN: "open",
    events_pb2.INSTANCE_STATE_CONNECTING: "connecting",
    events_pb2.INSTANCE_STATE_CLOSE: "close",
}


def report_from_wire(request: policy_service_pb2.RecordEventsRequest) -> Report:
    """One delivery. Raises Malformed for what no edge would send."""
    if len(request.events) > MAX_EVENTS:
        raise Malformed(
            "events", f"holds {len(request.events)} events; at most {MAX_EVENTS} are taken at once."
        )
    if not request.HasField("received_at"):
        raise Malformed("received_at", "is required.")
    return Report(
        instance_id=request.instance_id,
        events=tuple(_event(wire) for wire in request.events),
        received_at=to_datetime(request.received_at),
    )


def person_from_wire(wire: events_pb2.PersonRef) -> PersonRef:
    """A person's identities, each bounded by the length it can have."""
    return PersonRef(wire.phone[:32], wire.lid[:64], wire.business_scoped_id[:160])


def _event(wire: events_pb2.InboundEvent) -> InboundEvent:
    if not wire.event_key or len(wire.event_key) > _MAX_KEY:
        raise Malformed("events.event_key", f"must have 1 to {_MAX_KEY} characters.")
    return InboundEvent(
        event_key=wire.event_key,
        report=_report(wire),
        person=person_from_wire(wire.person),
        chat=ChatKind(wire.chat) if wire.chat else ChatKind.DIRECT,
        provider_time=to_datetime(wire.provider_time) if wire.HasField("provider_time") else None,
    )


def _report(
    wire: events_pb2.InboundEvent,
) -> Message | Receipt | InstanceStateChange | MarketingPreference | IdentityLink | MessageChange:
    match wire.WhichOneof("event"):
        case "message":
            return _message(wire.message)
        case "receipt":
            return _receipt(wire.receipt)
        case "instance_state":
            change = wire.instance_state
            return InstanceStateChange(
                state=_STATES.get(change.state, "connecting"),
                reason=change.reason[:64],
                replies_only_until=to_datetime(change.replies_only_until)
                if change.HasField("replies_only_until")
                else None,
            )
        case "marketing_preference":
            return MarketingPreference(wire.marketing_preference.stopped)
        case "identity_link":
            link = wire.identity_link
            return IdentityLink(person_from_wire(link.previous), person_from_wire(link.current))
        case "change":
            return MessageChange(
                kind=int(wire.change.kind),
                target_external_message_id=wire.change.target_external_message_id[:300],
                text=wire.change.text[:_MAX_TEXT],
                from_business=wire.change.from_business,
            )
        case _:
            raise Malformed("events.event", "is of a kind this version does not know.")


def _message(wire: events_pb2.InboundMessage) -> InboundMessage:
    return InboundMessage(
        external_message_id=wire.external_message_id[:300],
        kind=int(wire.kind),
        text=wire.text[:_MAX_TEXT].replace("\x00", ""),
        media=tuple(
            MediaItem(item.url, item.external_id, item.mime_type, item.file_name, item.sha256)
            for item in wire.media
        ),
        contact_name=wire.contact_name[:200].replace("\x00", ""),
        from_business=wire.from_business,
        quoted_external_message_id=wire.quoted_external_message_id[:300],
        is_button_reply=wire.is_button_reply,
    )


def _receipt(wire: events_pb2.Receipt) -> Receipt:
    if not wire.kind:
        raise Malformed("events.receipt.kind", "is required.")
    return Receipt(
        external_message_id=wire.external_message_id[:300],
        kind=ReceiptKind(wire.kind),
        error_code=wire.error_code,
        error_text=wire.error_text.replace("\x00", ""),
        correlation_id=wire.correlation_id,
        text=wire.text,
    )

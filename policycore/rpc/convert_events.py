"""Inbound events: wire -> model."""

import structlog

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
from policycore.inbound import Report as ReportOfEvent
from policycore.pseudonym import is_pseudonym
from policycore.rpc.times import nearest_datetime
from policycore.usecases.record_events import Report

_log = structlog.get_logger(__name__)

MAX_EVENTS = 1_000
_MAX_KEY = 200
_MAX_TEXT = 65_536
_MAX_SECONDS = 86_400
_CHATS = {0: ChatKind.DIRECT, **{int(kind): kind for kind in ChatKind}}
"""A chat of an unknown kind opens no window."""

_RECEIPTS = frozenset(int(kind) for kind in ReceiptKind)
_STATES = {
    events_pb2.INSTANCE_STATE_OPEN: "open",
    events_pb2.INSTANCE_STATE_CONNECTING: "connecting",
    events_pb2.INSTANCE_STATE_CLOSE: "close",
}


def report_from_wire(request: policy_service_pb2.RecordEventsRequest) -> Report:
    """One delivery. Raises Malformed for what no edge would send.

    An event of a kind that this version does not know is left out and logged: it must not hold up those beside it.
    """
    if len(request.events) > MAX_EVENTS:
        raise Malformed(
            "events", f"holds {len(request.events)} events; at most {MAX_EVENTS} are taken at once."
        )
    if not request.HasField("received_at"):
        raise Malformed("received_at", "is required.")
    events = [event for wire in request.events if (event := _event(wire)) is not None]
    if len(events) < len(request.events):
        unknown = len(request.events) - len(events)
        _log.warning("events.unknown_kind", instance_id=request.instance_id, events=unknown)
    return Report(
        instance_id=request.instance_id,
        events=tuple(events),
        received_at=nearest_datetime(request.received_at),
    )


def person_from_wire(wire: events_pb2.PersonRef) -> PersonRef:
    """A person's identities, each bounded by the length it can have. A pseudonym is nobody's phone, whoever says so."""
    phone = _text(wire.phone, 32)
    phone = "" if is_pseudonym(phone) else phone
    return PersonRef(phone, _text(wire.lid, 64), _text(wire.business_scoped_id, 160))


def _text(written: str, longest: int) -> str:
    """Text without NUL, which PostgreSQL cannot keep, cut to a length."""
    return written[:longest].replace("\x00", "")


def _event(wire: events_pb2.InboundEvent) -> InboundEvent | None:
    key = wire.event_key.replace("\x00", "")
    if not key or len(key) > _MAX_KEY:
        raise Malformed("events.event_key", f"must have 1 to {_MAX_KEY} characters.")
    report = _report(wire)
    if report is None:
        return None
    return InboundEvent(
        event_key=key,
        report=report,
        person=person_from_wire(wire.person),
        chat=_CHATS.get(wire.chat, ChatKind.BROADCAST),
        provider_time=nearest_datetime(wire.provider_time) if wire.HasField("provider_time") else None,
    )


def _report(wire: events_pb2.InboundEvent) -> ReportOfEvent | None:
    """What is reported; None if this version does not know what that is."""
    match wire.WhichOneof("event"):
        case "message":
            return _message(wire.message)
        case "receipt":
            return _receipt(wire.receipt)
        case "instance_state":
            change = wire.instance_state
            return InstanceStateChange(
                state=_STATES.get(change.state, "connecting"),
                reason=_text(change.reason, 64),
                replies_only_until=nearest_datetime(change.replies_only_until)
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
                target_external_message_id=_text(wire.change.target_external_message_id, 300),
                text=_text(wire.change.text, _MAX_TEXT),
                from_business=wire.change.from_business,
            )
        case _:
            return None


def _message(wire: events_pb2.InboundMessage) -> Message:
    return Message(
        external_message_id=_text(wire.external_message_id, 300),
        kind=int(wire.kind),
        text=_text(wire.text, _MAX_TEXT),
        media=tuple(
            MediaItem(item.url, item.external_id, item.mime_type, item.file_name, item.sha256)
            for item in wire.media
        ),
        contact_name=_text(wire.contact_name, 200),
        from_business=wire.from_business,
        quoted_external_message_id=_text(wire.quoted_external_message_id, 300),
        is_button_reply=wire.is_button_reply,
        voice=wire.voice,
        seconds=min(max(wire.seconds, 0), _MAX_SECONDS),
        view_once=wire.view_once,
    )


def _receipt(wire: events_pb2.Receipt) -> Receipt | None:
    if wire.kind not in _RECEIPTS:
        return None
    return Receipt(
        external_message_id=_text(wire.external_message_id, 300),
        kind=ReceiptKind(wire.kind),
        error_code=_text(wire.error_code, 64),
        error_text=_text(wire.error_text, 500),
        correlation_id=_text(wire.correlation_id, 64),
        text=_text(wire.text, _MAX_TEXT),
    )

"""Events on the wire: every field arrives, and no request is larger than the policy core takes."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edge.clients.whatsapp_wire import MAX_BYTES, MAX_EVENTS, to_wire
from edge.webhooks.whatsapp import model
from edge.webhooks.whatsapp.model import (
    ChangeKind,
    ChatKind,
    Delivery,
    Event,
    IdentityLink,
    InboundEvent,
    InboundMessage,
    InstanceState,
    InstanceStateChange,
    MarketingPreference,
    Media,
    MessageChange,
    MessageKind,
    PersonRef,
    Receipt,
    ReceiptKind,
)
from hubgate.policy.v1 import events_pb2

NOW = datetime(2026, 8, 29, 10, 40, tzinfo=UTC)
MESSAGE = InboundMessage(
    external_message_id="IN1",
    kind=MessageKind.IMAGE,
    text="خصم 🙏",
    media=(Media("https://a.example/1", "M1", "image/png", "1.png", "AQID"), Media()),
    contact_name="Noura",
    from_business=True,
    quoted_external_message_id="OUT1",
    is_button_reply=True,
)
RECEIPT = Receipt("OUT1", ReceiptKind.FAILED, "131047", "too late", "msg_1", "+966501112233", "utility", "hi")
EVENTS: list[tuple[str, Event]] = [
    ("message", MESSAGE),
    ("receipt", RECEIPT),
    ("instance_state", InstanceStateChange(InstanceState.OPEN, "reachout_lock", NOW + timedelta(days=7))),
    ("marketing_preference", MarketingPreference(stopped=True)),
    ("identity_link", IdentityLink(PersonRef(lid="771"), PersonRef(phone="+966501112233"))),
    ("change", MessageChange(ChangeKind.EDIT, "IN1", "new text", from_business=True)),
]


def sent(event: Event) -> events_pb2.InboundEvent:
    whole = InboundEvent("key", event, NOW, PersonRef("+966501112233", "771", "SA.4455"), ChatKind.GROUP)
    (request,) = to_wire("ins_1", Delivery((whole,)), NOW)
    return request.events[0]


def as_plain(value: Any) -> Any:
    """A wire value in the form the model has it in."""
    if hasattr(value, "ToDatetime"):
        return value.ToDatetime(UTC)
    if isinstance(value, events_pb2.PersonRef):
        return PersonRef(value.phone, value.lid, value.business_scoped_id)
    if isinstance(value, events_pb2.Media):
        return Media(value.url, value.external_id, value.mime_type, value.file_name, value.sha256)
    if hasattr(value, "__len__") and not isinstance(value, str):
        return tuple(as_plain(part) for part in value)
    return value


@pytest.mark.parametrize(("name", "event"), EVENTS)
def test_every_field_arrives(name: str, event: Event) -> None:
    wire = sent(event)
    assert wire.WhichOneof("event") == name
    part = getattr(wire, name)
    for field in fields(event):
        assert as_plain(getattr(part, field.name)) == getattr(event, field.name), field.name
    assert {field.name for field in fields(event)} == {field.name for field in part.DESCRIPTOR.fields}


def test_what_surrounds_an_event_arrives() -> None:
    wire = sent(MESSAGE)
    assert wire.event_key == "key"
    assert wire.provider_time.ToDatetime(UTC) == NOW
    assert as_plain(wire.person) == PersonRef("+966501112233", "771", "SA.4455")
    assert wire.chat == events_pb2.CHAT_KIND_GROUP


def test_what_is_not_known_stays_unset() -> None:
    bare = InboundEvent("key", InstanceStateChange(InstanceState.CLOSE))
    (request,) = to_wire("ins_1", Delivery((bare,)), NOW)
    wire = request.events[0]
    assert not wire.HasField("provider_time")
    assert not wire.HasField("person")
    assert not wire.instance_state.HasField("replies_only_until")
    assert wire.chat == events_pb2.CHAT_KIND_DIRECT


def test_a_resumed_preference_is_an_event_too() -> None:
    wire = sent(MarketingPreference(stopped=False))
    assert wire.WhichOneof("event") == "marketing_preference"
    assert wire.marketing_preference.stopped is False


@pytest.mark.parametrize(
    ("enum", "prefix", "wire"),
    [
        (model.ChatKind, "CHAT_KIND_", events_pb2.ChatKind),
        (model.MessageKind, "MESSAGE_KIND_", events_pb2.MessageKind),
        (model.ReceiptKind, "RECEIPT_KIND_", events_pb2.ReceiptKind),
        (model.InstanceState, "INSTANCE_STATE_", events_pb2.InstanceState),
        (model.ChangeKind, "KIND_", events_pb2.MessageChange.Kind),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_numbers_are_those_of_the_contract(enum: Any, prefix: str, wire: Any) -> None:
    ours = {prefix + member.name: member.value for member in enum}
    theirs = dict(wire.items())
    assert ours | {prefix + "UNSPECIFIED": 0} == theirs


def test_nothing_to_record_makes_no_request() -> None:
    assert to_wire("ins_1", Delivery(ignored=3), NOW) == []


def test_unparsed_elements_alone_make_one_request() -> None:
    (request,) = to_wire("ins_1", Delivery(unparsed=("One.", "Two.")), NOW)
    assert list(request.unparsed) == ["One.", "Two."]
    assert not request.events
    assert request.instance_id == "ins_1"
    assert request.received_at.ToDatetime(UTC) == NOW


def test_many_events_are_split_in_order() -> None:
    events = tuple(InboundEvent(f"key:{number}", MESSAGE) for number in range(2 * MAX_EVENTS + 1))
    requests = to_wire("ins_1", Delivery(events, ("One.",)), NOW)
    assert [len(request.events) for request in requests] == [MAX_EVENTS, MAX_EVENTS, 1]
    assert [event.event_key for request in requests for event in request.events] == [
        event.event_key for event in events
    ]
    assert [len(request.unparsed) for request in requests] == [1, 0, 0]
    assert all(request.instance_id == "ins_1" for request in requests)


def test_large_events_are_split_by_size() -> None:
    large = InboundMessage("IN1", MessageKind.TEXT, text="\U0001f64f" * 65_536)
    events = tuple(InboundEvent(f"key:{number}", large) for number in range(20))
    requests = to_wire("ins_1", Delivery(events), NOW)
    assert sum(len(request.events) for request in requests) == 20
    assert all(request.ByteSize() < MAX_BYTES + 1_000 for request in requests)
    assert len(requests) > 2


def test_an_event_larger_than_a_request_goes_alone() -> None:
    huge = InboundMessage("IN1", MessageKind.TEXT, text="x" * (MAX_BYTES + 1))
    small = InboundMessage("IN2", MessageKind.TEXT, text="x")
    events = (InboundEvent("1", small), InboundEvent("2", huge), InboundEvent("3", small))
    assert [len(request.events) for request in to_wire("ins_1", Delivery(events), NOW)] == [1, 1, 1]

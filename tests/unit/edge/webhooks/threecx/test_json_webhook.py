"""The 3CX webhook's body: every field, in every form a phone system may write it."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import InvalidJsonError
from edge.webhooks.threecx.json_webhook import EVENT_TYPES, UNREADABLE_PHONE, parse
from edge.words import EventType

PUBLIC_EXAMPLE = b"""{
  "event_type": "outbound_message",
  "to": "+966500000000",
  "message_text": "Your support ticket has been updated.",
  "message_purpose": "support",
  "conversation_id": "3cx-chat-123",
  "agent_extension": "101"
}"""

PHONES = {"to": "1", "customer_phone": "2", "phone": "3", "from": "4", "caller": "5"}
REPLY_ORDER = ("to", "customer_phone", "phone", "from", "caller")
CALL_ORDER = ("customer_phone", "caller", "from", "phone", "to")


def event(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_the_public_example() -> None:
    parsed = parse(PUBLIC_EXAMPLE)
    assert parsed.event_type is EventType.OUTBOUND_MESSAGE
    assert parsed.event_type_text == "outbound_message"
    assert parsed.phone == "+966500000000"
    assert parsed.text == "Your support ticket has been updated."
    assert parsed.purpose == "support"
    assert parsed.conversation_id == "3cx-chat-123"
    assert parsed.agent_extension == "101"
    assert (parsed.queue, parsed.call_time, parsed.event_id) == ("", "", "")


def test_the_eleven_event_types() -> None:
    assert set(EVENT_TYPES) == {
        "test",
        "outbound_message",
        "inbound_reply",
        "missed_call",
        "call_started",
        "call_ended",
        "voicemail",
        "queue_event",
        "queue_callback",
        "after_hours",
        "chat_ended",
    }
    for name, number in EVENT_TYPES.items():
        assert parse(event(event_type=name)).event_type is number


@pytest.mark.parametrize("written", ["", "TEST", "sms", "x" * 300, 5, None, True, ["test"], {"a": 1}])
def test_other_event_types_are_left_to_the_policy_core(written: Any) -> None:
    parsed = parse(event(event_type=written))
    assert parsed.event_type is EventType.UNSPECIFIED
    assert len(parsed.event_type_text) <= 64


@pytest.mark.parametrize(
    ("event_type", "order"),
    [
        ("outbound_message", REPLY_ORDER),
        ("inbound_reply", REPLY_ORDER),
        ("missed_call", CALL_ORDER),
        ("call_started", CALL_ORDER),
        ("call_ended", CALL_ORDER),
        ("voicemail", CALL_ORDER),
        ("queue_event", CALL_ORDER),
        ("queue_callback", CALL_ORDER),
        ("after_hours", CALL_ORDER),
    ],
)
def test_the_precedence_of_phone_keys(event_type: str, order: tuple[str, ...]) -> None:
    left = dict(PHONES)
    for name in order:
        assert parse(event(event_type=event_type, **left)).phone == PHONES[name]
        del left[name]
    assert parse(event(event_type=event_type)).phone == ""


@pytest.mark.parametrize(
    ("written", "phone"),
    [
        ("+966500000000", "+966500000000"),
        ("00966500000000", "00966500000000"),
        ("050 000 0000", "050 000 0000"),
        (" +966500000000 ", "+966500000000"),
        ("٠٥٠٠٠٠٠٠٠٠", "٠٥٠٠٠٠٠٠٠٠"),
        (966500000000, "966500000000"),
        (None, ""),
        ("", ""),
        ("   ", ""),
        (True, UNREADABLE_PHONE),
        (["+966500000000"], UNREADABLE_PHONE),
        ({"number": "+966500000000"}, UNREADABLE_PHONE),
        ("+966500000000" + " " * 60 + "1", UNREADABLE_PHONE),
    ],
)
def test_phones_pass_as_they_were_written(written: Any, phone: str) -> None:
    assert parse(event(event_type="outbound_message", to=written)).phone == phone


def test_an_empty_phone_key_gives_way_to_the_next() -> None:
    assert parse(event(event_type="outbound_message", to="", phone="+1")).phone == "+1"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"message_text": "a", "message": "b"}, "a"),
        ({"message": "b"}, "b"),
        ({"message_text": " ", "message": "b"}, "b"),
        ({"message_text": 5, "message": "b"}, "b"),
        ({"message_text": 5}, ""),
        ({"message_text": ["a"]}, ""),
        ({"message_text": None}, ""),
        ({"message_text": " padded "}, " padded "),
        ({"message_text": "شكرا 😀"}, "شكرا 😀"),
        ({"message_text": "x" * 5_000}, "x" * 5_000),
    ],
)
def test_text(fields: dict[str, Any], text: str) -> None:
    assert parse(event(event_type="outbound_message", **fields)).text == text


def test_numbers_count_as_text_where_people_write_numbers() -> None:
    parsed = parse(
        b'{"agent_extension": 101, "queue": 801, "event_id": 7, "call_time": 1.50, "conversation_id": 3}'
    )
    assert (parsed.agent_extension, parsed.queue, parsed.event_id) == ("101", "801", "7")
    assert (parsed.call_time, parsed.conversation_id) == ("1.50", "3")


def test_a_purpose_is_a_word() -> None:
    assert parse(event(message_purpose=" Support ")).purpose == "Support"
    assert parse(event(message_purpose=5)).purpose == ""
    assert parse(event(message_purpose="support" + " " * 57 + "marketing")).purpose.endswith("…")


@pytest.mark.parametrize("name", ["to", "message_text", "conversation_id", "event_type", "message_purpose"])
@pytest.mark.parametrize("bad", ["a\x00b", "\ud83d"])
def test_text_nobody_can_store_is_refused(name: str, bad: str) -> None:
    fields = {"event_type": "outbound_message"} | {name: bad}
    with pytest.raises(InvalidJsonError, match=name):
        parse(event(**fields))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["event_type", "to", "from", "phone", "caller", "message_text", "message", "message_purpose", "event_id"]
)


# How long drawing takes tells of the machine, not of the parser.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=9))
def test_any_object_gives_an_event_of_bounded_fields(fields: dict[str, Any]) -> None:
    try:
        parsed = parse(json.dumps(fields).encode())
    except InvalidJsonError:
        return
    assert parsed.event_type in EventType
    assert len(parsed.phone) <= 64
    assert len(parsed.purpose) <= 64
    parsed.text.encode()

"""Envelopes for 3CX's webhook of a provider of text messages."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sender.destinations.registry import DESTINATIONS
from sender.destinations.signed_event import Event
from sender.model import FailureKind, HttpAnswer, PostOutcome, TransportFailure

NOW = datetime(2026, 1, 15, 9, 30, 12, tzinfo=UTC)
URL = "https://pbx.example.com/sms/generic/0f3c9d1e5b7a4c2f8e6d0a1b3c5d7e9f"
SMS = DESTINATIONS["threecx_sms"]
RECEIVED = {
    "event": "message.received",
    "instance_id": "ins_1",
    "from": "+966500000001",
    "message_text": "أين طلبي؟ 😀",
    "message_type": "text",
    "message_id": "msg_1",
    "external_message_id": "wamid.A1",
    "person_id": "per_1",
    "received_at": "2026-01-15T09:30:10.000Z",
    "media": [],
}


def event(body: Any, name: str = "message.received") -> Event:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Event("dlv_1", URL, name, raw, "not-used", "+966110000000")


def envelope(body: Any, name: str = "message.received") -> Any:
    request = SMS.build(event(body, name), NOW)
    assert request is not None and (request.method, request.url) == ("POST", URL)
    # The address holds the only key: neither a signature nor a bearer goes with it.
    assert dict(request.headers) == {"Content-Type": "application/json"}
    return json.loads(request.body)


def test_a_message_is_the_envelope_of_a_provider() -> None:
    assert envelope(RECEIVED) == {
        "data": {
            "record_type": "event",
            "event_type": "message.received",
            "id": "dlv_1",
            "occurred_at": "2026-01-15T09:30:10.000Z",
            "payload": {
                "record_type": "message",
                "direction": "inbound",
                "type": "SMS",
                "id": "wamid.A1",
                "received_at": "2026-01-15T09:30:10.000Z",
                "from": {"phone_number": "+966500000001", "status": "webhook_delivered"},
                "to": [{"phone_number": "+966110000000", "status": "webhook_delivered"}],
                "text": "أين طلبي؟ 😀",
                "media": [],
            },
        }
    }


def test_a_line_of_the_gateway_is_a_message_of_the_customer() -> None:
    data = envelope(RECEIVED | {"message_text": "[Gateway] Not sent."}, "gateway.line")["data"]
    assert (data["event_type"], data["payload"]["text"]) == ("message.received", "[Gateway] Not sent.")


@pytest.mark.parametrize("name", ["message.changed", "message.sent_on_phone", "conversation.window_closing"])
def test_what_agents_are_told_is_a_line_in_the_customers_chat(name: str) -> None:
    body = {
        "customer_phone": "+966500000001",
        "message_text": "👍",
        "agent_text": "[Reaction] 👍",
        "external_message_id": "3EB0",
        "message_id": "msg_1",
    }
    payload = envelope(body, name)["data"]["payload"]
    assert payload["from"]["phone_number"] == "+966500000001"
    assert payload["text"] == "[Reaction] 👍"
    # The message that it speaks of has an envelope under that id already.
    assert payload["id"] == envelope(body, name)["data"]["id"] not in ("3EB0", "msg_1")


def test_the_line_for_agents_goes_before_the_bare_text() -> None:
    shaped = RECEIVED | {"message_text": "", "message_type": "audio", "agent_text": "[Voice note, 0:05]"}
    assert envelope(shaped)["data"]["payload"]["text"] == "[Voice note, 0:05]"


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"message_text": "", "message_type": "image"}, "text", "[image]"),
        ({"message_text": None}, "text", "[text]"),
        ({"external_message_id": ""}, "id", "msg_1"),
        ({"from": ""}, "from", {"phone_number": "per_1", "status": "webhook_delivered"}),
    ],
)
def test_what_is_missing_is_never_empty(changes: dict[str, Any], field: str, expected: Any) -> None:
    assert envelope(RECEIVED | changes)["data"]["payload"][field] == expected


@pytest.mark.parametrize(
    ("status", "event_type", "word"),
    [
        ("sent", "message.sent", "sent"),
        ("delivered", "message.finalized", "delivered"),
        ("failed", "message.sent", "sending_failed"),
        ("rejected", "message.sent", "sending_failed"),
    ],
)
def test_receipts_name_the_id_of_the_answer(status: str, event_type: str, word: str) -> None:
    body = {
        "to": "+966500000001",
        "message_id": "msg_9",
        "status": status,
        "updated_at": "2026-01-15T09:30:11.000Z",
    }
    data = envelope(body, "message.status_updated")["data"]
    assert (data["event_type"], data["payload"]["id"]) == (event_type, "msg_9")
    assert data["payload"]["to"] == [{"phone_number": "+966500000001", "status": word}]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (RECEIVED, "recipient.opted_out"),
        ({"status": "read"}, "message.status_updated"),
        (b"[]", "message.received"),
        (b"nonsense", "message.received"),
    ],
)
def test_what_a_provider_has_no_word_for_stays_inside(body: Any, name: str) -> None:
    assert SMS.build(event(body, name), NOW) is None


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, PostOutcome.TAKEN),
        (202, PostOutcome.TAKEN),
        (204, PostOutcome.TAKEN),
        (400, PostOutcome.RETRY),
        (404, PostOutcome.RETRY),
        (500, PostOutcome.RETRY),
        (302, PostOutcome.RETRY),
        (410, PostOutcome.GONE),
    ],
)
def test_any_2xx_is_taken_even_without_a_body(status: int, outcome: PostOutcome) -> None:
    assert SMS.parse(HttpAnswer(status, {}, b"", complete=True), NOW).outcome is outcome
    page = HttpAnswer(status, {"content-type": "text/html"}, b"<html>", complete=True)
    assert SMS.parse(page, NOW).outcome is outcome


def test_the_key_in_the_address_is_in_no_word_about_it() -> None:
    key = URL.rpartition("/")[2]
    told = [
        SMS.parse(TransportFailure(kind, False, "connection reset"), NOW).explanation for kind in FailureKind
    ]
    request = SMS.build(event(RECEIVED), NOW)
    assert key not in repr([event(RECEIVED), request, *told])

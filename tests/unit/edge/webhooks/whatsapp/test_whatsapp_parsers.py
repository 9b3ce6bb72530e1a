"""What no single sample body shows: whose an element is, and what survives of a bad batch."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from edge.webhooks.whatsapp.model import (
    ChatKind,
    InboundMessage,
    InstanceState,
    InstanceStateChange,
    MessageKind,
    NotJson,
    PersonRef,
    Receipt,
    ReceiptKind,
)
from edge.webhooks.whatsapp.registry import PARSERS, parse

NUMBER_ID = "55501234567890"


def cloud_message(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "from": "966501112233",
        "id": f"wamid.{number}",
        "timestamp": "1788000000",
        "type": "text",
        "text": {"body": f"number {number}"},
        **fields,
    }


def cloud_body(messages: list[Any], number_id: str = NUMBER_ID) -> bytes:
    value = {"metadata": {"phone_number_id": number_id}, "messages": messages}
    return json.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]}).encode()


def evolution_body(instance: object, data: object = None) -> bytes:
    key = {"remoteJid": "966501112233@s.whatsapp.net", "fromMe": False, "id": "AC1"}
    data = data or {"key": key, "message": {"conversation": "hi"}, "messageTimestamp": 1788000000}
    return json.dumps({"event": "messages.upsert", "instance": instance, "data": data}).encode()


def waha_body(session: object) -> bytes:
    payload = {"id": "false_966501112233@c.us_3EB0", "timestamp": 1788000000, "body": "hi"}
    return json.dumps({"event": "message", "session": session, "payload": payload}).encode()


BODIES = {"evolution": evolution_body, "cloud_api": lambda name: cloud_body([cloud_message(1)], name)}
BODIES["waha"] = waha_body


@pytest.mark.parametrize("backend", sorted(BODIES))
@pytest.mark.parametrize(
    ("named", "external_name", "taken"),
    [
        ("front-desk", "front-desk", True),
        ("Front-Desk", "front-desk", True),
        ("front-desk ", " front-desk", True),
        ("front-desk", "", True),
        ("", "front-desk", True),
        (None, "front-desk", True),
        ("front-desk-2", "front-desk", False),
        (12345, "12345", True),
    ],
)
def test_only_the_instance_that_is_named_takes_an_element(
    backend: str, named: object, external_name: str, taken: bool
) -> None:
    if backend != "cloud_api" and isinstance(named, int):
        named = str(named)
    delivery = parse(backend, BODIES[backend](named), external_name)
    assert len(delivery.events) == int(taken)
    assert len(delivery.unparsed) == int(not taken)
    assert not taken or not delivery.unparsed
    assert taken or "another" in delivery.unparsed[0]


def test_every_broken_element_of_a_batch_is_named_and_the_others_are_kept() -> None:
    broken: list[Any] = [None, 3, "text", [], {}, {"id": 5.5}, cloud_message(9, **{"from": "none"})]
    mixed = [element for number, bad in enumerate(broken) for element in (cloud_message(number), bad)]
    delivery = parse("cloud_api", cloud_body(mixed), NUMBER_ID)
    kept = [event.event for event in delivery.events]
    assert [event.text for event in kept if isinstance(event, InboundMessage)] == [
        f"number {number}" for number in range(len(broken))
    ]
    assert len(delivery.unparsed) == len(broken)
    assert delivery.unparsed[0].startswith("Entry 1, change 1, message 2: ")


def test_many_broken_elements_are_counted_rather_than_named() -> None:
    delivery = parse("cloud_api", cloud_body([{}] * 5_000), NUMBER_ID)
    assert len(delivery.unparsed) == 101
    assert delivery.unparsed[-1] == "4900 more elements could not be parsed."


def test_a_bug_in_one_element_loses_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(part: object, _: object) -> None:
        raise ZeroDivisionError("secret text")

    monkeypatch.setitem(
        __import__("edge.webhooks.whatsapp.cloud_content", fromlist=["x"])._READERS, "image", explode
    )
    batch = [cloud_message(1), cloud_message(2, type="image", image={"id": "1"}), cloud_message(3)]
    delivery = parse("cloud_api", cloud_body(batch), NUMBER_ID)
    assert len(delivery.events) == 2
    assert delivery.unparsed == (
        "Entry 1, change 1, message 2: has an unexpected shape (ZeroDivisionError).",
    )


@pytest.mark.parametrize("backend", sorted(PARSERS))
@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b'"x"', b"true", b"1.5"])
def test_json_that_is_no_object_is_named(backend: str, raw: bytes) -> None:
    assert parse(backend, raw, "x").unparsed == ("The body is not an object.",)


@pytest.mark.parametrize("backend", sorted(PARSERS))
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nope",
        b'{"a":1,}',
        b'{"a":"\xff"}',
        '{"a":"é"}'.encode("latin-1"),
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\x00"}',
        b'{"event":"message","data":' + b"[" * 201 + b"]" * 201 + b"}",
        b"[" * 2_000_000,
        b'{"a":' * 100_000,
        b"{}x",
    ],
    ids=range(12),
)
def test_what_is_not_json_is_refused_whole(backend: str, raw: bytes) -> None:
    with pytest.raises(NotJson) as refused:
        parse(backend, raw, "x")
    assert str(refused.value).startswith("The body ")
    # What JSON's own errors carry along quotes the body.
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize("backend", sorted(PARSERS))
def test_an_empty_object_holds_nothing(backend: str) -> None:
    assert parse(backend, b"{}", "x").events == ()


def test_an_unknown_back_end_has_no_parser() -> None:
    with pytest.raises(KeyError):
        parse("carrier_pigeon", b"{}", "x")


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (1788000000, datetime(2026, 8, 29, 10, 40, tzinfo=UTC)),
        ("1788000000", datetime(2026, 8, 29, 10, 40, tzinfo=UTC)),
        (1788000000.5, datetime(2026, 8, 29, 10, 40, 0, 500_000, tzinfo=UTC)),
        (1788000000500, datetime(2026, 8, 29, 10, 40, 0, 500_000, tzinfo=UTC)),
        ({"low": 1788000000, "high": 0, "unsigned": True}, datetime(2026, 8, 29, 10, 40, tzinfo=UTC)),
        (0, None),
        (-5, None),
        (True, None),
        ("soon", None),
        (None, None),
        (10**18, None),
        (10**40, None),
        ([1788000000], None),
        ({"low": "1", "high": 0}, None),
    ],
)
def test_provider_time_is_read_in_every_form_and_never_invented(timestamp: object, expected: object) -> None:
    key = {"remoteJid": "966501112233@s.whatsapp.net", "id": "AC1"}
    data = {"key": key, "message": {"conversation": "hi"}, "messageTimestamp": timestamp}
    assert parse("evolution", evolution_body("x", data), "x").events[0].provider_time == expected


def test_text_is_cut_and_cleaned() -> None:
    said = "a\x00b\ud83d" + "c" * 100_000
    delivery = parse("cloud_api", cloud_body([cloud_message(1, text={"body": said})]), NUMBER_ID)
    event = delivery.events[0].event
    assert isinstance(event, InboundMessage)
    assert event.text == "a\ufffdb\ufffd" + "c" * (65_536 - 4)


def test_surrogate_pairs_survive() -> None:
    delivery = parse("cloud_api", cloud_body([cloud_message(1, text={"body": "خصم 🙏"})]), NUMBER_ID)
    event = delivery.events[0].event
    assert isinstance(event, InboundMessage)
    assert event.text == "خصم 🙏"


def test_a_long_id_makes_a_short_key_of_its_own() -> None:
    ids = ["wamid." + "a" * 220 + tail for tail in ("x", "y")]
    delivery = parse(
        "cloud_api", cloud_body([cloud_message(1, id=message_id) for message_id in ids]), NUMBER_ID
    )
    keys = {event.event_key for event in delivery.events}
    assert len(keys) == 2
    assert all(len(key) <= 200 for key in keys)


def test_an_endless_id_is_no_id() -> None:
    delivery = parse("cloud_api", cloud_body([cloud_message(1, id="x" * 300)]), NUMBER_ID)
    assert delivery.unparsed == ("Entry 1, change 1, message 1: has no message id.",)


def test_repeated_state_changes_have_keys_of_their_own() -> None:
    keys = set()
    for date_time in ("2026-08-29T15:40:00.000Z", "2026-08-29T15:41:00.000Z"):
        body = {
            "event": "connection.update",
            "instance": "x",
            "date_time": date_time,
            "data": {"state": "open"},
        }
        keys.add(parse("evolution", json.dumps(body).encode(), "x").events[0].event_key)
    assert len(keys) == 2


def test_the_false_z_of_evolution_is_not_believed() -> None:
    body = {"event": "connection.update", "date_time": "2026-08-29T15:40:00.000Z", "data": {"state": "open"}}
    assert parse("evolution", json.dumps(body).encode(), "x").events[0].provider_time is None


def test_a_full_batch_is_taken_in_order() -> None:
    raw = cloud_body([cloud_message(number) for number in range(1_000)])
    delivery = parse("cloud_api", raw, NUMBER_ID)
    assert [event.event_key for event in delivery.events] == [f"message:wamid.{n}" for n in range(1_000)]


@pytest.mark.parametrize("filling", [b"[]", b"{}", b"0", b'"\\"\\\\"', b"[[[]]]"], ids=range(5))
def test_sixteen_mebibytes_of_elements_are_survived(filling: bytes) -> None:
    count = 16 * 1024 * 1024 // (len(filling) + 1) - 40
    raw = b'{"entry":[{"changes":[{"field":"messages","value":{"messages":['
    raw += b",".join([filling] * count) + b"]}}]}]}"
    delivery = parse("cloud_api", raw, NUMBER_ID)
    assert delivery.events == ()
    assert len(delivery.unparsed) == 102
    assert delivery.unparsed[-1] == "Only the first 100000 elements were read."


@pytest.mark.parametrize("opening", [b'"', b'"\\', b'\\"', b'["', b"[\\"])
def test_broken_strings_are_refused_in_good_time(opening: bytes) -> None:
    # A reader that starts anew at every quote would not come back before the test's time is up.
    with pytest.raises(NotJson):
        parse("waha", b"[" * 201 + opening * 2_000_000, "x")


class TestSandbox:
    def test_the_customer_writes(self) -> None:
        raw = json.dumps(
            {"from": "+966 50 111 2233", "text": "hi", "message_id": "sbx_1", "timestamp": 1788000000}
        )
        event = parse("sandbox", raw.encode(), "any").events[0]
        assert event.event == InboundMessage("sbx_1", MessageKind.TEXT, "hi")
        assert event.person == PersonRef(phone="+966501112233")
        assert event.provider_time == datetime(2026, 8, 29, 10, 40, tzinfo=UTC)
        assert event.chat is ChatKind.DIRECT

    @pytest.mark.parametrize(
        ("written", "person"),
        [
            ("+966501112233", PersonRef(phone="+966501112233")),
            ("966501112233", PersonRef(phone="+966501112233")),
            ("00966501112233", PersonRef(phone="+966501112233")),
            ("+966 (50) 111-2233", PersonRef(phone="+966501112233")),
            ("+٩٦٦٥٠١١١٢٢٣٣", PersonRef(phone="+966501112233")),
            ("77112233@lid", PersonRef(lid="77112233")),
            ("SA.4455", PersonRef(business_scoped_id="SA.4455")),
        ],
    )
    def test_every_way_to_name_a_person(self, written: str, person: PersonRef) -> None:
        raw = json.dumps({"from": written, "text": "hi", "message_id": "sbx_1"}).encode()
        assert parse("sandbox", raw, "").events[0].person == person

    @pytest.mark.parametrize(
        "body",
        [
            {"from": "+966501112233", "text": "hi"},
            {"message_id": "sbx_1", "text": "hi"},
            {"message_id": "sbx_1", "from": "nobody", "text": "hi"},
            {"message_id": "sbx_1", "from": "+966501112233", "chat": "party"},
            {"event": "dance", "message_id": "sbx_1"},
            {"event": "receipt", "message_id": "sbx_1", "receipt": "lost"},
            {"event": "state", "id": "sbx_1", "state": "melted"},
            {"event": "state", "state": "open"},
        ],
    )
    def test_what_cannot_be_used_is_named(self, body: dict[str, str]) -> None:
        delivery = parse("sandbox", json.dumps(body).encode(), "")
        assert delivery.events == ()
        assert delivery.unparsed[0].startswith("Event 1: ")

    def test_receipts_and_states(self) -> None:
        raw = json.dumps(
            {
                "events": [
                    {"event": "receipt", "message_id": "sbx_2", "receipt": "failed", "error_code": "E1"},
                    {"event": "state", "id": "sbx_3", "state": "close", "reason": "logged_out"},
                    7,
                ]
            }
        ).encode()
        delivery = parse("sandbox", raw, "")
        assert [event.event for event in delivery.events] == [
            Receipt("sbx_2", ReceiptKind.FAILED, error_code="E1"),
            InstanceStateChange(InstanceState.CLOSE, "logged_out"),
        ]
        assert len(delivery.unparsed) == 1

    def test_a_tap_is_a_tap(self) -> None:
        raw = b'{"from":"+966501112233","message_id":"1","text":"Stop","is_button_reply":true,"chat":"group"}'
        event = parse("sandbox", raw, "").events[0]
        assert event.event == InboundMessage("1", MessageKind.INTERACTIVE, "Stop", is_button_reply=True)
        assert event.chat is ChatKind.GROUP

"""How back ends are asked for a chat, and what is read from what they show."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sender.backends.chats import AT_ONCE
from sender.backends.evolution_chats import CHATS as EVOLUTION
from sender.backends.evolution_chats import chats_of
from sender.backends.registry import BACKENDS
from sender.backends.waha_chats import CHATS as WAHA
from sender.model import (
    Connection,
    FailureKind,
    HttpAnswer,
    LookUp,
    LookUpOutcome,
    Recipient,
    TransportFailure,
    UnaddressableError,
)

SINCE = datetime(2026, 3, 14, 9, 0, 0, 700_000, tzinfo=UTC)
TEXT = "Your ticket is closed."
LINK = Connection("ins_1", "evolution", "https://wa.example.com/x", "acme main", "key")


def wanted(recipient: Recipient | None = None) -> LookUp:
    return LookUp(LINK, recipient or Recipient("+966500000000"), TEXT, SINCE)


def answer(value: Any, status: int = 200, *, complete: bool = True) -> HttpAnswer:
    return HttpAnswer(status, {}, json.dumps(value).encode(), complete)


def evolution_record(**changes: Any) -> dict[str, Any]:
    return {
        "key": {"id": "3EB0A", "fromMe": True, "remoteJid": "966500000000@s.whatsapp.net"},
        "message": {"conversation": TEXT},
        "messageTimestamp": int(SINCE.timestamp()),
        "source": "web",
        "MessageUpdate": [],
        **changes,
    }


def waha_record(**changes: Any) -> dict[str, Any]:
    return {
        "id": "true_966500000000@c.us_3EB0A",
        "timestamp": int(SINCE.timestamp()),
        "fromMe": True,
        "source": "api",
        "body": TEXT,
        "ack": 1,
        **changes,
    }


def evolution_shows(*records: Any) -> HttpAnswer:
    return answer({"messages": {"total": len(records), "pages": 1, "currentPage": 1, "records": records}})


def test_evolution_is_asked_for_what_was_sent_in_one_chat() -> None:
    [request] = EVOLUTION.build(wanted())
    assert (request.method, request.url) == (
        "POST",
        "https://wa.example.com/x/chat/findMessages/acme%20main",
    )
    body = json.loads(request.body)
    assert body["where"]["key"] == {"remoteJid": "966500000000@s.whatsapp.net", "fromMe": True}
    times = body["where"]["messageTimestamp"]
    assert times["gte"] == "2026-03-14T09:00:00Z" and times["lte"] > times["gte"]


@pytest.mark.parametrize(
    ("phone", "names"),
    [
        ("+966500000000", ["966500000000"]),
        ("+5511987654321", ["5511987654321", "551187654321"]),
        ("+551187654321", ["551187654321", "5511987654321"]),
        ("+5215512345678", ["5215512345678", "525512345678"]),
        ("+5491123456789", ["5491123456789", "541123456789"]),
    ],
)
def test_evolution_may_keep_a_chat_under_another_spelling(phone: str, names: list[str]) -> None:
    assert chats_of(Recipient(phone)) == [f"{name}@s.whatsapp.net" for name in names]


def test_a_linked_id_is_a_chat_of_its_own() -> None:
    both = Recipient("+966500000000", "12345678901234")
    assert chats_of(both) == ["966500000000@s.whatsapp.net", "12345678901234@lid"]
    assert [urlsplit(request.url).path.split("/")[-2] for request in WAHA.build(wanted(both))] == [
        "966500000000%40c.us",
        "12345678901234%40lid",
    ]
    with pytest.raises(UnaddressableError):
        EVOLUTION.build(wanted(Recipient(business_scoped_id="US.1")))


def test_waha_is_asked_for_what_was_sent_in_one_chat() -> None:
    [request] = WAHA.build(wanted())
    parts = urlsplit(request.url)
    assert (request.method, parts.path) == (
        "GET",
        "/x/api/acme%20main/chats/966500000000%40c.us/messages",
    )
    assert parse_qs(parts.query) == {
        "limit": [str(AT_ONCE)],
        "downloadMedia": ["false"],
        "filter.fromMe": ["true"],
        "filter.timestamp.gte": [str(int(SINCE.timestamp()))],
    }


@pytest.mark.parametrize(
    ("updates", "kind"),
    [
        ([], "accepted"),
        ([{"status": "PENDING"}], "accepted"),
        ([{"status": "SERVER_ACK"}], "sent"),
        ([{"status": "READ"}, {"status": "SERVER_ACK"}], "read"),
        ([{"status": "ERROR"}], "failed"),
        ([{"status": "ERROR"}, {"status": "DELIVERY_ACK"}], "delivered"),
        ([{"status": "NEW_WORD"}, None, 3], "accepted"),
    ],
)
def test_evolution_tells_how_far_a_message_is(updates: list[Any], kind: str) -> None:
    look = EVOLUTION.parse(evolution_shows(evolution_record(MessageUpdate=updates)), wanted())
    assert [(each.external_message_id, each.kind) for each in look.found] == [("3EB0A", kind)]


@pytest.mark.parametrize(
    "changes",
    [
        {"message": {"conversation": TEXT + " "}},
        {"message": None},
        {"key": {"id": "3EB0A", "fromMe": False}},
        {"key": {"fromMe": True}},
        {"source": "android"},
        {"messageTimestamp": int(SINCE.timestamp()) - 1},
        {"messageTimestamp": "soon"},
        {"messageTimestamp": None},
        {"messageTimestamp": 1e300},
    ],
)
def test_what_evolution_shows_beside_it_does_not_count(changes: dict[str, Any]) -> None:
    look = EVOLUTION.parse(evolution_shows(evolution_record(**changes), 7, None), wanted())
    assert (look.outcome, look.found) == (LookUpOutcome.LOOKED, ())


def test_older_shapes_of_evolution_are_read_too() -> None:
    record = evolution_record(
        message={"extendedTextMessage": {"text": TEXT}}, messageTimestamp=str(int(SINCE.timestamp()) + 5)
    )
    look = EVOLUTION.parse(answer([record]), wanted())
    assert [each.sent_at for each in look.found] == [SINCE.replace(microsecond=0) + timedelta(seconds=5)]


@pytest.mark.parametrize(
    ("ack", "kind"),
    [
        (-1, "failed"),
        (0, "accepted"),
        (1, "sent"),
        (2, "delivered"),
        (3, "read"),
        (4, "read"),
        (None, "accepted"),
    ],
)
def test_waha_tells_how_far_a_message_is(ack: int | None, kind: str) -> None:
    look = WAHA.parse(answer([waha_record(ack=ack)]), wanted())
    assert [(each.external_message_id, each.kind) for each in look.found] == [("3EB0A", kind)]


@pytest.mark.parametrize(
    "changes", [{"body": "Other"}, {"fromMe": False}, {"source": "app"}, {"timestamp": 0}, {"id": ""}]
)
def test_what_waha_shows_beside_it_does_not_count(changes: dict[str, Any]) -> None:
    assert WAHA.parse(answer([waha_record(**changes)]), wanted()).found == ()


@pytest.mark.parametrize("chats", [EVOLUTION, WAHA])
def test_a_chat_that_is_not_seen_whole_is_not_seen(chats: Any) -> None:
    crowd = [evolution_record() if chats is EVOLUTION else waha_record()] * AT_ONCE
    unseen = [
        (TransportFailure(FailureKind.TIMED_OUT, bytes_written=True), "timed_out"),
        (answer([], 500), "http_500"),
        (answer([], complete=False), "cut_short"),
        (answer({"surprise": 1}), "unreadable"),
        (answer(crowd), "too_many"),
    ]
    for exchange, reason in unseen:
        look = chats.parse(exchange, wanted())
        assert (look.outcome, look.reason, look.found) == (LookUpOutcome.FAILED, reason, ())


def test_the_other_back_ends_show_no_chats() -> None:
    assert {name for name, backend in BACKENDS.items() if backend.chats is None} == {"cloud_api", "sandbox"}

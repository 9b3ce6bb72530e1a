"""Every row of Evolution's code table is reached by a body of the shape that the vendor sends."""

import json
from typing import Any

import pytest

from sender.backends.evolution import CODES, EVOLUTION
from sender.model import (
    Connection,
    Consequence,
    FailureKind,
    HttpAnswer,
    Outcome,
    Recipient,
    TransportFailure,
)


def envelope(status: int, message: Any) -> dict[str, Any]:
    return {"status": status, "error": "…", "response": {"message": message}}


def answer(status: int, body: Any = None, headers: dict[str, str] | None = None) -> HttpAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, headers or {}, raw)


SENT = {
    "key": {"remoteJid": "966500000000@s.whatsapp.net", "fromMe": True, "id": "3EB0AA"},
    "status": "PENDING",
}
ABSENT = [{"jid": "966500000000@s.whatsapp.net", "exists": False, "number": "966500000000"}]
PRISMA = ["PrismaClientKnownRequestError: \nInvalid `this.prismaRepository.message.create()` invocation"]
UNLOADED = "Cannot read properties of undefined (reading 'textMessage')"

CASES: list[tuple[HttpAnswer, str, Outcome, Consequence]] = [
    (answer(201, SENT), "evolution_accepted", Outcome.ACCEPTED, Consequence.NONE),
    (answer(200, SENT), "evolution_accepted", Outcome.ACCEPTED, Consequence.NONE),
    (answer(201, b""), "evolution_no_message_id", Outcome.UNKNOWN, Consequence.NONE),
    (answer(201, {"key": {"id": 7}}), "evolution_no_message_id", Outcome.UNKNOWN, Consequence.NONE),
    (answer(201, {"key": None}), "evolution_no_message_id", Outcome.UNKNOWN, Consequence.NONE),
    (
        answer(400, envelope(400, [['instance requires property "text"']])),
        "evolution_request_refused",
        Outcome.REJECTED,
        Consequence.NONE,
    ),
    (
        answer(400, envelope(400, ABSENT)),
        "evolution_not_on_whatsapp",
        Outcome.REJECTED,
        Consequence.NOT_ON_WHATSAPP,
    ),
    (answer(400, envelope(400, PRISMA)), "evolution_sent_unconfirmed", Outcome.UNKNOWN, Consequence.NONE),
    (answer(400, envelope(400, PRISMA[0])), "evolution_sent_unconfirmed", Outcome.UNKNOWN, Consequence.NONE),
    (
        answer(400, envelope(400, ["Error: Connection Closed"])),
        "evolution_failed_while_sending",
        Outcome.UNKNOWN,
        Consequence.NONE,
    ),
    (
        answer(400, envelope(400, ["SessionError: No sessions"])),
        "evolution_failed_while_sending",
        Outcome.UNKNOWN,
        Consequence.NONE,
    ),
    (answer(400, b"<html>"), "evolution_failed_while_sending", Outcome.UNKNOWN, Consequence.NONE),
    (
        answer(500, envelope(500, "Connection Closed")),
        "evolution_connection_closed",
        Outcome.REJECTED,
        Consequence.INSTANCE_CLOSED,
    ),
    (
        answer(500, envelope(500, ["Connection Closed"])),
        "evolution_connection_closed",
        Outcome.REJECTED,
        Consequence.INSTANCE_CLOSED,
    ),
    (
        answer(500, envelope(500, UNLOADED)),
        "evolution_instance_not_loaded",
        Outcome.REJECTED,
        Consequence.INSTANCE_CLOSED,
    ),
    (
        answer(404, envelope(404, ['The "acme-main" instance does not exist'])),
        "evolution_instance_missing",
        Outcome.REJECTED,
        Consequence.PAUSE_INSTANCE,
    ),
    (
        answer(404, envelope(404, ["Cannot POST /message/sendTxt/acme-main"])),
        "evolution_route_missing",
        Outcome.REJECTED,
        Consequence.NONE,
    ),
    (answer(404, b"not found"), "evolution_refused", Outcome.REJECTED, Consequence.NONE),
    (
        answer(401, envelope(401, "Unauthorized")),
        "evolution_unauthorized",
        Outcome.REJECTED,
        Consequence.PAUSE_INSTANCE,
    ),
    (answer(403, b""), "evolution_forbidden", Outcome.REJECTED, Consequence.NONE),
    (answer(429, b""), "evolution_rate_limited", Outcome.REJECTED, Consequence.SLOW_INSTANCE),
    (answer(302, b""), "evolution_redirected", Outcome.REJECTED, Consequence.NONE),
    (answer(413, b""), "evolution_refused", Outcome.REJECTED, Consequence.NONE),
    (answer(502, b"<html>bad gateway"), "evolution_server_failed", Outcome.UNKNOWN, Consequence.NONE),
    (
        answer(500, envelope(500, "TypeError: x")),
        "evolution_server_failed",
        Outcome.UNKNOWN,
        Consequence.NONE,
    ),
    (
        HttpAnswer(201, {}, json.dumps(SENT).encode(), complete=False),
        "evolution_answer_cut_short",
        Outcome.UNKNOWN,
        Consequence.NONE,
    ),
]


@pytest.mark.parametrize(("given", "code", "outcome", "consequence"), CASES)
def test_what_an_answer_means(
    given: HttpAnswer, code: str, outcome: Outcome, consequence: Consequence
) -> None:
    found = EVOLUTION.parse(given)
    assert (found.code, found.outcome, found.consequence) == (code, outcome, consequence)
    assert found.http_status == given.status


def test_every_row_is_reached_and_has_a_public_source() -> None:
    assert {code for _, code, _, _ in CASES} == set(CODES)
    assert all(row.source.startswith("https://") for row in CODES.values())


def test_the_message_id_is_the_keys_id() -> None:
    assert EVOLUTION.parse(answer(201, SENT)).external_message_id == "3EB0AA"


@pytest.mark.parametrize(
    ("graph_code", "outcome", "consequence"),
    [
        (131030, Outcome.REJECTED, Consequence.NONE),
        (131047, Outcome.REJECTED, Consequence.CLOSE_WINDOW),
        (190, Outcome.REJECTED, Consequence.PAUSE_INSTANCE),
        (131000, Outcome.UNKNOWN, Consequence.NONE),
    ],
)
def test_a_success_that_carries_a_graph_error(
    graph_code: int, outcome: Outcome, consequence: Consequence
) -> None:
    body = {"message": f"(#{graph_code}) no", "type": "OAuthException", "code": graph_code}
    found = EVOLUTION.parse(answer(201, body))
    assert (found.outcome, found.consequence) == (outcome, consequence)
    assert found.code == f"evolution_graph_{graph_code}"


def test_a_wait_that_is_asked_for_is_handed_on() -> None:
    assert EVOLUTION.parse(answer(429, b"", {"retry-after": "7"})).retry_after_seconds == 7.0


def test_explanations_hold_no_phone_number() -> None:
    words = ["Error: no session for 966512345678@s.whatsapp.net"]
    found = EVOLUTION.parse(answer(400, envelope(400, words)))
    assert "966512345678" not in found.explanation
    assert "no session" in found.explanation


def connection(base_url: str = "https://evo.example.com/", name: str = "acme main/1") -> Connection:
    return Connection("ins_1", "evolution", base_url, name, "key")


def test_a_phone_goes_out_as_digits_and_the_name_is_quoted() -> None:
    request = EVOLUTION.build(connection(), Recipient(phone="+966500000000"), "مرحبا\n", "msg_1")
    assert request.method == "POST"
    assert request.url == "https://evo.example.com/message/sendText/acme%20main%2F1"
    assert request.headers["apikey"] == "key"
    assert json.loads(request.body) == {"number": "966500000000", "text": "مرحبا\n"}


def test_a_linked_id_keeps_its_suffix() -> None:
    request = EVOLUTION.build(connection(), Recipient(lid="123456789012345"), "x", "")
    assert json.loads(request.body)["number"] == "123456789012345@lid"


def test_the_phone_goes_before_the_linked_id() -> None:
    request = EVOLUTION.build(connection(), Recipient(phone="+966500000000", lid="123456789012345"), "x", "")
    assert json.loads(request.body)["number"] == "966500000000"


@pytest.mark.parametrize(
    ("body", "state", "reason"),
    [
        (answer(200, {"instance": {"instanceName": "x", "state": "open"}}), "open", "reported"),
        (answer(200, {"instance": {"instanceName": "x", "state": "connecting"}}), "connecting", "reported"),
        (answer(200, {"instance": {"instanceName": "x", "state": "close"}}), "close", "reported"),
        (answer(200, {"instance": {"instanceName": "x", "state": "refused"}}), "close", "reported"),
        (answer(200, {"instance": {"instanceName": "x"}}), "close", "not_loaded"),
        (answer(401, envelope(401, "Unauthorized")), "close", "credentials_refused"),
        (answer(404, envelope(404, ['The "x" instance does not exist'])), "close", "instance_missing"),
        (answer(404, envelope(404, ["Cannot GET /instance"])), "", "http_404"),
        (answer(200, b"<html>"), "", "http_200"),
        (answer(503, b""), "", "http_503"),
        (TransportFailure(FailureKind.CONNECT_REFUSED, False), "", "connect_refused"),
    ],
)
def test_states(body: HttpAnswer | TransportFailure, state: str, reason: str) -> None:
    found = EVOLUTION.parse_probe(body)
    assert (found.state, found.reason) == (state, reason)
    assert bool(found.error_text) == (state == "")


def test_the_state_is_asked_without_a_body() -> None:
    request = EVOLUTION.build_probe(connection("https://evo.example.com", "acme"))
    assert (request.method, request.url) == ("GET", "https://evo.example.com/instance/connectionState/acme")
    assert request.body == b""

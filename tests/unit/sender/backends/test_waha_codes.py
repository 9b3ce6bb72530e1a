"""Every row of WAHA's code table is reached by a body of the shape that the vendor sends."""

import json
from typing import Any

import pytest

from sender.backends.waha import CODES, WAHA
from sender.model import (
    Connection,
    Consequence,
    FailureKind,
    HttpAnswer,
    Outcome,
    Recipient,
    TransportFailure,
    UnaddressableError,
)


def answer(status: int, body: Any = None, headers: dict[str, str] | None = None) -> HttpAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, headers or {}, raw)


def exception(words: str) -> dict[str, Any]:
    return {"statusCode": 500, "exception": {"message": words, "code": 2, "name": "Error"}}


ID = "true_966500000000@c.us_3EB0FF"
NOT_WORKING = {
    "error": "Session status is not as expected",
    "status": "SCAN_QR_CODE",
    "expected": ["WORKING"],
}

CASES: list[tuple[HttpAnswer, str, Outcome, Consequence]] = [
    (answer(201, {"id": ID}), "waha_accepted", Outcome.ACCEPTED, Consequence.NONE),
    (answer(201, b""), "waha_accepted_without_id", Outcome.ACCEPTED, Consequence.NONE),
    (answer(201, {}), "waha_accepted_without_id", Outcome.ACCEPTED, Consequence.NONE),
    (answer(201, b"<html>"), "waha_unreadable_answer", Outcome.UNKNOWN, Consequence.NONE),
    (answer(200, b"[1]"), "waha_unreadable_answer", Outcome.UNKNOWN, Consequence.NONE),
    (answer(400, {"message": ["chatId"]}), "waha_bad_request", Outcome.REJECTED, Consequence.NONE),
    (
        answer(401, {"message": "Unauthorized"}),
        "waha_unauthorized",
        Outcome.REJECTED,
        Consequence.PAUSE_INSTANCE,
    ),
    (
        answer(404, {"message": 'Session "x" does not exist', "statusCode": 404}),
        "waha_session_missing",
        Outcome.REJECTED,
        Consequence.PAUSE_INSTANCE,
    ),
    (
        answer(404, {"message": "Cannot POST /x/api/sendText"}),
        "waha_route_missing",
        Outcome.REJECTED,
        Consequence.NONE,
    ),
    (answer(422, NOT_WORKING), "waha_session_not_working", Outcome.REJECTED, Consequence.INSTANCE_CLOSED),
    (
        answer(422, {"message": "not supported by engine"}),
        "waha_not_supported",
        Outcome.REJECTED,
        Consequence.NONE,
    ),
    (
        answer(500, exception("2 UNKNOWN: no LID found for 966500000000@s.whatsapp.net from server")),
        "waha_not_on_whatsapp",
        Outcome.REJECTED,
        Consequence.NOT_ON_WHATSAPP,
    ),
    (
        answer(500, exception("2 UNKNOWN: server returned error 463")),
        "waha_reach_out_lock",
        Outcome.REJECTED,
        Consequence.REPLIES_ONLY,
    ),
    (answer(500, exception("timeout")), "waha_server_failed", Outcome.UNKNOWN, Consequence.NONE),
    (answer(502, b"<html>"), "waha_server_failed", Outcome.UNKNOWN, Consequence.NONE),
    (answer(429, b""), "waha_rate_limited", Outcome.REJECTED, Consequence.SLOW_INSTANCE),
    (answer(307, b""), "waha_redirected", Outcome.REJECTED, Consequence.NONE),
    (answer(413, b""), "waha_refused", Outcome.REJECTED, Consequence.NONE),
    (HttpAnswer(201, {}, b"{", complete=False), "waha_answer_cut_short", Outcome.UNKNOWN, Consequence.NONE),
]


@pytest.mark.parametrize(("given", "code", "outcome", "consequence"), CASES)
def test_what_an_answer_means(
    given: HttpAnswer, code: str, outcome: Outcome, consequence: Consequence
) -> None:
    found = WAHA.parse(given)
    assert (found.code, found.outcome, found.consequence) == (code, outcome, consequence)


def test_every_row_is_reached_and_has_a_public_source() -> None:
    assert {code for _, code, _, _ in CASES} == set(CODES)
    assert all(row.source.startswith("https://") for row in CODES.values())


@pytest.mark.parametrize(
    ("body", "message_id"),
    [
        ({"id": ID}, "3EB0FF"),
        ({"id": "true_123@lid_3EB0FF_456@c.us"}, "3EB0FF"),
        ({"id": "3EB0FF"}, "3EB0FF"),
        ({"id": {"fromMe": True, "id": "3EB0FF", "_serialized": ID}}, "3EB0FF"),
        ({"key": {"id": "3EB0FF", "fromMe": True}, "status": "PENDING"}, "3EB0FF"),
    ],
)
def test_the_id_in_every_engines_shape(body: dict[str, Any], message_id: str) -> None:
    assert WAHA.parse(answer(201, body)).external_message_id == message_id


def connection(session: str = "default") -> Connection:
    return Connection("ins_1", "waha", "http://waha.example.com:3000", session, "key")


@pytest.mark.parametrize(
    ("recipient", "chat"),
    [
        (Recipient(phone="+966500000000"), "966500000000@c.us"),
        (Recipient(lid="123456789012345"), "123456789012345@lid"),
    ],
)
def test_requests(recipient: Recipient, chat: str) -> None:
    request = WAHA.build(connection(), recipient, "hi", "msg_1")
    assert request.url == "http://waha.example.com:3000/api/sendText"
    assert request.headers["X-Api-Key"] == "key"
    assert json.loads(request.body) == {"session": "default", "chatId": chat, "text": "hi"}


def test_a_session_without_a_name_cannot_be_asked() -> None:
    with pytest.raises(UnaddressableError):
        WAHA.build(connection(""), Recipient(phone="+966500000000"), "hi", "")
    with pytest.raises(UnaddressableError):
        WAHA.build_probe(connection(""))


@pytest.mark.parametrize(
    ("given", "state", "reason"),
    [
        (answer(200, {"status": "WORKING"}), "open", "working"),
        (
            answer(200, {"status": "WORKING", "me": {"reachoutTimelock": {"isActive": True}}}),
            "open",
            "reach_out_lock",
        ),
        (
            answer(200, {"status": "WORKING", "me": {"reachoutTimelock": {"isActive": False}}}),
            "open",
            "working",
        ),
        (answer(200, {"status": "STARTING"}), "connecting", "starting"),
        (answer(200, {"status": "SCAN_QR_CODE", "me": None}), "connecting", "scan_qr_code"),
        (answer(200, {"status": "PASSKEY_REQUIRED"}), "connecting", "passkey_required"),
        (answer(200, {"status": "STOPPED"}), "close", "stopped"),
        (answer(200, {"status": "FAILED"}), "close", "failed"),
        (answer(200, {"status": "NEW_WORD"}), "close", "new_word"),
        (answer(401, b""), "close", "credentials_refused"),
        (answer(404, {"message": "Session not found"}), "close", "session_missing"),
        (answer(404, {"message": "Cannot GET /api"}), "", "http_404"),
        (answer(500, b""), "", "http_500"),
        (TransportFailure(FailureKind.DNS_FAILED, False), "", "dns_failed"),
    ],
)
def test_states(given: HttpAnswer | TransportFailure, state: str, reason: str) -> None:
    found = WAHA.parse_probe(given)
    assert (found.state, found.reason) == (state, reason)

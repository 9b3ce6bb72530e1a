"""Every code of the Cloud API's table, and answers that carry none."""

import json
from typing import Any

import pytest

from sender.backends.cloud_api import CLOUD_API
from sender.backends.cloud_codes import CODES, GRAPH
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


def failure(code: object, **more: Any) -> dict[str, Any]:
    return {"error": {"message": f"(#{code}) …", "code": code, "error_data": {"details": "why"}, **more}}


# Who must look at the instance, by the vendor's table: credentials, restriction, registration, payment.
PAUSES = {0, 3, 10, 33, 190, 200, 368, 131005, 131031, 131037, 131042, 131045, 131048, 133010, 133016}
SLOWS = {4, 80007, 130429, 131057}
UNKNOWNS = {1, 2, 131000, 131016, 133004}
OTHERS = {
    131026: Consequence.NOT_ON_WHATSAPP,
    131047: Consequence.CLOSE_WINDOW,
    131050: Consequence.STOP_MARKETING,
    131056: Consequence.HOLD_PAIR,
    130403: Consequence.SUPPRESS_PERSON,
    137000: Consequence.HOLD_PAIR,
}
PLAIN = {
    100,
    130472,
    130497,
    131008,
    131009,
    131021,
    131030,
    131049,
    131051,
    131053,
    131062,
    131063,
    131064,
    132000,
    132001,
    132005,
    132007,
    132008,
    132012,
    132015,
    132016,
    132018,
    132068,
    132069,
    134011,
    135000,
}


def expected(code: int) -> tuple[Outcome, Consequence]:
    if code in UNKNOWNS:
        return Outcome.UNKNOWN, Consequence.NONE
    if code in PAUSES:
        return Outcome.REJECTED, Consequence.PAUSE_INSTANCE
    if code in SLOWS:
        return Outcome.REJECTED, Consequence.SLOW_INSTANCE
    return Outcome.REJECTED, OTHERS.get(code, Consequence.NONE)


def test_the_table_holds_exactly_these_codes() -> None:
    assert set(GRAPH) == PAUSES | SLOWS | UNKNOWNS | set(OTHERS) | PLAIN


@pytest.mark.parametrize("code", sorted(GRAPH))
@pytest.mark.parametrize("status", [400, 500])
def test_a_known_code_means_the_same_under_any_status(code: int, status: int) -> None:
    found = CLOUD_API.parse(answer(status, failure(code)))
    assert (found.outcome, found.consequence) == expected(code)
    assert found.code == f"cloud_{code}"
    assert found.explanation.endswith("(why)")


@pytest.mark.parametrize("code", [201, 250, 299])
def test_two_hundreds_are_permissions(code: int) -> None:
    found = CLOUD_API.parse(answer(403, failure(code)))
    assert (found.code, found.consequence) == (f"cloud_{code}", Consequence.PAUSE_INSTANCE)


@pytest.mark.parametrize(
    ("given", "code", "outcome", "consequence"),
    [
        (
            answer(200, {"messages": [{"id": "wamid.A"}]}),
            "cloud_accepted",
            Outcome.ACCEPTED,
            Consequence.NONE,
        ),
        (answer(200, {"messages": []}), "cloud_no_message_id", Outcome.UNKNOWN, Consequence.NONE),
        (answer(200, {"messages": [{}]}), "cloud_no_message_id", Outcome.UNKNOWN, Consequence.NONE),
        (answer(200, b""), "cloud_no_message_id", Outcome.UNKNOWN, Consequence.NONE),
        (answer(400, failure(999_001)), "cloud_999001", Outcome.REJECTED, Consequence.NONE),
        (answer(400, failure(999_001, is_transient=True)), "cloud_999001", Outcome.UNKNOWN, Consequence.NONE),
        (answer(503, failure(999_001)), "cloud_999001", Outcome.UNKNOWN, Consequence.NONE),
        (answer(400, failure(10**30)), "cloud_other", Outcome.REJECTED, Consequence.NONE),
        (answer(400, failure("190")), "cloud_refused", Outcome.REJECTED, Consequence.NONE),
        (answer(400, b"<html>"), "cloud_refused", Outcome.REJECTED, Consequence.NONE),
        (answer(401, b""), "cloud_unauthorized", Outcome.REJECTED, Consequence.PAUSE_INSTANCE),
        (answer(403, b""), "cloud_unauthorized", Outcome.REJECTED, Consequence.PAUSE_INSTANCE),
        (answer(429, b""), "cloud_rate_limited", Outcome.REJECTED, Consequence.SLOW_INSTANCE),
        (answer(301, b""), "cloud_redirected", Outcome.REJECTED, Consequence.NONE),
        (answer(502, b""), "cloud_server_failed", Outcome.UNKNOWN, Consequence.NONE),
        (
            HttpAnswer(200, {}, b"{", complete=False),
            "cloud_answer_cut_short",
            Outcome.UNKNOWN,
            Consequence.NONE,
        ),
    ],
)
def test_answers_without_a_known_code(
    given: HttpAnswer, code: str, outcome: Outcome, consequence: Consequence
) -> None:
    found = CLOUD_API.parse(given)
    assert (found.code, found.outcome, found.consequence) == (code, outcome, consequence)


def test_every_row_has_a_public_source() -> None:
    assert all(row.source.startswith("https://") for row in [*CODES.values(), *GRAPH.values()])


def test_waits() -> None:
    assert CLOUD_API.parse(answer(400, failure(131056))).retry_after_seconds == 6.0
    assert CLOUD_API.parse(answer(400, failure(131057))).retry_after_seconds == 300.0
    assert CLOUD_API.parse(answer(429, failure(4), {"retry-after": "90"})).retry_after_seconds == 90.0
    assert CLOUD_API.parse(answer(400, failure(100))).retry_after_seconds is None


def connection(base_url: str = "") -> Connection:
    return Connection("ins_1", "cloud_api", base_url, "106540352242922", "token")


def test_a_phone_keeps_its_plus_and_the_correlation_id_is_echoed() -> None:
    request = CLOUD_API.build(connection(), Recipient(phone="+966500000000"), "hi", "msg_1")
    assert request.url == "https://graph.facebook.com/v25.0/106540352242922/messages"
    assert request.headers["Authorization"] == "Bearer token"
    body = json.loads(request.body)
    assert body["to"] == "+966500000000"
    assert body["biz_opaque_callback_data"] == "msg_1"
    assert (body["messaging_product"], body["type"], body["text"]["body"]) == ("whatsapp", "text", "hi")
    assert "recipient" not in body


@pytest.mark.parametrize(
    "base_url", ["https://graph.facebook.com/v23.0", "https://graph.facebook.com/v23.0/"]
)
def test_a_version_in_the_base_url_stays(base_url: str) -> None:
    request = CLOUD_API.build(connection(base_url), Recipient(phone="+966500000000"), "hi", "")
    assert request.url == "https://graph.facebook.com/v23.0/106540352242922/messages"
    assert "biz_opaque_callback_data" not in json.loads(request.body)


@pytest.mark.parametrize("scoped_id", ["US.13491208655302741918", "US.ENT.11815799212886844830"])
def test_a_business_scoped_id_goes_out_as_recipient(scoped_id: str) -> None:
    request = CLOUD_API.build(connection(), Recipient(business_scoped_id=scoped_id), "hi", "")
    body = json.loads(request.body)
    assert body["recipient"] == scoped_id
    assert "to" not in body


@pytest.mark.parametrize(
    "recipient", [Recipient(), Recipient(lid="12345678"), Recipient(business_scoped_id="x")]
)
def test_people_that_cannot_be_addressed(recipient: Recipient) -> None:
    with pytest.raises(UnaddressableError):
        CLOUD_API.build(connection(), recipient, "hi", "")


@pytest.mark.parametrize(
    ("given", "state", "reason"),
    [
        ({"status": "CONNECTED", "health_status": {"can_send_message": "AVAILABLE"}}, "open", "connected"),
        ({"status": "CONNECTED"}, "open", "connected"),
        ({"status": "CONNECTED", "health_status": {"can_send_message": "LIMITED"}}, "open", "limited"),
        ({"status": "CONNECTED", "health_status": {"can_send_message": "BLOCKED"}}, "close", "blocked"),
        ({"status": "FLAGGED"}, "open", "flagged"),
        ({"status": "RESTRICTED"}, "open", "restricted"),
        ({"status": "PENDING"}, "connecting", "pending"),
        ({"status": "BANNED"}, "close", "banned"),
        ({"status": "DISCONNECTED"}, "close", "disconnected"),
        (failure(190), "close", "cloud_190"),
        (failure(33), "close", "cloud_33"),
        (failure(4), "", "http_200"),
        ({}, "", "http_200"),
    ],
)
def test_states(given: dict[str, Any], state: str, reason: str) -> None:
    found = CLOUD_API.parse_probe(answer(200, given))
    assert (found.state, found.reason) == (state, reason)


def test_a_state_that_could_not_be_asked() -> None:
    found = CLOUD_API.parse_probe(TransportFailure(FailureKind.TIMED_OUT, True))
    assert (found.state, found.reason) == ("", "timed_out")
    assert found.error_text

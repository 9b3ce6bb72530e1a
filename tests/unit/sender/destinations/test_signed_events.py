"""Events as they are posted: headers, signature, and what answers mean."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from sender.destinations.registry import DESTINATIONS
from sender.destinations.signed_event import Event, signature
from sender.model import FailureKind, HttpAnswer, PostOutcome, TransportFailure

NOW = datetime(2026, 5, 8, 10, 0, 0, 900_000, tzinfo=UTC)
EVENT = Event("dlv_1", "https://pbx.example.com/in", "message.received", b'{"event":"test"}', "test_secret")
SIGNED_KINDS = ["threecx_json", "customer_webhook"]


def test_the_published_check_value() -> None:
    assert signature("test_secret", "2026-05-08T10:00:00Z", b'{"event_type":"test"}') == (
        "sha256=02b547b44da185fdbd3f8381157822e0435b689883aed51627e4f8cb5eedfc47"
    )


@pytest.mark.parametrize("kind", SIGNED_KINDS)
def test_headers_and_body(kind: str) -> None:
    request = DESTINATIONS[kind].build(EVENT, NOW.astimezone(timezone(timedelta(hours=3))))
    assert request is not None
    assert (request.method, request.url, request.body) == ("POST", EVENT.url, EVENT.body)
    assert request.headers["X-WhatsApp-Gateway-Event"] == "message.received"
    assert request.headers["X-WhatsApp-Gateway-Delivery"] == "dlv_1"
    stamp = request.headers["X-WhatsApp-Gateway-Timestamp"]
    assert stamp == "2026-05-08T10:00:00Z"
    assert request.headers["X-WhatsApp-Gateway-Signature"] == signature("test_secret", stamp, EVENT.body)
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("kind", SIGNED_KINDS)
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, PostOutcome.TAKEN),
        (204, PostOutcome.TAKEN),
        (299, PostOutcome.TAKEN),
        (301, PostOutcome.RETRY),
        (308, PostOutcome.RETRY),
        (400, PostOutcome.RETRY),
        (401, PostOutcome.RETRY),
        (404, PostOutcome.RETRY),
        (410, PostOutcome.GONE),
        (429, PostOutcome.RETRY),
        (500, PostOutcome.RETRY),
        (503, PostOutcome.RETRY),
    ],
)
def test_statuses(kind: str, status: int, outcome: PostOutcome) -> None:
    found = DESTINATIONS[kind].parse(HttpAnswer(status, {}, b""), NOW)
    assert (found.outcome, found.http_status) == (outcome, status)


def test_a_success_that_broke_off_is_still_taken() -> None:
    found = DESTINATIONS["customer_webhook"].parse(HttpAnswer(200, {}, b"", complete=False), NOW)
    assert found.outcome is PostOutcome.TAKEN


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (format_datetime(NOW.replace(microsecond=0) + timedelta(seconds=90), usegmt=True), 89.1),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("999999999999", 86_400.0),
        ("soon", None),
    ],
)
def test_a_wait_that_is_asked_for(value: str, seconds: float | None) -> None:
    found = DESTINATIONS["threecx_json"].parse(HttpAnswer(503, {"retry-after": value}, b""), NOW)
    assert found.retry_after_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (FailureKind.ADDRESS_REFUSED, PostOutcome.BLOCKED),
        (FailureKind.BAD_REQUEST, PostOutcome.BLOCKED),
        (FailureKind.DNS_FAILED, PostOutcome.RETRY),
        (FailureKind.CONNECT_REFUSED, PostOutcome.RETRY),
        (FailureKind.CONNECT_TIMEOUT, PostOutcome.RETRY),
        (FailureKind.TLS_FAILED, PostOutcome.RETRY),
        (FailureKind.TIMED_OUT, PostOutcome.RETRY),
        (FailureKind.CONNECTION_LOST, PostOutcome.RETRY),
        (FailureKind.PROTOCOL_ERROR, PostOutcome.RETRY),
    ],
)
def test_no_answer(kind: FailureKind, outcome: PostOutcome) -> None:
    found = DESTINATIONS["threecx_json"].parse(TransportFailure(kind, False, "the address is loopback"), NOW)
    assert found.outcome is outcome
    assert found.http_status == 0
    assert ("loopback" in found.explanation) == (outcome is PostOutcome.BLOCKED)


def test_the_built_in_inbox_takes_everything_and_asks_nobody() -> None:
    inbox = DESTINATIONS["sandbox_inbox"]
    assert inbox.build(EVENT, NOW) is None
    assert inbox.parse(HttpAnswer(500, {}, b""), NOW).outcome is PostOutcome.TAKEN

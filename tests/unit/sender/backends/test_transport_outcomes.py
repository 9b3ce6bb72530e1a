"""A failure without an answer: nothing left, or nobody knows. The same on every back end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sender.backends.registry import BACKENDS
from sender.backends.wire import json_object, shortened
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

AFTER = {
    FailureKind.TIMED_OUT: "timeout",
    FailureKind.CONNECTION_LOST: "connection_lost",
    FailureKind.PROTOCOL_ERROR: "protocol_error",
}
BEFORE = {
    FailureKind.BAD_REQUEST: ("bad_request", Consequence.PAUSE_INSTANCE),
    FailureKind.ADDRESS_REFUSED: ("address_refused", Consequence.PAUSE_INSTANCE),
    FailureKind.DNS_FAILED: ("dns_failed", Consequence.NONE),
    FailureKind.CONNECT_REFUSED: ("unreachable", Consequence.NONE),
    FailureKind.CONNECT_TIMEOUT: ("connect_timeout", Consequence.NONE),
    FailureKind.TLS_FAILED: ("tls_failed", Consequence.NONE),
}
NAMES = {"evolution": "evolution", "cloud_api": "cloud", "waha": "waha", "sandbox": "sandbox"}


@pytest.mark.parametrize("backend", sorted(NAMES))
@pytest.mark.parametrize("kind", AFTER)
def test_after_a_byte_was_written_nobody_knows(backend: str, kind: FailureKind) -> None:
    found = BACKENDS[backend].parse(TransportFailure(kind, bytes_written=True))
    assert (found.outcome, found.code) == (Outcome.UNKNOWN, f"{NAMES[backend]}_{AFTER[kind]}")


@pytest.mark.parametrize("backend", sorted(NAMES))
@pytest.mark.parametrize("kind", BEFORE)
def test_before_a_byte_was_written_nothing_left(backend: str, kind: FailureKind) -> None:
    found = BACKENDS[backend].parse(TransportFailure(kind, bytes_written=False))
    code, consequence = BEFORE[kind]
    assert (found.outcome, found.code) == (Outcome.REJECTED, f"{NAMES[backend]}_{code}")
    assert found.consequence is consequence


@pytest.mark.parametrize("kind", list(FailureKind))
def test_whether_bytes_left_decides_whatever_the_kind(kind: FailureKind) -> None:
    for backend in BACKENDS.values():
        assert backend.parse(TransportFailure(kind, True)).outcome is Outcome.UNKNOWN
        assert backend.parse(TransportFailure(kind, False)).outcome is Outcome.REJECTED


@pytest.mark.parametrize("backend", ["evolution", "cloud_api", "waha"])
@given(status=st.integers(200, 599), body=st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_answer_is_read_without_an_error(backend: str, status: int, body: bytes) -> None:
    given_answer = HttpAnswer(status, {}, body)
    found = BACKENDS[backend].parse(given_answer)
    assert found.outcome in {Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN}
    assert found.external_message_id == "" or found.outcome is Outcome.ACCEPTED
    BACKENDS[backend].parse_probe(given_answer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["key", "id", "error", "code", "messages", "response", "message", "exception", "status", "me"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("backend", ["evolution", "cloud_api", "waha"])
@given(status=st.sampled_from([200, 201, 400, 404, 422, 500, 503]), value=JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_without_an_error(backend: str, status: int, value: object) -> None:
    given_answer = HttpAnswer(status, {}, json.dumps(value).encode())
    found = BACKENDS[backend].parse(given_answer)
    assert found.code
    assert len(found.explanation) < 400
    BACKENDS[backend].parse_probe(given_answer)


def test_deep_json_is_no_object() -> None:
    assert json_object(b"[" * 100_000) == {}
    assert json_object(b'{"a":' * 100_000) == {}
    assert json_object(b"\xff\xfe") == {}


def test_a_vendors_words_are_one_short_line_without_numbers() -> None:
    words = shortened("a\n b 966512345678 " + "x" * 500)
    assert words.startswith("a b …78 xxx")
    assert len(words) == 120


@pytest.mark.parametrize("backend", ["evolution", "cloud_api", "waha"])
@pytest.mark.parametrize(
    "base_url", ["ftp://x", "evo.example.com", "https://", "https://x/?a=b", "https://x/#f", "http://[::1"]
)
def test_a_base_url_that_is_none(backend: str, base_url: str) -> None:
    connection = Connection("ins_1", backend, base_url, "name", "key")
    with pytest.raises(UnaddressableError):
        BACKENDS[backend].build(connection, Recipient(phone="+966500000000"), "hi", "")


@pytest.mark.parametrize("backend", sorted(NAMES))
@pytest.mark.parametrize(
    "recipient",
    [
        Recipient(),
        Recipient(phone="966500000000"),
        Recipient(phone="+0966500000"),
        Recipient(phone="+9665000000001234"),
        Recipient(phone="+9665 0000000"),
        Recipient(phone="+٩٦٦٥٠٠٠٠٠٠٠"),
        Recipient(phone="+966500000000\r\nX: y"),
    ],
)
def test_what_is_no_phone_number_is_not_sent_to(backend: str, recipient: Recipient) -> None:
    connection = Connection("ins_1", backend, "https://example.com", "name", "key")
    with pytest.raises(UnaddressableError):
        BACKENDS[backend].build(connection, recipient, "hi", "")


@pytest.mark.parametrize("backend", ["evolution", "waha"])
@pytest.mark.parametrize(
    "recipient", [Recipient(lid="12345678@lid"), Recipient(lid="abc"), Recipient(business_scoped_id="US.123")]
)
def test_what_is_no_linked_id_is_not_sent_to(backend: str, recipient: Recipient) -> None:
    connection = Connection("ins_1", backend, "https://example.com", "name", "key")
    with pytest.raises(UnaddressableError):
        BACKENDS[backend].build(connection, recipient, "hi", "")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_instance_name_cannot_climb_out_of_its_path(name: str) -> None:
    connection = Connection("ins_1", "evolution", "https://example.com", name, "key")
    with pytest.raises(UnaddressableError):
        BACKENDS["evolution"].build(connection, Recipient(phone="+966500000000"), "hi", "")

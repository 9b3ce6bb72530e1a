"""Reports of a CRM template: the fields of an event, and nothing of what was said in a chat."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidJsonError
from edge.strict_json import JsonValue, read_object
from edge.webhooks.threecx.crm_report import is_report, parse
from edge.words import EventType, ReportedCall

START = datetime(2026, 1, 15, 9, 30, 12, tzinfo=UTC).timestamp()
RECEIVED = START + 60


def body(**fields: Any) -> dict[str, JsonValue]:
    return read_object(json.dumps(fields).encode())


def call(**fields: Any) -> dict[str, JsonValue]:
    return body(source="3cx_crm_call", **{"call_type": "Missed", "customer_phone": "+966500000001", **fields})


@pytest.mark.parametrize(
    ("written", "event_type", "kind"),
    [
        ("Missed", EventType.MISSED_CALL, ReportedCall.MISSED),
        ("missed ", EventType.MISSED_CALL, ReportedCall.MISSED),
        ("Inbound", EventType.CALL_ENDED, ReportedCall.INBOUND),
        ("OUTBOUND", EventType.CALL_ENDED, ReportedCall.OUTBOUND),
        ("Notanswered", EventType.CALL_ENDED, ReportedCall.NOT_ANSWERED),
        ("Not Answered", EventType.CALL_ENDED, ReportedCall.NOT_ANSWERED),
        ("Voicemail", EventType.UNSPECIFIED, ReportedCall.UNSPECIFIED),
        ("[CallType]", EventType.UNSPECIFIED, ReportedCall.UNSPECIFIED),
        ("", EventType.UNSPECIFIED, ReportedCall.UNSPECIFIED),
        (None, EventType.UNSPECIFIED, ReportedCall.UNSPECIFIED),
        ({"a": 1}, EventType.UNSPECIFIED, ReportedCall.UNSPECIFIED),
    ],
)
def test_kinds_of_call(written: Any, event_type: EventType, kind: ReportedCall) -> None:
    found = parse(call(call_type=written), RECEIVED)
    assert (found.event_type, found.report.call) == (event_type, kind)
    assert len(found.event_type_text) <= 64


def test_a_chat_is_a_chat_whatever_kind_of_call_it_names() -> None:
    chat = body(
        source="3cx_crm_chat", call_type="Missed", customer_phone="+966500000001", transcript="secret"
    )
    found = parse(chat, RECEIVED)
    assert (found.event_type, found.report.call) == (EventType.CHAT_ENDED, ReportedCall.UNSPECIFIED)
    assert "secret" not in repr(found)


def test_a_transcript_is_not_even_looked_at() -> None:
    raw = b'{"source": "3cx_crm_chat", "customer_phone": "1", "transcript": "\\ud800 \\u0000"}'
    assert parse(read_object(raw), RECEIVED).event_type is EventType.CHAT_ENDED


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("3cx_crm_call", True),
        (" 3cx_crm_chat ", True),
        ("3CX_CRM_CALL", False),
        ("crm", False),
        ("", False),
        (None, False),
        (5, False),
        (["3cx_crm_call"], False),
        ({"3cx_crm_call": 1}, False),
    ],
)
def test_only_the_two_sources_are_reports(source: Any, is_one: bool) -> None:
    assert is_report(body(source=source, event_type="test")) is is_one
    assert not is_report(body(event_type="test"))


@pytest.mark.parametrize(
    ("fields", "started_at", "unreadable"),
    [
        ({"call_start": "2026-01-15T09:30:12Z"}, START, False),
        ({"call_start": "nonsense", "call_start_raw": "15/01/2026 09:30:12"}, START, False),
        ({"call_start": "", "call_start_raw": "01/15/2026 09:30:12"}, START, False),
        ({"call_start": "1447-07-26T09:30:12Z", "call_start_raw": "26/07/1447 09:30:12"}, None, True),
        ({"call_start": ["2026-01-15T09:30:12Z"]}, None, False),
        ({}, None, False),
    ],
)
def test_the_first_start_that_means_something_counts(
    fields: dict[str, Any], started_at: float | None, unreadable: bool
) -> None:
    report = parse(call(**fields), RECEIVED).report
    assert (report.started_at, report.unreadable_start) == (started_at, unreadable)


def test_numbers_may_be_numbers_and_what_is_left_out_is_empty() -> None:
    found = parse(call(agent_extension=101, queue=800, customer_phone=966500000001), RECEIVED)
    assert (found.agent_extension, found.queue, found.phone) == ("101", "800", "966500000001")
    bare = parse(body(source="3cx_crm_call"), RECEIVED)
    assert (bare.phone, bare.agent_extension, bare.queue, bare.event_type_text) == ("", "", "", "")


@pytest.mark.parametrize("name", ["call_type", "customer_phone", "agent_extension", "queue", "call_start"])
def test_text_that_cannot_be_kept_is_refused(name: str) -> None:
    with pytest.raises(InvalidJsonError):
        parse(call(**{name: "a\x00b"}), RECEIVED)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
_NAMES = (
    "call_type",
    "customer_phone",
    "to",
    "agent_extension",
    "queue",
    "call_start",
    "call_start_raw",
    "transcript",
)


@given(
    st.sampled_from(["3cx_crm_call", "3cx_crm_chat"]),
    st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=len(_NAMES)),
)
def test_whatever_stands_in_a_report_is_bounded_or_refused(source: str, fields: dict[str, Any]) -> None:
    try:
        found = parse(body(source=source, **fields), RECEIVED)
    except InvalidJsonError:
        return
    assert max(map(len, (found.event_type_text, found.agent_extension, found.queue, found.phone))) <= 64
    assert found.report.started_at is None or abs(found.report.started_at - RECEIVED) <= 7 * 86_400
    found.phone.encode()

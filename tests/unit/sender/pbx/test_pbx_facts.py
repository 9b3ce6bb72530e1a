"""What a phone system says, read: every field may be missing, huge or of another kind."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.pbx.facts import (
    LONGEST_NUMBER,
    OddAnswerError,
    ParticipantRef,
    read_event,
    read_json,
    read_participant,
    read_participants,
    read_rows,
    read_segment,
    read_trunk,
)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
ROW = {
    "SegmentId": 5,
    "SegmentStartTime": "2026-01-15T09:30:12.1234567Z",
    "SegmentEndTime": "2026-01-15T12:31:12+03:00",
    "CallAnswered": False,
    "SrcCallerNumber": "+966500000001",
    "SrcExternal": True,
    "SrcParticipantId": 77,
    "DstDn": "800",
}


def test_an_event_of_a_party_is_read() -> None:
    frame = {
        "sequence": 18,
        "event": {"event_type": 0, "entity": "/callcontrol/150/participants/8107", "attached_data": None},
    }
    event = read_event(json.dumps(frame))
    assert event is not None
    assert (event.sequence, event.kind, event.ref) == (18, 0, ParticipantRef("150", 8107))


@pytest.mark.parametrize(
    "entity",
    [
        "/callcontrol/150/devices/1",
        "/callcontrol/../participants/1/2",
        "/callcontrol/1%2f2/participants/1",
        "",
        7,
    ],
)
def test_other_entities_concern_no_party(entity: Any) -> None:
    event = read_event(json.dumps({"sequence": 1, "event": {"event_type": 0, "entity": entity}}))
    assert event is not None and event.ref is None


@pytest.mark.parametrize("body", [b"<html>", b"", b"{", b"[" * 200_000, b"\xff\xfe"])
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(OddAnswerError, match="not_json"):
        read_json(body)


def test_a_segment_is_read_in_utc() -> None:
    segment = read_segment(ROW)
    assert segment.began_at == datetime(2026, 1, 15, 9, 30, 12, 123456, tzinfo=UTC)
    assert segment.ended_at == datetime(2026, 1, 15, 9, 31, 12, tzinfo=UTC)
    assert (segment.caller, segment.leg, segment.segment_id) == ("+966500000001", "77", "5")


@pytest.mark.parametrize(
    "changes",
    [
        {"CallAnswered": None},
        {"CallAnswered": "false"},
        {"SrcExternal": 1},
        {"SegmentStartTime": "yesterday"},
    ],
)
def test_a_segment_that_does_not_say_what_matters_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(OddAnswerError, match="odd_segment"):
        read_segment({**ROW, **changes})


@given(_json)
def test_nothing_but_odd_answers_comes_of_anything(value: Any) -> None:
    for read in (
        lambda: read_event(json.dumps(value)),
        lambda: read_event(json.dumps({"sequence": value, "event": {"event_type": value, "entity": value}})),
        lambda: read_participants(value),
        lambda: read_participants([{"dn": value, "participants": value}]),
        lambda: read_participant({"id": 1, "callid": 2, "status": value, "party_caller_id": value}, "150"),
        lambda: read_rows({"value": value}),
        lambda: read_trunk({"Messaging": {"Webhook": value, "Provider": value}, "DidNumbers": value}),
    ):
        with contextlib.suppress(OddAnswerError):
            read()


@given(st.dictionaries(st.sampled_from(sorted(ROW)), _json), st.text())
def test_segments_hold_no_more_than_fits(changes: dict[str, Any], caller: str) -> None:
    try:
        segment = read_segment({**ROW, "SrcCallerNumber": caller, **changes})
    except OddAnswerError:
        return
    assert len(segment.caller) <= LONGEST_NUMBER and segment.caller.isprintable()
    assert len(segment.segment_id) <= LONGEST_NUMBER and len(segment.leg) <= LONGEST_NUMBER

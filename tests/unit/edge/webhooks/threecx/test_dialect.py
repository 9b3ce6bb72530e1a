"""The dialects of webhook generators: what each of their events comes to, in every form and letter case."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import InvalidJsonError
from edge.webhooks.threecx.dialect import DialectEvent, Meaning, parse_body, parse_query
from edge.webhooks.threecx.json_webhook import UNREADABLE_PHONE
from edge.words import EventType

MISSED = {
    "event": "incoming",
    "callerid": "966500000001",
    "user": "801",
    "usertype": "queue",
    "finishtype": "Missed",
    "transfer": "False",
    "did": "Main line",
    "inbound_did": "966110000000",
    "id": "260115093012_41-0",
}
K2M_MISSED = {
    "Event": "incoming",
    "Callerid": "966500000001",
    "User": "202",
    "Usertype": "ext",
    "Finishtype": "Missed",
    "Transfer": "False",
    "Did": "",
    "Duration": "00:00",
    "Id": "260115093012_41-0",
}


def read(**fields: Any) -> DialectEvent:
    return parse_body(json.dumps(fields).encode())


def test_a_missed_call_of_either_family() -> None:
    creomate, k2m = read(**MISSED), read(**K2M_MISSED)
    for event in (creomate, k2m):
        assert (event.meaning, event.event_type) == (Meaning.EVENT, EventType.MISSED_CALL)
        assert event.phone == "966500000001"
        assert event.identity == "call:260115093012_41:missed_call:966500000001"
    assert (creomate.queue, creomate.agent_extension) == ("801", "")
    assert (k2m.queue, k2m.agent_extension) == ("", "202")


@pytest.mark.parametrize(
    ("event", "finish", "meaning", "event_type"),
    [
        ("incoming", "Missed", Meaning.EVENT, EventType.MISSED_CALL),
        ("incoming", "Ok", Meaning.EVENT, EventType.CALL_ENDED),
        ("INCOMING", "OK", Meaning.EVENT, EventType.CALL_ENDED),
        ("outgoing", "Ok", Meaning.EVENT, EventType.CALL_ENDED),
        ("outgoing", "Missed", Meaning.NOTED, EventType.UNSPECIFIED),
        ("incoming", "", Meaning.NOTED, EventType.UNSPECIFIED),
        ("incoming", "Busy", Meaning.EVENT, EventType.UNSPECIFIED),
        ("ringing", "", Meaning.EVENT, EventType.CALL_STARTED),
        ("hangupincoming", "", Meaning.EVENT, EventType.CALL_STARTED),
        ("hangupoutgoing", "", Meaning.EVENT, EventType.CALL_STARTED),
        ("pickupincoming", "", Meaning.EVENT, EventType.CALL_STARTED),
        ("pickupoutgoing", "", Meaning.EVENT, EventType.CALL_STARTED),
        ("incomingcall_started", "", Meaning.EVENT, EventType.CALL_STARTED),
        ("recording", "", Meaning.NOTED, EventType.UNSPECIFIED),
        ("missed_call", "", Meaning.EVENT, EventType.UNSPECIFIED),
        ("", "Missed", Meaning.EVENT, EventType.UNSPECIFIED),
    ],
)
def test_what_each_event_comes_to(event: str, finish: str, meaning: Meaning, event_type: EventType) -> None:
    found = read(event=event, finishtype=finish, callerid="966500000001", id="260115093012_41-0")
    assert (found.meaning, found.event_type) == (meaning, event_type)
    assert found.event_type_text == f"{event} {finish}".strip()


@pytest.mark.parametrize("key", ["FILES", "files[]", "FileUrls", "FileUrls[]"])
def test_a_recording_alone_is_noted(key: str) -> None:
    address = "https://pbx.example.com/webapi/recording/260115093012_41-1-1.mp3"
    assert read(**{key: [address]}).meaning is Meaning.NOTED
    assert parse_body(urlencode({key: address}).encode()).meaning is Meaning.NOTED


def test_an_end_with_its_recording_is_the_same_end() -> None:
    ended = {**MISSED, "finishtype": "Ok", "id": "260115093012_41-1"}
    recorded = {**ended, "id": "260115093012_41-2", "FILES": ["https://pbx.example.com/1.mp3"]}
    assert read(**ended).identity == read(**recorded).identity != ""


def test_one_call_has_one_identity_for_each_event_and_person() -> None:
    missed = read(**MISSED).identity
    assert read(**{**MISSED, "id": "260115093012_41-7"}).identity == missed
    assert read(**{**MISSED, "callerid": "+966500000001"}).identity == missed
    assert read(**{**MISSED, "id": "260115093012_42-0"}).identity != missed
    assert read(**{**MISSED, "callerid": "966500000002"}).identity != missed
    assert read(**{**MISSED, "finishtype": "Ok"}).identity != missed
    assert read(**{**MISSED, "id": ""}).identity == ""
    assert read(**{**MISSED, "id": "-3"}).identity == ""


def test_every_form_says_the_same() -> None:
    expected = read(**MISSED)
    assert parse_query(urlencode(MISSED).encode()) == expected
    assert parse_body(urlencode(MISSED).encode()) == expected
    shouted = {name.upper(): value for name, value in MISSED.items()}
    assert read(**shouted) == expected
    assert parse_query(urlencode(shouted).encode()) == expected
    assert parse_body(b"\xef\xbb\xbf \n" + json.dumps(MISSED).encode()) == expected


def test_numbers_are_read_as_they_are_written() -> None:
    found = parse_body(b'{"event":"incoming","finishtype":"Missed","callerid":966500000001,"user":801}')
    assert (found.phone, found.agent_extension) == ("966500000001", "801")


def test_a_plus_that_a_query_lost_is_only_a_blank() -> None:
    assert parse_query(b"event=ringing&callerid=+966500000001").phone == "966500000001"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \r\n",
        b"[]",
        b"{",
        b'{"event":"incoming","Event":"outgoing"}',
        b'{"event":"incoming","event":"incoming"}',
        b"event=incoming&EVENT=outgoing",
        b"event=%ff",
        b"event=a%00b",
        b"&".join(b"a=%d" % number for number in range(101)),
        b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_refused_in_one_sentence(raw: bytes) -> None:
    with pytest.raises(InvalidJsonError) as refused:
        parse_body(raw)
    assert str(refused.value).endswith(".")


def test_the_same_value_twice_is_one_value() -> None:
    assert parse_query(b"event=ringing&Event=ringing&event=").event_type is EventType.CALL_STARTED


def test_what_is_too_long_is_cut_and_matches_nothing() -> None:
    found = read(**{**MISSED, "callerid": "9" * 65, "user": "8" * 65, "event": "incoming" * 20})
    assert found.phone == UNREADABLE_PHONE
    assert len(found.queue) == 64 and found.queue.endswith("…")
    assert found.event_type is EventType.UNSPECIFIED and len(found.event_type_text) == 64


_CASES = st.lists(st.booleans(), min_size=16, max_size=16)
_VALUES = st.text(max_size=80).filter(lambda text: "\x00" not in text)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(upper=_CASES, finish=st.sampled_from(["Missed", "missed", "Ok", "OK", "ok"]))
def test_letter_case_never_matters(upper: list[bool], finish: str) -> None:
    fields = {**MISSED, "finishtype": finish}
    cased = {
        "".join(letter.upper() if upper[at % 16] else letter for at, letter in enumerate(name)): value
        for name, value in fields.items()
    }
    assert read(**cased).event_type is read(**fields).event_type
    assert read(**cased).identity == read(**fields).identity


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from([*MISSED, *K2M_MISSED, "FILES", "token", "x"]), st.one_of(_VALUES, st.none())
    )
)
def test_no_words_are_beyond_it(fields: dict[str, str | None]) -> None:
    """Whatever is written, it is read or refused; and outgoing calls are never missed ones."""
    try:
        found = read(**fields)
    except InvalidJsonError:
        return
    assert len(found.identity) <= 300 and len(found.event_type_text) <= 64
    if found.event_type is EventType.MISSED_CALL:
        written = {name.lower(): (value or "").strip().lower() for name, value in fields.items()}
        assert written["event"] == "incoming" and written["finishtype"] == "missed"

"""What 3CX posts to its provider of text messages, as it is, as it might be, and as it must not be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidJsonError
from edge.webhooks.threecx.sms_provider import UNREADABLE_NUMBER, AgentReply, parse


def read(**body: Any) -> AgentReply:
    return parse(json.dumps(body).encode())


def test_what_every_known_connector_sees() -> None:
    found = parse(b'{"from":"+966110000000","to":"+966500000001","text":"On its way"}')
    assert found == AgentReply("+966110000000", "+966500000001", "On its way", 0)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (" 966500000001", " 966500000001"),
        ("0500000001\r\n", "0500000001"),
        ("٠٥٠٠٠٠٠٠٠١", "٠٥٠٠٠٠٠٠٠١"),
        (966500000001, "966500000001"),
        (["+966500000001"], "+966500000001"),
        (None, ""),
        ("", ""),
        (["+966500000001", "+966500000002"], UNREADABLE_NUMBER),
        ({"phone_number": "+966500000001"}, UNREADABLE_NUMBER),
        (True, UNREADABLE_NUMBER),
        ([None], ""),
        ("9" * 65, UNREADABLE_NUMBER),
    ],
)
def test_numbers_are_taken_as_they_were_written(written: Any, expected: str) -> None:
    assert read(to=written, text="x").to == expected
    assert read(**{"from": written}).from_number == expected


@pytest.mark.parametrize("text", ["Hello 😀", "مرحبا\nبكم", "x" * 10_000, " \t", ""])
def test_texts_stay_as_they_are(text: str) -> None:
    assert read(text=text).text == text


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"media_urls": ["https://pbx/a.png"]}, 1),
        ({"media": [{"url": "a"}, {"url": "b"}]}, 2),
        ({"attachments": ["a"], "media_urls": ["b"]}, 2),
        ({"media_urls": "https://pbx/a.png"}, 1),
        ({"media": {"url": "a"}}, 1),
        ({"media": 5}, 1),
        ({"media_urls": [], "media": None, "attachments": "", "other": ["a"]}, 0),
        ({"media": {}}, 0),
        ({"media": False}, 0),
    ],
)
def test_files_are_counted_under_every_name_in_use(body: dict[str, Any], count: int) -> None:
    assert read(text="x", **body).attachments == count


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"from=%2B966&to=%2B966&text=x",
        b"\xff\xfe",
        b'{"text":"a","text":"b"}',
        b'{"text":"\\u0000"}',
        b'{"to":"\\ud800"}',
        b'{"text":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        parse(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.lists(each, max_size=3)
    )
)
def test_no_value_is_too_odd(value: Any) -> None:
    for name in ("from", "to", "text", "media", "media_urls", "attachments"):
        try:
            found = read(**{name: value})
        except InvalidJsonError:
            continue
        assert found.attachments >= 0 and len(found.to) <= 64 and len(found.from_number) <= 64

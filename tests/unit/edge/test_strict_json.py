"""The strict JSON reader: what it takes, what it refuses, and that it never raises anything else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidJsonError
from edge.strict_json import NESTING_LIMIT, JsonNumber, check_storable, read_object


def nested(levels: int) -> bytes:
    """An object with `levels` levels of nesting, the object itself included."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "raw",
    [b"{}", b' \r\n\t{"a": 1}\n', b'\xef\xbb\xbf{"a": 1}', '{"to": "٠٥٠"}'.encode(), b'{"a": {"a": 1}}'],
)
def test_objects_are_read(raw: bytes) -> None:
    assert isinstance(read_object(raw), dict)


def test_numbers_keep_every_digit() -> None:
    body = read_object(b'{"a": 966500000000123456789, "b": 1.50, "c": 1e400, "d": "12"}')
    assert body == {"a": "966500000000123456789", "b": "1.50", "c": "1e400", "d": "12"}
    assert isinstance(body["a"], JsonNumber)
    assert not isinstance(body["d"], JsonNumber)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"{",
        b'{"a": 1',
        b'{"a": }',
        b'{"a": 1,}',
        b'{"a" 1}',
        b"[]",
        b'"text"',
        b"1",
        b"null",
        b"true",
        b'{"a": 1} {"b": 2}',
        b'{"a": 1}x',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        '{"a": "é"}'.encode("latin-1"),
        '{"a": 1}'.encode("utf-16"),
        b"\x00",
        b'{"a": "\x01"}',
        b"event_type=test&to=%2B966500000000",
        b"<event/>",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
    ],
)
def test_everything_else_is_refused_with_a_sentence(raw: bytes) -> None:
    with pytest.raises(InvalidJsonError) as caught:
        read_object(raw)
    assert str(caught.value).endswith(".")


def test_nesting_is_limited() -> None:
    assert read_object(nested(NESTING_LIMIT))
    for levels in (NESTING_LIMIT + 1, 900, 100_000):
        with pytest.raises(InvalidJsonError, match="nested"):
            read_object(nested(levels))


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    assert len(read_object(json.dumps({str(n): [{}] for n in range(500)}).encode())) == 500


@pytest.mark.parametrize("text", ["a\x00b", "ü\x00", "\ud83d"])
def test_text_that_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(InvalidJsonError, match="message_text"):
        check_storable(text, "message_text")


@pytest.mark.parametrize("text", ["", "plain", "أهلا", "😀"])
def test_text_that_can_be_stored_passes(text: str) -> None:
    assert check_storable(text, "message_text") == text


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        body = read_object(raw)
    except InvalidJsonError:
        return
    assert isinstance(body, dict)

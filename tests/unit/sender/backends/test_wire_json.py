"""JSON of requests and answers: the same bytes and the same values as the standard library's, odd ones too."""

import json
import random

import pytest

from sender.backends.wire import endpoint, json_body, json_value
from sender.model import UnaddressableError


def test_bodies_are_byte_for_byte_what_the_standard_library_writes() -> None:
    dice = random.Random(20261203)
    ranges = (range(0x30), range(0x20, 0x80), range(0x80, 0x2030), range(0xE000, 0x11_0000))
    for _ in range(5_000):
        text = "".join(chr(dice.choice(dice.choice(ranges))) for _ in range(20))
        value = {text: text, "text": {"body": text, "preview_url": False}, "n": None, "i": 1}
        assert json_body(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        json_body({"text": "\ud800"})


ODD = [
    *(
        b"",
        b" ",
        b"null",
        b"NaN",
        b"[1,]",
        b'"\\ud800"',
        b'"a\x01"',
        b"1E400",
        b"-0",
        b"01",
        b'{"a":1,"a":2}',
    ),
    *(
        b"\xef\xbb\xbf{}",
        '{"a":"é"}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b'"\xff"',
        b'"\xed\xa0\x80"',
    ),
    *(b"1" * 30, b"1" * 5_000, b"[" * 100_000, b'{"a":' * 100_000, b"[" * 200 + b"]" * 200, b"1 2"),
]


def by_the_standard_library(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_odd_bodies_mean_what_they_meant(body: bytes) -> None:
    assert repr(json_value(body)) == repr(by_the_standard_library(body))


def test_mutated_bodies_mean_the_same_to_both_readers() -> None:
    dice = random.Random(20261204)
    seed = b'{"key":{"id":"3EB0A0","x":[1,2.5,-3e2,true,null]},"m":"h\\u00e9\\n\xc3\xa9","code":131047}'
    for _ in range(20_000):
        body = bytearray(seed)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(body))
            body[at : at + dice.randrange(3)] = bytes(
                [dice.choice(b'{}[]",:\\0129eE+-.tu \n\x00\x1f\xc3\xff')]
            )
        assert repr(json_value(bytes(body))) == repr(by_the_standard_library(bytes(body)))


def test_an_endpoint_is_the_same_every_time_and_a_refusal_stays_one() -> None:
    for _ in range(3):
        assert endpoint("https://a.example/x/", "a b", "c/d") == "https://a.example/x/a%20b/c%2Fd"
        with pytest.raises(UnaddressableError):
            endpoint("https://a.example/?x", "a")
        with pytest.raises(UnaddressableError):
            endpoint("https://a.example/", "..")

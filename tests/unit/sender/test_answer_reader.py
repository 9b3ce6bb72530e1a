"""Answers as bytes: every framing, every way of being no answer, and bytes at random."""

import random

import pytest

from sender.answer_reader import MOST_HEADS, AnswerReader
from sender.model import Exchange, FailureKind, HttpAnswer, TransportFailure

LIMIT = 1_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Read = tuple[Exchange, bool]


def read(*pieces: bytes, orderly: bool = True) -> Read:
    """What comes of an answer that arrives in these pieces, with the connection's end behind them."""
    reader = AnswerReader(LIMIT)
    reader.begin()
    if not any(reader.feed(piece) for piece in pieces):
        reader.end(orderly=orderly)
    assert reader.found is not None
    return reader.found, reader.reusable


def answer(found: Exchange) -> tuple[int, bytes, bool]:
    assert isinstance(found, HttpAnswer)
    return found.status, found.body, found.complete


def failure(found: Exchange) -> FailureKind:
    assert isinstance(found, TransportFailure)
    assert found.bytes_written
    return found.kind


@pytest.mark.parametrize(
    ("raw", "wanted", "reusable"),
    [
        (OK, (200, b"ok", True), True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", True), True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (200, b"", True), True),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), (200, b"ok", True), False),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), (200, b"ok", True), False),
        (b"HTTP/1.0 200 OK\r\n\r\nall of it", (200, b"all of it", True), False),
        (b"HTTP/1.1 500 Oh\r\n\r\nall of it", (500, b"all of it", True), False),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", (200, b"ok", True), True),
        (CHUNKED + b"1;a=b\r\no\r\n1\r\nk\r\n0\r\nX-Trailer: y\r\n\r\n", (200, b"ok", True), True),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", (200, b"ok", True), True),
        (b"\r\n\r\n" + OK, (200, b"ok", True), True),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nDate: x\r\n\r\n" + OK,
            (200, b"ok", True),
            True,
        ),
    ],
)
def test_every_framing_in_one_piece_and_byte_by_byte(
    raw: bytes, wanted: tuple[int, bytes, bool], reusable: bool
) -> None:
    for pieces in ([raw], [raw[at : at + 1] for at in range(len(raw))]):
        found, kept = read(*pieces)
        assert answer(found) == wanted
        assert kept is reusable


def test_headers_that_are_kept() -> None:
    hint = b"HTTP/1.1 103 Early\r\nContent-Type: hint\r\n\r\n"
    kept = b"HTTP/1.1 429 No\r\nRETRY-AFTER: 7\r\nretry-after: 9\r\nDate: d\r\n"
    found, _ = read(hint + kept + b"Set-Cookie: c\r\nContent-Length: 0\r\n\r\n")
    assert isinstance(found, HttpAnswer)
    assert found.headers == {"retry-after": "7", "date": "d"}


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\nhello\r\n",
        CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nab",
    ],
)
def test_a_status_with_less_than_an_answer(raw: bytes) -> None:
    found, _ = read(raw)
    assert answer(found)[0::2] == (200, False)


def test_an_end_without_a_goodbye_completes_nothing() -> None:
    found, reusable = read(b"HTTP/1.1 200 OK\r\n\r\nall of it?", orderly=False)
    assert answer(found) == (200, b"all of it?", False)
    assert not reusable


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX\x00: b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX : b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nok",
        b"HTTP/1.1 000 None\r\n\r\n",
        b"HTTP/1.1 99 None\r\n\r\n",
        b"HTTP/1.1 2000 Much\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01\x00\xa5\x01",
        b"<html>",
    ],
)
def test_what_is_no_answer(raw: bytes) -> None:
    found, reusable = read(raw)
    assert failure(found) is FailureKind.PROTOCOL_ERROR
    assert not reusable


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_end_before_an_answer(raw: bytes) -> None:
    assert failure(read(raw)[0]) is FailureKind.CONNECTION_LOST


@pytest.mark.parametrize("behind", [OK, b"HTTP/1.1 ", b"H", b"\x00", b"<!-- -->", b"\r\n\r\nX"])
def test_whatever_stands_behind_an_answer_ends_its_connection(behind: bytes) -> None:
    for framed in (OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n"):
        found, reusable = read(framed + behind)
        assert answer(found) == (200, b"ok", True)
        assert not reusable


def test_a_body_of_exactly_the_limit_and_one_byte_more() -> None:
    for size, wanted in ((LIMIT, True), (LIMIT + 1, False)):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        found, reusable = read(head + b"x" * size)
        assert answer(found) == (200, b"x" * LIMIT, wanted)
        assert reusable is wanted


def test_interim_heads_are_counted() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer(read(interim * MOST_HEADS + OK)[0]) == (200, b"ok", True)
    assert failure(read(interim * (MOST_HEADS + 1) + OK)[0]) is FailureKind.CONNECTION_LOST
    assert failure(read(*[interim] * (MOST_HEADS + 1), OK)[0]) is FailureKind.CONNECTION_LOST


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b"\r\n" * 500),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 10),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1_000),
        (b"HTTP/1.1 200 OK\r\n", b"a" * 1_000),
        (b"HTTP/1.1 200 ", b"a" * 1_000),
        (CHUNKED + b"5;", b"a" * 1_000),
        (CHUNKED, b"00001;x\r\na\r\n" * 100),
        (CHUNKED, b"0" * 1_000),
        (CHUNKED + b"2\r\nok\r\n0\r\n", b"X: " + b"a" * 1_000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1_000),
    ],
)
def test_nothing_is_read_without_end(first: bytes, piece: bytes) -> None:
    reader = AnswerReader(LIMIT)
    reader.begin()
    if not reader.feed(first):
        fed = 0
        while not reader.feed(piece):
            fed += len(piece)
            assert fed < 1_100_000
    assert reader.found is not None
    assert not (isinstance(reader.found, HttpAnswer) and reader.found.complete)
    assert not reader.reusable


def test_one_exchange_does_not_count_for_the_next() -> None:
    reader = AnswerReader(LIMIT)
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * MOST_HEADS
    for _ in range(3_000):
        reader.begin()
        assert reader.feed(interim + OK)
        assert reader.found is not None
        assert answer(reader.found) == (200, b"ok", True)
        assert reader.reusable


def test_time_that_runs_out_before_and_after_the_head() -> None:
    for fed, wanted in (
        (b"HTTP/1.1 200 OK\r\nConte", None),
        (b"HTTP/1.1 200 OK\r\n\r\nhal", (200, b"hal", False)),
    ):
        reader = AnswerReader(LIMIT)
        reader.begin()
        assert not reader.feed(fed)
        reader.expire()
        assert reader.found is not None
        assert not reader.reusable
        if wanted is None:
            assert failure(reader.found) is FailureKind.TIMED_OUT
        else:
            assert answer(reader.found) == wanted


SEEDS = [
    OK,
    CHUNKED + b"2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nRetry-After: 3\r\nContent-Length: 3\r\n\r\nno!",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
]
ALPHABET = b"\x00\t\n\r :;,-+0123456789abcfxHTP/\x7f\x80\xff"


def mutated(dice: random.Random) -> bytes:
    raw = bytearray(dice.choice(SEEDS))
    for _ in range(dice.randrange(6)):
        at = dice.randrange(len(raw) + 1)
        match dice.randrange(4):
            case 0:
                raw[at : at + 1] = bytes([dice.choice(ALPHABET)])
            case 1:
                raw[at:at] = dice.randbytes(dice.randrange(4))
            case 2:
                del raw[at : at + dice.randrange(8)]
            case _:
                raw[at:at] = dice.choice(SEEDS)[: dice.randrange(60)]
    return bytes(raw)


def cut(raw: bytes, dice: random.Random) -> list[bytes]:
    marks = sorted(dice.randrange(len(raw) + 1) for _ in range(dice.randrange(5)))
    return [raw[begin:end] for begin, end in zip([0, *marks], [*marks, len(raw)], strict=True) if begin < end]


def test_mutated_answers_end_in_something_and_do_not_depend_on_how_they_were_cut() -> None:
    dice = random.Random(20261201)
    for _ in range(20_000):
        raw = mutated(dice)
        whole, reusable = read(raw)
        pieces, _ = read(*cut(raw, dice))
        assert isinstance(whole, HttpAnswer | TransportFailure)
        assert type(whole) is type(pieces), raw
        if isinstance(whole, HttpAnswer) and isinstance(pieces, HttpAnswer):
            assert 200 <= whole.status <= 999
            assert len(whole.body) <= LIMIT
            assert (whole.status, whole.complete) == (pieces.status, pieces.complete), raw
            assert whole.headers == pieces.headers
            if whole.complete:
                assert whole.body == pieces.body, raw
        else:
            assert not reusable


def test_bytes_at_random_are_no_answer() -> None:
    dice = random.Random(20261202)
    for _ in range(3_000):
        assert isinstance(read(*cut(dice.randbytes(dice.randrange(1, 300)), dice))[0], TransportFailure)

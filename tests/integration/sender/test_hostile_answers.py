"""Webhooks of customers who mean harm: endless answers of every kind, and addresses that lead inside."""

import asyncio
import socket

import pytest
from integration.sender.test_egress_door import OK, Names, answering, ask, door, failed, server

from sender.addresses import AddressPolicy
from sender.egress import Egress, EgressLimits
from sender.model import FailureKind, HttpAnswer, TransportFailure
from sender.names import SystemNames

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "interim heads": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1_000),
    "blank lines": (b"", b"\r\n" * 20_000),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 5_000),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 50_000),
    "status line": (b"HTTP/1.1 200 ", b"a" * 50_000),
    "chunk extension": (CHUNKED + b"5;", b"a" * 50_000),
    "tiny chunks": (CHUNKED, b"00001;x\r\na\r\n" * 5_000),
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\n", b"X: " + b"a" * 4_000 + b"\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_no_kind_of_endless_answer_is_read_for_long(kind: str) -> None:
    first, piece = ENDLESS[kind]
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        while sent < 100_000_000:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    async with server(handle) as port, door() as egress:
        found = await ask(egress, f"http://a.example.com:{port}/", timeout=20)
    if isinstance(found, HttpAnswer):
        assert not found.complete
    else:
        assert failed(found) in {(FailureKind.CONNECTION_LOST, True), (FailureKind.PROTOCOL_ERROR, True)}
    # What the sockets between held back was written too, but never read.
    assert sent < 20_000_000


async def test_a_few_interim_heads_are_waited_out() -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    async with server(answering(raw)) as port, door() as egress:
        for _ in range(20):
            found = await ask(egress, f"http://a.example.com:{port}/")
            assert isinstance(found, HttpAnswer)
            assert (found.status, found.body, found.complete) == (200, b"ok", True)


async def test_many_small_answers_on_one_connection_do_not_add_up() -> None:
    seen: list[bytes] = []
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1_000
    async with server(answering(raw, seen)) as port, door(limits=EgressLimits(answer_bytes=2_000)) as egress:
        for _ in range(1_200):
            found = await ask(egress, f"http://a.example.com:{port}/")
            assert isinstance(found, HttpAnswer)
            assert found.complete


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_no_time_at_all_is_not_all_the_time(seconds: float) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as port, door() as egress, asyncio.timeout(2):
        found = await ask(egress, f"http://a.example.com:{port}/", timeout=seconds)
    assert failed(found) == (FailureKind.CONNECT_TIMEOUT, False)


INSIDE = [
    *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "0", "127.000.000.001"),
    *("localhost", "LOCALHOST", "127.0.0.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:7f00:1]", "[64:ff9b::7f00:1]", "[::127.0.0.1]", "[2002:7f00:1::]", "[fe80::1%25lo]"),
    *("[fe80::1%lo]", "[::1%lo]", "127。0。0。1", "①②⑦.0.0.1", "１２７.0.0.1", "ⓛocalhost", "a@127.0.0.1"),
    *("127.0.0.1%2f@example.com", "127.0.0.1#.example.com", "127.0.0.1?.example.com", "169.254.169.254"),
    *(
        "10.0.0.1",
        "192.168.0.1",
        "[fd00:ec2::254]",
        "127.0.0.1\\@example.com",
        "127.0.0.1\r\nHost: example.com",
    ),
]


@pytest.mark.parametrize("host", INSIDE)
async def test_no_way_of_writing_it_leads_inside_by_default(host: str) -> None:
    names = SystemNames(4.0)
    reached = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal reached
        reached += 1

    try:
        async with server(handle) as port:
            for scheme, policy in (("https", AddressPolicy()), ("http", AddressPolicy(https_required=False))):
                egress = Egress(policy, names.lookup)
                await egress.open()
                found = await ask(egress, f"{scheme}://{host}:{port}/")
                await egress.close()
                assert isinstance(found, TransportFailure)
                assert found.kind is FailureKind.ADDRESS_REFUSED
                assert not found.bytes_written
    finally:
        names.close()
    assert reached == 0


@pytest.mark.parametrize("answers", [["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"], ["::1"]])
async def test_a_name_that_also_leads_inside_is_refused(answers: list[str]) -> None:
    async with door(AddressPolicy(https_required=False), Names(answers)) as egress:
        found = await ask(egress, "http://shop.example.com/")
    assert failed(found) == (FailureKind.ADDRESS_REFUSED, False)


async def test_a_redirect_inside_is_an_answer_and_not_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.setblocking(False)
        where = inside.getsockname()[1]
        raw = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{where}/\r\nContent-Length: 0\r\n\r\n"
        async with server(answering(raw.encode())) as port, door() as egress:
            found = await ask(egress, f"http://shop.example.com:{port}/")
        assert isinstance(found, HttpAnswer)
        assert found.status == 307
        with pytest.raises(BlockingIOError):
            inside.accept()

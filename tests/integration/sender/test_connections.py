"""How connections are kept, shared and ended, on real sockets: nothing odd is used again, nothing asked twice."""

import asyncio
import ipaddress
import os
import random
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from integration.sender.test_egress_door import (
    LOOPBACK,
    OK,
    Names,
    answering,
    ask,
    certificate,
    door,
    failed,
    server,
)

from sender.addresses import AddressPolicy
from sender.egress import Egress, EgressLimits
from sender.model import Exchange, FailureKind, HttpAnswer, HttpRequest, TransportFailure

URL = "http://a.example.com:{}/"


class Counting:
    """A server that answers as told and counts connections and requests."""

    def __init__(self, raw: bytes = OK, delay_seconds: float = 0.0, most_requests: int = 1_000_000) -> None:
        self.raw = raw
        self.delay_seconds = delay_seconds
        self.most_requests = most_requests
        self.connections = 0
        self.open = 0
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            for _ in range(self.most_requests):
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await asyncio.sleep(self.delay_seconds)
                writer.write(self.raw)
                await writer.drain()
        finally:
            self.open -= 1


def ok(found: Exchange) -> bool:
    return isinstance(found, HttpAnswer) and (found.status, found.body, found.complete) == (200, b"ok", True)


async def test_one_connection_serves_one_after_the_other() -> None:
    peer = Counting()
    async with server(peer) as port, door() as egress:
        for _ in range(20):
            assert ok(await ask(egress, URL.format(port)))
    assert (peer.connections, peer.requests) == (1, 20)


@pytest.mark.parametrize(
    "raw",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        OK + b"x",
    ],
)
async def test_an_answer_after_which_nothing_more_is_asked_here(raw: bytes) -> None:
    peer = Counting(raw)
    async with server(peer) as port, door() as egress:
        for _ in range(5):
            assert ok(await ask(egress, URL.format(port)))
    assert (peer.connections, peer.requests) == (5, 5)


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


@pytest.mark.parametrize("seconds", [0.0, 0.02])
@pytest.mark.parametrize("forged", [FORGED, b"x", b"\r\n", b""])
async def test_nothing_that_comes_while_idle_is_taken_for_the_next_answer(
    forged: bytes, seconds: float
) -> None:
    """Bytes nobody asked for, or the end: already read by the loop, or still lying in the socket."""
    sockets: list[socket.socket] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as own:
            sockets.append(own)
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
                await writer.drain()

    async with server(handle) as port, door() as egress:
        for number in range(5):
            assert ok(await ask(egress, URL.format(port)))
            assert len(sockets) == number + 1
            if forged:
                sockets[-1].send(forged)
            else:
                sockets[-1].shutdown(socket.SHUT_WR)
            if seconds:
                await asyncio.sleep(seconds)


async def test_a_close_that_crosses_a_request_is_never_asked_again() -> None:
    dice = random.Random(7)
    peer = Counting()

    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_patience = dice.uniform(0.0, 0.004)
        try:
            while True:
                async with asyncio.timeout(with_patience):
                    await reader.readuntil(b"\r\n\r\n")
                peer.requests += 1
                writer.write(OK)
        except TimeoutError:
            return

    async def one(egress: Egress, port: int) -> Exchange:
        await asyncio.sleep(dice.uniform(0.0, 0.3))
        return await ask(egress, URL.format(port))

    async with server(impatient) as port, door() as egress:
        found = await asyncio.gather(*(one(egress, port) for _ in range(300)))
    answered = sum(map(ok, found))
    assert 0 < answered < len(found)
    assert answered <= peer.requests <= len(found)
    for exchange in found:
        if not ok(exchange):
            assert failed(exchange) == (FailureKind.CONNECTION_LOST, True)


async def test_idle_connections_end_by_themselves() -> None:
    peer = Counting(delay_seconds=0.05)
    async with server(peer) as port, door(limits=EgressLimits(keep_alive_seconds=0.2)) as egress:
        await asyncio.gather(*(ask(egress, URL.format(port)) for _ in range(5)))
        assert peer.open == 5
        await asyncio.sleep(0.1)
        assert ok(await ask(egress, URL.format(port)))
        await asyncio.sleep(0.12)
        assert peer.open == 1
        await asyncio.sleep(0.3)
        assert peer.open == 0
        assert peer.connections == 5
        assert egress._pools == {}


async def test_an_exchange_that_is_given_up_takes_its_connection_with_it() -> None:
    peer = Counting(delay_seconds=0.1)
    async with server(peer) as port, door(limits=EgressLimits(connections_per_host=1)) as egress:
        given_up = asyncio.create_task(ask(egress, URL.format(port)))
        await asyncio.sleep(0.05)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        # The turn is free again, and what the first one asked for is not taken for the second one's answer.
        peer.raw = OK.replace(b"ok", b"no")
        second = await ask(egress, URL.format(port))
        assert isinstance(second, HttpAnswer)
        assert second.body == b"no"
    assert peer.connections == 2


async def test_whoever_gives_up_waiting_takes_no_turn_along() -> None:
    peer = Counting(delay_seconds=0.05)
    limits = EgressLimits(connections_per_host=2)
    async with server(peer) as port, door(limits=limits) as egress:
        dice = random.Random(3)
        asked = [asyncio.create_task(ask(egress, URL.format(port))) for _ in range(40)]
        for _ in range(30):
            await asyncio.sleep(0.01)
            dice.choice(asked).cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        again = await asyncio.gather(*(ask(egress, URL.format(port)) for _ in range(4)))
        assert all(map(ok, again))
        assert all(pool._in_use == 0 for pool in egress._pools.values())
        assert peer.open <= 2


async def test_a_full_pool_is_waited_for_in_order() -> None:
    peer = Counting(delay_seconds=0.02)
    ended: list[int] = []

    async def one(egress: Egress, port: int, number: int) -> None:
        assert ok(await ask(egress, URL.format(port)))
        ended.append(number)

    async with server(peer) as port, door(limits=EgressLimits(connections_per_host=1)) as egress:
        await asyncio.gather(*(one(egress, port, number) for number in range(10)))
    assert ended == list(range(10))
    assert (peer.connections, peer.requests) == (1, 10)


async def test_a_thousand_at_once_to_an_instance_that_takes_50_ms() -> None:
    peer = Counting(delay_seconds=0.05)
    names = Names(["127.0.0.1"])
    # Both ends are in this process, and an ordinary user may often have 1,024 files open.
    limits = EgressLimits(connections_per_host=256)
    async with server(peer) as port, door(limits=limits, names=names) as egress:
        found = await asyncio.gather(*(ask(egress, URL.format(port), 20.0) for _ in range(1_000)))
        assert all(map(ok, found))
        assert peer.requests == 1_000
        assert peer.connections <= 256
        # Everybody waits for the same look-up.
        assert names.asked == 1


async def test_an_answer_before_the_request_has_left() -> None:
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(early)
        await writer.drain()
        await asyncio.sleep(0.3)

    async with server(handle) as port, door() as egress:
        for _ in range(2):
            request = HttpRequest("POST", URL.format(port), {}, b"x" * 20_000_000)
            found = await egress.exchange(request, timeout_seconds=3, before_write=lambda: None)
            assert isinstance(found, HttpAnswer)
            assert (found.status, found.complete) == (413, True)
    # What had not left would have been read as the beginning of the next request.
    assert connections == 2


async def test_a_head_that_trickles_ends_with_the_time() -> None:
    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    async with server(trickling) as port, door() as egress:
        began = time.monotonic()
        assert failed(await ask(egress, URL.format(port), 0.4)) == (FailureKind.TIMED_OUT, True)
        assert 0.3 < time.monotonic() - began < 1.5


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 20", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_connection_that_ends_before_an_answer(raw: bytes) -> None:
    peer = Counting(raw, most_requests=1)
    async with server(peer) as port, door() as egress:
        assert failed(await ask(egress, URL.format(port))) == (FailureKind.CONNECTION_LOST, True)
    assert peer.requests == 1


async def test_the_next_address_is_tried_if_one_cannot_be_connected_to() -> None:
    peer = Counting()
    names = Names(["127.0.0.3", "127.0.0.1"])
    async with server(peer) as port, door(names=names) as egress:
        assert ok(await ask(egress, URL.format(port)))
    async with door(names=Names(["127.0.0.3", "127.0.0.4"])) as egress:
        assert failed(await ask(egress, URL.format(port))) == (FailureKind.CONNECT_REFUSED, False)


async def test_an_address_that_was_let_through_is_looked_at_again_at_the_socket() -> None:
    # A resolver that forgot to check still leads nowhere.
    peer = Counting()
    egress = Egress(AddressPolicy((), https_required=False), Names(["8.8.8.8"]).lookup)
    await egress.open()

    async def unchecked(host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    egress._names.addresses = unchecked  # type: ignore[method-assign]
    try:
        async with server(peer) as port:
            assert failed(await ask(egress, URL.format(port))) == (FailureKind.ADDRESS_REFUSED, False)
    finally:
        await egress.close()
    assert peer.connections == 0


async def test_names_that_do_not_resolve() -> None:
    class Silent(Names):
        async def lookup(self, host: str) -> Sequence[str]:
            raise OSError("no such name")

    async with door(names=Silent([])) as egress:
        assert failed(await ask(egress, "http://a.example.com/")) == (FailureKind.DNS_FAILED, False)
    async with door(names=Names([])) as egress:
        assert failed(await ask(egress, "http://a.example.com/")) == (FailureKind.DNS_FAILED, False)


async def test_names_are_kept_for_a_while() -> None:
    raw = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for seconds, wanted in ((10, 1), (0, 3)):
        names = Names(["127.0.0.1"])
        limits = EgressLimits(names_cached_seconds=seconds)
        async with server(answering(raw)) as port, door(names=names, limits=limits) as egress:
            for _ in range(3):
                assert ok(await ask(egress, URL.format(port)))
        assert names.asked == wanted


async def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    class Hanging(Names):
        async def lookup(self, host: str) -> Sequence[str]:
            if host == "slow.example.com":
                await asyncio.sleep(30)
            return ["127.0.0.1"]

    egress = Egress(LOOPBACK, Hanging([]).lookup, EgressLimits(connections_per_host=1))
    await egress.open()
    async with server(silent) as port, asyncio.timeout(3):
        urls = (URL.format(port), URL.format(port), "http://slow.example.com/")
        asked = [asyncio.create_task(ask(egress, url)) for url in urls]
        await asyncio.sleep(0.1)
        await egress.close()
        found = [failed(exchange) for exchange in await asyncio.gather(*asked)]
    assert found == [
        (FailureKind.CONNECTION_LOST, True),
        (FailureKind.CONNECT_REFUSED, False),
        (FailureKind.DNS_FAILED, False),
    ]


async def test_tls_connections_are_kept_too_and_share_nothing_with_plain_ones(tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path, "shop.example.com")
    peer = Counting(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    async with server(peer, theirs) as port, door(tls=ours) as egress:
        for _ in range(5):
            assert ok(await ask(egress, f"https://shop.example.com:{port}/"))
        assert peer.connections == 1
        plain = await ask(egress, f"http://shop.example.com:{port}/", 1.0)
        assert isinstance(plain, TransportFailure)
        assert plain.bytes_written
        assert ok(await ask(egress, f"https://shop.example.com:{port}/"))


async def test_a_handshake_that_never_ends_is_a_connect_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    limits = EgressLimits(connect_timeout_seconds=0.2)
    async with server(silent) as port, door(limits=limits) as egress:
        found = await ask(egress, f"https://a.example.com:{port}/")
    assert failed(found) == (FailureKind.CONNECT_TIMEOUT, False)


async def test_a_literal_ipv6_address_is_connected_to_as_it_stands() -> None:
    policy = AddressPolicy((ipaddress.ip_network("::1/128"),), https_required=False)
    names = Names(["127.0.0.1"])
    async with server(Counting()) as port, door(policy, names) as egress:
        # Nobody listens there, whether or not this machine has the protocol.
        found = await ask(egress, f"http://[0:0:0:0:0:0:0:1]:{port}/")
    assert failed(found) == (FailureKind.CONNECT_REFUSED, False)
    assert names.asked == 0

"""The one door out, on real sockets: pinned names, TLS, limits, time-outs, what is told from what."""

import asyncio
import gzip
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sender.addresses import AddressPolicy
from sender.backend_door import BackendDoor
from sender.egress import Egress, EgressLimits
from sender.model import Exchange, FailureKind, HttpAnswer, HttpRequest, TransportFailure, WithheldError

LOOPBACK = AddressPolicy((ipaddress.ip_network("127.0.0.0/8"),), https_required=False)
PUBLIC = AddressPolicy((), https_required=False)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A raw server; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def answering(raw: bytes, seen: list[bytes] | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if seen is not None:
                seen.append(head)
            writer.write(raw)
            await writer.drain()
            if b"Content-Length" not in raw:
                return

    return handle


class Names:
    """Answers names from a list, one answer after the other; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def lookup(self, host: str) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def door(
    policy: AddressPolicy = LOOPBACK,
    names: Names | None = None,
    limits: EgressLimits | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Egress]:
    made = Egress(policy, (names or Names(["127.0.0.1"])).lookup, limits, tls)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def ask(egress: Egress, url: str, timeout: float = 3.0, **headers: str) -> Exchange:
    request = HttpRequest("GET", url, headers)
    return await egress.exchange(request, timeout_seconds=timeout, before_write=lambda: None)


def failed(exchange: Exchange) -> tuple[FailureKind, bool]:
    assert isinstance(exchange, TransportFailure)
    return exchange.kind, exchange.bytes_written


async def test_a_name_is_connected_to_at_the_address_that_was_checked() -> None:
    seen: list[bytes] = []
    async with server(answering(OK, seen)) as port, door() as egress:
        found = await ask(egress, f"http://shop.example.com:{port}/path?q=1")
    assert isinstance(found, HttpAnswer)
    assert (found.status, found.body, found.complete) == (200, b"ok", True)
    assert seen[0].startswith(b"GET /path?q=1 HTTP/1.1\r\nHost: shop.example.com:")


async def test_a_name_that_moves_to_a_refused_address_is_refused() -> None:
    # Rebinding: allowed when first asked, loopback of another range afterwards.
    policy = AddressPolicy((ipaddress.ip_network("127.0.0.1/32"),), https_required=False)
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    limits = EgressLimits(names_cached_seconds=0, keep_alive_seconds=0.05)
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    async with server(answering(raw)) as port, door(policy, names, limits) as egress:
        assert isinstance(await ask(egress, f"http://shop.example.com:{port}/"), HttpAnswer)
        await asyncio.sleep(0.1)
        found = await ask(egress, f"http://shop.example.com:{port}/")
    assert failed(found) == (FailureKind.ADDRESS_REFUSED, False)


async def test_one_refused_answer_among_good_ones_spoils_the_name() -> None:
    async with door(names=Names(["127.0.0.1", "10.0.0.1"])) as egress:
        assert failed(await ask(egress, "http://shop.example.com/")) == (FailureKind.ADDRESS_REFUSED, False)


@pytest.mark.parametrize("host", ["127。0。0。1", "①②⑦.⓪.0.1", "localhost.", "0x7f.1", "0177.0.0.1"])
async def test_no_spelling_slips_past(host: str) -> None:
    seen: list[bytes] = []
    async with server(answering(OK, seen)) as port, door(PUBLIC) as egress:
        found = await ask(egress, f"http://{host}:{port}/")
    assert isinstance(found, TransportFailure)
    assert not found.bytes_written
    assert seen == []


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    async with server(answering(OK, seen)) as proxy_port, server(answering(OK)) as port, door() as egress:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
        assert isinstance(await ask(egress, f"http://shop.example.com:{port}/"), HttpAnswer)
    assert seen == []


async def test_what_before_write_says_is_obeyed_after_the_connection_is_made() -> None:
    seen: list[bytes] = []
    connected = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        seen.append(await reader.read())

    def no() -> None:
        raise WithheldError("guarded_person", "no")

    async with server(handle) as port, door() as egress:
        with pytest.raises(WithheldError):
            await egress.exchange(
                HttpRequest("POST", f"http://a.example.com:{port}/", {}, b"secret text"),
                timeout_seconds=3,
                before_write=no,
            )
        await asyncio.wait_for(connected.wait(), 3)
        await asyncio.sleep(0.05)
    assert seen == [b""]


async def test_time_outs_before_and_after_writing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as port, door() as egress:
        began = time.monotonic()
        found = await ask(egress, f"http://a.example.com:{port}/", timeout=0.3)
        assert failed(found) == (FailureKind.TIMED_OUT, True)
        assert time.monotonic() - began < 1.5


async def test_a_name_server_that_hangs_is_a_connect_timeout() -> None:
    class Hanging(Names):
        async def lookup(self, host: str) -> Sequence[str]:
            await asyncio.sleep(30)
            return []

    async with door(names=Hanging([]), limits=EgressLimits(connect_timeout_seconds=0.2)) as egress:
        assert failed(await ask(egress, "http://a.example.com/")) == (FailureKind.CONNECT_TIMEOUT, False)


async def test_a_full_pool_is_no_attempt() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    limits = EgressLimits(connections_per_host=1, connect_timeout_seconds=0.2)
    async with server(silent) as port, door(limits=limits) as egress:
        first = asyncio.create_task(ask(egress, f"http://a.example.com:{port}/", timeout=0.8))
        await asyncio.sleep(0.05)
        second = await ask(egress, f"http://a.example.com:{port}/", timeout=0.8)
        assert failed(second) == (FailureKind.CONNECT_TIMEOUT, False)
        assert failed(await first) == (FailureKind.TIMED_OUT, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
async def test_an_answer_that_breaks_off_keeps_its_status(raw: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    async with server(handle) as port, door() as egress:
        found = await ask(egress, f"http://a.example.com:{port}/")
    assert isinstance(found, HttpAnswer)
    assert (found.status, found.complete) == (200, False)


async def test_an_endless_answer_is_cut() -> None:
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 200_000_000:
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with server(handle) as port, door(limits=EgressLimits(answer_bytes=50_000)) as egress:
        found = await ask(egress, f"http://a.example.com:{port}/")
    assert isinstance(found, HttpAnswer)
    assert (len(found.body), found.complete) == (50_000, False)
    assert sent < 50_000_000


async def test_an_answer_that_trickles_ends_with_the_time() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with server(handle) as port, door() as egress:
        began = time.monotonic()
        found = await ask(egress, f"http://a.example.com:{port}/", timeout=0.5)
        assert time.monotonic() - began < 2
    assert isinstance(found, HttpAnswer)
    assert not found.complete


async def test_a_compressed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(b"0" * 50_000_000)
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    async with server(answering(raw)) as port, door() as egress:
        found = await ask(egress, f"http://a.example.com:{port}/")
    assert isinstance(found, HttpAnswer)
    assert not found.complete
    assert len(found.body) <= len(packed)


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9\r\n", b"\x00" * 100, b"HTTP/1.1 abc\r\n\r\n"])
async def test_what_is_not_http(raw: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    async with server(handle) as port, door() as egress:
        kind, written = failed(await ask(egress, f"http://a.example.com:{port}/"))
    assert written
    assert kind in {FailureKind.PROTOCOL_ERROR, FailureKind.CONNECTION_LOST}


async def test_cookies_are_not_kept() -> None:
    seen: list[bytes] = []
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"
    async with server(answering(raw, seen)) as port, door() as egress:
        await ask(egress, f"http://a.example.com:{port}/")
        await ask(egress, f"http://a.example.com:{port}/")
    assert len(seen) == 2
    assert b"ookie" not in seen[1]


@pytest.mark.parametrize(
    "headers", [{"X-A": "b\r\nX-B: c"}, {"X-A": "é"}, {"X A": "b"}, {"X-A\r\n": "b"}, {"": "b"}]
)
async def test_headers_that_are_none(headers: dict[str, str]) -> None:
    async with door() as egress:
        found = await egress.exchange(
            HttpRequest("GET", "http://a.example.com/", headers), timeout_seconds=1, before_write=lambda: None
        )
    assert failed(found) == (FailureKind.BAD_REQUEST, False)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(path)
    return theirs, ssl.create_default_context(cafile=str(path))


async def test_tls_with_a_trusted_name(tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path, "shop.example.com")
    async with server(answering(OK), theirs) as port, door(tls=ours) as egress:
        found = await ask(egress, f"https://shop.example.com:{port}/")
        wrong_name = await ask(egress, f"https://other.example.com:{port}/")
    assert isinstance(found, HttpAnswer)
    assert failed(wrong_name) == (FailureKind.TLS_FAILED, False)


async def test_tls_that_nobody_trusts(tmp_path: Path) -> None:
    theirs, _ = certificate(tmp_path, "shop.example.com")
    async with server(answering(OK), theirs) as port, door() as egress:
        found = await ask(egress, f"https://shop.example.com:{port}/")
    assert failed(found) == (FailureKind.TLS_FAILED, False)


async def test_plain_http_behind_an_https_url_is_no_tls() -> None:
    async with server(answering(OK)) as port, door() as egress:
        found = await ask(egress, f"https://shop.example.com:{port}/")
    assert failed(found)[1] is False


async def test_plain_http_reaches_the_operators_own_ranges_only() -> None:
    names = Names(["127.0.0.1"])
    allowed = (ipaddress.ip_network("127.0.0.0/8"),)
    anywhere = Egress(AddressPolicy(allowed), names.lookup)
    own = Egress(AddressPolicy(allowed, https_required=False, nothing_else=True), names.lookup)
    door = BackendDoor(anywhere, own)

    async def ask(url: str) -> Exchange:
        return await door.exchange(HttpRequest("GET", url), timeout_seconds=5, before_write=lambda: None)

    await anywhere.open()
    await own.open()
    try:
        async with server(answering(OK)) as port:
            assert isinstance(await ask(f"http://127.0.0.1:{port}/"), HttpAnswer)
            assert isinstance(await ask(f"http://evolution.internal:{port}/"), HttpAnswer)
        for url in ("http://10.1.2.3/", "http://93.184.216.34/"):
            refused = await ask(url)
            assert isinstance(refused, TransportFailure)
            assert refused.kind is FailureKind.ADDRESS_REFUSED
    finally:
        await anywhere.close()
        await own.close()

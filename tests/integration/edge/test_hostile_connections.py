"""Strangers who speak HTTP badly on purpose: heads without end, half-open connections, floods, smuggled headers."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from integration.edge.edge_under_test import SECRET_HEADER, WEBHOOK, Edge, read_answer, running_edge
from integration.edge.scripted_core import SECRET

from edge.connection import ConnectionLimits

EVENT = b'{"event_type":"test"}'
GENERIC = b'{"success": false, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}'


@pytest_asyncio.fixture
async def hasty() -> AsyncIterator[Edge]:
    """An edge that waits 0.3 s for a head."""
    async with running_edge(limits=ConnectionLimits(head_seconds=0.3)) as running:
        yield running


def post(*lines: str, path: str = WEBHOOK, body: bytes = EVENT, length: int | None = None) -> bytes:
    """A request with its length."""
    size = len(body) if length is None else length
    head = (f"POST {path} HTTP/1.1", "Host: edge", f"Content-Length: {size}", *lines, "", "")
    return "\r\n".join(head).encode("latin-1") + body


def with_secret(*lines: str, **options: bytes | str | int) -> bytes:
    """A request that proves itself."""
    return post(f"{SECRET_HEADER}: {SECRET}", *lines, **options)  # type: ignore[arg-type]


async def all_that_comes(edge: Edge, *parts: bytes, seconds: float = 5.0) -> tuple[bytes, bool]:
    """Everything the edge says to these bytes, and whether it closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    said = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(65_536):
                said += chunk
        return said, True
    except ConnectionError:
        return said, True
    except TimeoutError:
        return said, False
    finally:
        writer.close()


@pytest.mark.parametrize(
    "piece", [b"a" * 65_536, b"X-Same: value\r\n" * 4_000], ids=["one header", "many headers"]
)
async def test_a_head_without_end_is_not_read(edge: Edge, piece: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"POST /api/send-message HTTP/1.1\r\nHost: edge\r\n" + (b"" if b"\r" in piece else b"X: "))
    taken = 0
    try:
        async with asyncio.timeout(10):
            while taken < 50_000_000:
                writer.write(piece)
                await writer.drain()
                taken += len(piece)
    except ConnectionError:
        pass
    finally:
        writer.close()
    # What fits into the sockets' own buffers is not the edge's to refuse.
    assert taken < 20_000_000
    assert (await edge.client.get("/healthz")).status_code == 200


async def test_a_large_head_is_refused_and_an_ordinary_one_is_not(edge: Edge) -> None:
    assert (await edge.raw(with_secret("X-Trace: " + "a" * 15_000))).status == 200
    large = await edge.raw(with_secret(*(f"X-{n}: {'a' * 1_000}" for n in range(50))))
    assert (large.status, json.loads(large.body)["error"], large.closed) == (431, "bad_request", True)
    assert (await edge.raw(post(path="/" + "a" * 50_000))).status == 431


@pytest.mark.parametrize("beginning", [b"", b"POST /", with_secret()[:-30], b"\r\n"])
async def test_a_head_that_does_not_come_ends_the_connection(hasty: Edge, beginning: bytes) -> None:
    _, closed = await all_that_comes(hasty, beginning, seconds=5)
    assert closed


async def test_a_head_that_trickles_ends_with_its_time(hasty: Edge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    async with asyncio.timeout(8):
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        for number in range(1_000):
            writer.write(f"X-{number}: a\r\n".encode())
            await asyncio.sleep(0.05)
            # Who closes before everything was read resets the connection.
            if reader.at_eof() or reader.exception() is not None:
                break
    writer.close()
    assert number < 100


async def test_a_second_head_that_does_not_come_ends_the_connection_too(hasty: Edge) -> None:
    said, closed = await all_that_comes(hasty, with_secret() + b"POST /x HT", seconds=5)
    assert closed
    assert said.startswith(b"HTTP/1.1 200 OK")


async def test_a_slow_answer_is_not_a_slow_head(hasty: Edge) -> None:
    hasty.core.hold.clear()
    asking = asyncio.create_task(hasty.webhook(EVENT))
    await asyncio.sleep(0.8)
    hasty.core.hold.set()
    assert (await asking).status_code == 200


async def test_what_comes_after_a_refusal_cannot_hold_the_connection(hasty: Edge) -> None:
    # Declared small enough to keep the connection, and never sent whole.
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    writer.write(post(length=60_000))
    assert (await read_answer(reader)).body == GENERIC
    dripped = 0
    while not reader.at_eof() and dripped < 100:
        writer.write(b"x")
        await asyncio.sleep(0.05)
        dripped += 1
    writer.close()
    assert dripped < 50


async def test_five_hundred_half_open_connections_hold_up_nobody(edge: Edge) -> None:
    opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", edge.port) for _ in range(500)))
    try:
        for _, writer in opened:
            writer.write(with_secret()[:-40])
        for _ in range(20):
            assert (await edge.webhook(EVENT)).status_code == 200
    finally:
        for _, writer in opened:
            writer.close()


async def test_more_connections_than_there_is_room_for_are_closed() -> None:
    async with running_edge(limits=ConnectionLimits(connections=20)) as edge:
        await _crowd(edge)


async def _crowd(edge: Edge) -> None:
    assert (await edge.webhook(EVENT)).status_code == 200
    opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", edge.port) for _ in range(40)))
    try:
        ended = await asyncio.gather(*(_ended(reader) for reader, _ in opened))
        assert 15 < ended.count(False) <= 20
        # Whoever was in keeps being served.
        assert (await edge.webhook(EVENT)).status_code == 200
    finally:
        for _, writer in opened:
            writer.close()


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(1.0):
            return await reader.read(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_pipelined_requests_are_answered_in_order(edge: Edge) -> None:
    paths = ("/healthz", "/readyz", "/", "/nowhere") * 3
    burst = b"".join(f"GET {path} HTTP/1.1\r\nHost: e\r\n\r\n".encode() for path in paths)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(burst)
    answers = [await read_answer(reader) for _ in paths]
    writer.close()
    assert [answer.status for answer in answers] == [200, 200, 200, 404] * 3


async def test_a_flood_of_pipelined_requests_is_cut_short(edge: Edge) -> None:
    burst = b"GET /healthz HTTP/1.1\r\n\r\n" * 20_000
    said, closed = await all_that_comes(edge, burst, seconds=20)
    assert closed
    assert said.count(b"HTTP/1.1 200 OK") <= 200


async def test_trailers_are_not_headers() -> None:
    async with running_edge(trusted="127.0.0.0/8") as edge:
        lines = (
            "POST /integrations/3cx/webhook/int_far HTTP/1.1",
            "Host: edge",
            "Transfer-Encoding: chunked",
        )
        head = "\r\n".join((*lines, f"{SECRET_HEADER}: {SECRET}", "X-Forwarded-For: 198.51.100.7", "", ""))
        chunks = b"%x\r\n%s\r\n0\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n" % (len(EVENT), EVENT)
        answer = await edge.raw(head.encode() + chunks)
        assert (answer.status, answer.body) == (401, GENERIC)


async def test_trailers_neither_spoil_nor_flood(edge: Edge) -> None:
    head = f"POST {WEBHOOK} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{SECRET_HEADER}: {SECRET}\r\n\r\n"
    chunks = b"%x\r\n%s\r\n0\r\n" % (len(EVENT), EVENT)
    fine = await edge.raw(head.encode() + chunks + f"{SECRET_HEADER}: other\r\n\r\n".encode())
    assert fine.status == 200
    said, closed = await all_that_comes(
        edge, head.encode() + chunks, *(b"X: " + b"a" * 9_000 + b"\r\n" for _ in range(100))
    )
    assert closed
    assert b" 200 " not in said


async def test_what_is_not_http_is_told_so_in_json(edge: Edge) -> None:
    for raw in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        answer = await edge.raw(raw)
        assert (answer.status, json.loads(answer.body)["error"], answer.closed) == (400, "bad_request", True)
    for line in ("Transfer-Encoding: chunked", "Content-Length: 5", "X : y", "X: a\x00b", "X: a\rb"):
        assert (await edge.raw(with_secret(line))).status == 400


async def test_garbage_behind_a_request_does_not_take_its_answers_place(edge: Edge) -> None:
    edge.core.hold.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(with_secret() + b"\x00garbage\r\n\r\n")
    await asyncio.sleep(0.2)
    edge.core.hold.set()
    answer = await read_answer(reader)
    writer.close()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"


async def test_broken_chunks_end_the_request_they_belong_to(edge: Edge) -> None:
    head = f"POST {WEBHOOK} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{SECRET_HEADER}: {SECRET}\r\n\r\n"
    answer = await edge.raw(head.encode(), b"5\r\nhello\r\nzz\r\n", wait=0.1)
    assert (answer.status, answer.closed) == (400, True)
    assert edge.core.submissions == []


async def test_a_refused_expectation_closes_the_connection(edge: Edge) -> None:
    # A caller told 401 instead of 100 need not send its body; what it sends next must not be taken for one.
    head = post("Expect: 100-continue", body=b"", length=50)
    answer = await edge.raw(head)
    assert (answer.status, answer.body, answer.closed) == (401, GENERIC, True)
    other = await edge.raw(head.replace(b"int_1", b"int_unknown"))
    assert (other.body, other.headers) == (answer.body, answer.headers)


async def test_an_upgrade_ends_with_its_answer(edge: Edge) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\n\r\n"
    for upgrade in ("h2c", "websocket"):
        raw = with_secret("Connection: Upgrade", f"Upgrade: {upgrade}") + smuggled
        said, closed = await all_that_comes(edge, raw)
        assert closed
        assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "path",
    [
        "/integrations/3cx/webhookint_1",
        "/integrations/3cx/webhook%2Fint_1",
        "/integrations/3cx/webhook/integrations/3cx/webhook/int_1",
        "/integrations/3cx/webhook/x/../int_1",
        "/integrations/3cx/webhook/%2e%2e/webhook/int_1",
        "/integrations/3cx/webhook/",
        "/integrations/3cx/webhook/int_1/int_1",
        "/INTEGRATIONS/3cx/webhook/int_1",
    ],
)
async def test_only_the_webhooks_own_address_is_the_webhook(edge: Edge, path: str) -> None:
    answer = await edge.raw(with_secret(path=path))
    assert (answer.status, json.loads(answer.body)["error"]) == (404, "not_found")


@pytest.mark.parametrize("tail", ["%00", "%ff", "%D9%A1", ";a=b", "a" * 10_000, "int_1%00", "int_1%20"])
async def test_odd_ids_are_unknown_ids(edge: Edge, tail: str) -> None:
    answer = await edge.raw(with_secret(path=f"/integrations/3cx/webhook/{tail}"))
    assert (answer.status, answer.body) == (401, GENERIC)


async def test_a_secret_in_the_query_proves_nothing(edge: Edge) -> None:
    answer = await edge.raw(post(path=f"{WEBHOOK}?secret={SECRET}&{SECRET_HEADER}={SECRET}"))
    assert (answer.status, answer.body) == (401, GENERIC)


async def test_two_of_a_header_prove_nothing(edge: Edge) -> None:
    for first, second in ((SECRET, "other"), ("other", SECRET), (SECRET, SECRET)):
        answer = await edge.raw(post(f"{SECRET_HEADER}: {first}", f"{SECRET_HEADER}: {second}"))
        assert (answer.status, answer.body) == (401, GENERIC)


QUERY = "&".join(f"a{number}=1" for number in range(150))


@pytest.mark.parametrize(
    "path",
    [
        f"/admin/decisions?{QUERY}",
        f"/webhooks/whatsapp/cloud_api/ins_cloud_api?{QUERY}",
        f"/sandbox/ins_sandbox/messages?{QUERY}",
        "/admin/decisions?limit=%ff%00",
        "/admin/decisions?" + ";" * 5_000,
    ],
)
async def test_no_query_is_a_fault_of_ours(edge: Edge, path: str) -> None:
    answer = await edge.raw(f"GET {path} HTTP/1.1\r\nHost: e\r\n\r\n".encode())
    assert answer.status < 500


@pytest.mark.parametrize("token", ["\xff\xe9", "a\tb", "a b", "a" * 14_000, "a, Bearer b", "\xa0", "é" * 40])
@pytest.mark.parametrize("path", ["/admin/decisions", "/admin/decisions/1", "/api/messages/msg_1"])
async def test_no_token_is_a_fault_of_ours(edge: Edge, path: str, token: str) -> None:
    answer = await edge.raw(f"GET {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode("latin-1"))
    assert answer.status == 401


async def test_no_sandbox_token_is_a_fault_of_ours() -> None:
    async with running_edge(sandbox="admin") as edge:
        for token in ("\xff", "a\tb", "a" * 14_000):
            request = f"GET /sandbox/ins_sandbox/messages HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n"
            assert (await edge.raw(request.encode("latin-1"))).status == 401


async def test_a_stranger_is_asked_for_a_token_before_anything_else(edge: Edge) -> None:
    for path in (
        "/admin/decisions?limit=0",
        "/admin/decisions?limit=many",
        "/admin/decisions/x",
        "/admin/decisions/1",
    ):
        answer = await edge.client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")

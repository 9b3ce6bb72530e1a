"""The real edge on a real port, in front of a scripted policy core; and a plain client that hides nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from integration.edge.scripted_core import EDGE_TOKEN, SECRET, ScriptedCore, serving

from edge.connection import ConnectionLimits
from edge.main import serve
from edge.settings import Listen, Settings
from edge.webhooks.authenticate import parse_network

WEBHOOK = "/integrations/3cx/webhook/int_1"
SECRET_HEADER = "X-WhatsApp-Gateway-3CX-Secret"


@dataclass
class Edge:
    """A running edge."""

    port: int
    core: ScriptedCore
    client: httpx.AsyncClient

    async def webhook(
        self, body: bytes, integration: str = "int_1", secret: str | None = SECRET, **headers: str
    ) -> httpx.Response:
        """Posts to the 3CX webhook."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if secret is not None:
            sent[SECRET_HEADER] = secret
        return await self.client.post(f"/integrations/3cx/webhook/{integration}", content=body, headers=sent)

    async def raw(self, request: bytes, *more: bytes, wait: float = 0.0, close: bool = True) -> "RawAnswer":
        """Sends bytes as they are, `more` after a pause each, and reads what comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in (request, *more):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(wait)
            return await read_answer(reader)
        finally:
            if close:
                writer.close()


@dataclass
class RawAnswer:
    """An HTTP answer, byte by byte."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool = field(default=False)


async def read_answer(reader: asyncio.StreamReader) -> RawAnswer:
    """Reads one answer, and whether the connection was closed after it."""
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in filter(None, head[1:]):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        closed = headers.get("connection") == "close" and await reader.read(1) == b""
    return RawAnswer(int(head[0].split()[1]), headers, body, closed)


@asynccontextmanager
async def edge_on(
    core_port: int,
    core: ScriptedCore,
    sandbox: Literal["open", "admin", "off"] = "open",
    trusted: str = "",
    cut_off_seconds: float = 10.0,
    metrics: Listen | None = None,
    ready_first: bool = True,
    limits: ConnectionLimits | None = None,
    public_url: str = "",
) -> AsyncIterator[Edge]:
    """Serves the edge, and stops it."""
    network = parse_network(trusted) if trusted else None
    settings = Settings(
        token=EDGE_TOKEN,
        listen=Listen("127.0.0.1", 0),
        policycore_address=f"127.0.0.1:{core_port}",
        trusted_proxies=(network,) if network is not None else (),
        metrics_listen=metrics,
        sandbox=sandbox,
        public_url=public_url,
    )
    stop = asyncio.Event()
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, stop, bound.set_result, cut_off_seconds, limits))
    port = int((await asyncio.wait_for(bound, 10)).rpartition(":")[2])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        edge = Edge(port, core, client)
        if ready_first:
            await until(lambda: core.watchers > 0)
            await until_status(client, "/readyz", 200)
        yield edge
    stop.set()
    await asyncio.wait_for(task, 20)


@asynccontextmanager
async def running_edge(**options: Any) -> AsyncIterator[Edge]:
    """A scripted core and an edge in front of it."""
    core = ScriptedCore()
    async with serving(core) as core_port, edge_on(core_port, core, **options) as edge:
        yield edge


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits for a condition that nobody signals."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for lies beyond a socket
            await asyncio.sleep(0.01)


async def until_status(client: httpx.AsyncClient, path: str, status: int, seconds: float = 15.0) -> None:
    """Waits until a page answers with a status."""
    async with asyncio.timeout(seconds):
        while (await client.get(path)).status_code != status:  # noqa: ASYNC110 - polls a server
            await asyncio.sleep(0.02)

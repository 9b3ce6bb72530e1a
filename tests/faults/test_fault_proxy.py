"""The proxy passes everything on in good weather, and makes each kind of bad weather."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from faults.proxy import Proxy, Weather


class Echo:
    """A server that says everything back, and counts what it was told."""

    def __init__(self) -> None:
        self.heard = b""
        self.something = asyncio.Event()
        self.server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listens; returns the port."""
        self.server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            self.heard += piece
            self.something.set()
            writer.write(piece)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    """An echo behind a proxy."""
    server = Echo()
    proxy = await Proxy("test", await server.start()).start()
    yield server, proxy
    await proxy.stop()
    if server.server is not None:
        server.server.close()


async def _call(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_in_good_weather_everything_passes(echo: tuple[Echo, Proxy]) -> None:
    reader, writer = await _call(echo[1])
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_a_cut_is_an_end_and_a_reset_is_an_error(echo: tuple[Echo, Proxy]) -> None:
    reader, writer = await _call(echo[1])
    writer.write(b"a")
    await reader.readexactly(1)
    echo[1].cut()
    assert await reader.read() == b""
    reader, writer = await _call(echo[1])
    writer.write(b"b")
    await reader.readexactly(1)
    echo[1].reset()
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_what_is_lost_stays_lost_and_ends_the_connection(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    proxy.weather = Weather(mute=True)
    reader, writer = await _call(proxy)
    writer.write(b"told")
    await server.something.wait()
    proxy.clear()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert server.heard == b"told"


async def test_silence_reaches_nobody(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    proxy.weather = Weather(silent=True)
    reader, writer = await _call(proxy)
    writer.write(b"told")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.read(1)
    assert server.heard == b""


async def test_a_connection_may_be_refused_or_reset_in_its_midst(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    proxy.weather = Weather(refusing=True)
    reader, _ = await _call(proxy)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    proxy.weather = Weather(resets_after=3)
    reader, writer = await _call(proxy)
    writer.write(b"more than three")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert server.heard == b""


async def test_behind_a_proxy_there_may_be_nobody(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    if server.server is not None:
        server.server.close()
        await server.server.wait_closed()
    reader, _ = await _call(proxy)
    with pytest.raises(ConnectionResetError):
        await reader.read()

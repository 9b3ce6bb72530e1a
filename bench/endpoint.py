"""A customer's endpoint that takes events: a good one answers at once, a dead one never does."""

import asyncio
import contextlib
import json
import time
from collections.abc import Collection


class Endpoint:
    """Listens on the loopback address. `arrived` has the time at which each message's event came, by its id."""

    def __init__(self, *, answers: bool) -> None:
        self.arrived: dict[str, float] = {}
        self.url = ""
        self._answers = answers
        self._news = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> "Endpoint":
        """Begins to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/events"
        return self

    async def has(self, ids: Collection[str], seconds: float) -> None:
        """Returns when all of these have come, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.arrived.keys() >= set(ids):
                    self._news.clear()
                    await self._news.wait()

    def stop(self) -> None:
        """Takes no more connections."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower():
                body = await reader.readexactly(int(head.split("content-length: ", 1)[1].split("\r\n", 1)[0]))
                if not self._answers:
                    await reader.read()
                    return
                self.arrived.setdefault(json.loads(body)["external_message_id"], time.perf_counter())
                self._news.set()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

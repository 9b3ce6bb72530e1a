"""Connections that end when an answer is more than an answer: floods of interim heads, of framing, of nothing.

The client library skips interim heads (1xx), blank lines and chunk extensions for as long as they come. Within one
exchange's time that is half a gigabyte of work, on the loop that every other delivery needs as well.
"""

import asyncio

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

MOST_HEADS = 16
"""Interim heads before an answer: there is one `100 Continue`, perhaps some `103 Early Hints`."""


class BoundedHandler(ResponseHandler):
    """Reads the answers of one connection, one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most_bytes: int) -> None:
        super().__init__(loop)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._heads = 0

    def begin_exchange(self) -> None:
        """Counts anew, for the answer to the next request."""
        self._bytes = self._heads = 0

    def data_received(self, data: bytes) -> None:
        """Takes what came; past the limit the connection ends, and with it the answer."""
        super().data_received(data)
        self._bytes += len(data)
        if self._bytes > self._most_bytes and self.transport is not None:
            self.transport.abort()

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """The next head. Raises `aiohttp.ClientPayloadError` when there are too many."""
        self._heads += 1
        if self._heads > MOST_HEADS:
            self.force_close()
            raise aiohttp.ClientPayloadError("too many interim answers")
        return await super().read()


class BoundedConnector(aiohttp.TCPConnector):
    """Makes such connections; everything else is the library's."""

    def bound(self, most_bytes: int) -> None:
        """Every connection made from now on reads at most so many bytes for one exchange."""
        loop = asyncio.get_running_loop()
        self._factory = lambda: BoundedHandler(loop, most_bytes)  # type: ignore[assignment]

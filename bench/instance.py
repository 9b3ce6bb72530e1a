"""The stand-in instance, a process of its own: an Evolution API that takes every message after a fixed time.

Answers `sendText` with the message's id, `connectionState` with "open", and `GET /arrivals` with what arrived
since the last time it was asked: for each mark the ids that were given, in order. Prints its port first.
"""

import argparse
import asyncio
import json
import re
import signal
from typing import Any, cast

import httptools
import uvloop

from bench.requests import TOKEN

_TOKEN = re.compile(TOKEN.encode())
_STATE = b'{"instance":{"instanceName":"bench","state":"open"}}'


class Arrivals:
    """Which message arrived how often, by the mark in its text."""

    def __init__(self) -> None:
        self._by_token: dict[str, list[str]] = {}
        self._count = 0

    def note(self, body: bytes) -> str:
        """Notes a message; returns the id given to it."""
        self._count += 1
        message_id = f"3EB0{self._count:016X}"
        found = _TOKEN.search(body)
        token = found.group().decode() if found else "unmarked"
        self._by_token.setdefault(token, []).append(message_id)
        return message_id

    def take(self) -> bytes:
        """What arrived since the last time, as JSON."""
        taken, self._by_token = self._by_token, {}
        return json.dumps(taken).encode()


class Connection(asyncio.Protocol):
    """One connection of the sender."""

    def __init__(self, arrivals: Arrivals, delay_seconds: float) -> None:
        self._arrivals = arrivals
        self._delay = delay_seconds
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._url = b""
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """A request begins."""
        self._url = url
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        """A part of the request's body."""
        self._body += body

    def on_message_complete(self) -> None:
        """A request is whole: it arrived now, and is answered a little later."""
        if self._url.startswith(b"/message/sendText/"):
            message_id = self._arrivals.note(bytes(self._body))
            words = f'{{"key":{{"fromMe":true,"id":"{message_id}"}},"status":"PENDING"}}'
            self._loop.call_later(self._delay, self._answer, b"201 Created", words.encode())
        elif self._url == b"/arrivals":
            self._answer(b"200 OK", self._arrivals.take())
        elif self._url.startswith(b"/instance/connectionState/"):
            self._answer(b"200 OK", _STATE)
        else:
            self._answer(b"404 Not Found", b"{}")

    def _answer(self, status: bytes, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(body), body)
            )


async def _serve(delay_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    arrivals = Arrivals()
    server = await loop.create_server(
        lambda: Connection(arrivals, delay_seconds), "127.0.0.1", 0, backlog=2048
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    """Runs the stand-in until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=2.0)
    uvloop.run(_serve(parser.parse_args().delay_ms / 1000))


if __name__ == "__main__":
    main()

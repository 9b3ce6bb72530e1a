"""What every stand-in shares: an HTTP server on loopback, a log of what it received, scripted answers.

Besides its vendor's paths each stand-in serves `GET /_log` (what it received), `DELETE /_log` (forget it) and
`POST /_control` with `{"key": "<digits or *>", "status": 500, "body": …, "delay_seconds": 1, "times": 1,
"drop": "before_answer"}` (what to answer next); `DELETE /_control` forgets all of it.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import aiohttp
from aiohttp import web

ANYONE = "*"


@dataclass(frozen=True, slots=True)
class Script:
    """What to answer instead of success.

    `body` is JSON, or bytes as they stand. `drop` is "" or "before_answer": close the connection, with the
    request taken and nothing answered. `accepts`: the message counts as sent in spite of the answer.
    """

    status: int = 0
    body: Any = None
    delay_seconds: float = 0.0
    drop: str = ""
    accepts: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `to` is the vendor's form of the address of a send; `accepted` if it was a success."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    to: str = ""
    text: str = ""
    external_message_id: str = ""
    accepted: bool = False
    at: float = field(default_factory=time.time)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Peer(ABC):
    """A stand-in. Subclasses add routes in `routes` and call `note` and `play`."""

    name = "peer"

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.base_url = ""
        self.webhook_url = ""
        self._scripts: dict[str, list[Script]] = {}
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._sent = 0
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()

    async def _listen(self, port: int) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_get("/_log", self._show_log)
        app.router.add_delete("/_log", self._forget_log)
        app.router.add_post("/_control", self._take_control)
        app.router.add_delete("/_control", self._forget_control)
        self.routes(app)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    @abstractmethod
    def routes(self, app: web.Application) -> None:
        """Adds the vendor's routes."""

    async def stop(self) -> None:
        """Closes the server and every connection; whoever waits for a slow answer is let go."""
        self._stopping.set()
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._runner is not None:
            for connection in list(self._runner.server.connections if self._runner.server else ()):
                connection.force_close()
            await self._runner.cleanup()
            self._runner = None

    def script(self, key: str, *scripts: Script) -> None:
        """What the person (digits; `*` for anyone) meets: each script `times` times, or for ever if None."""
        self._scripts.setdefault(_digits(key), []).extend(scripts)

    def forget_scripts(self) -> None:
        """Answers as usual again."""
        self._scripts.clear()

    def next_script(self, key: str, *, or_anyones: bool = True) -> Script | None:
        """The script for this person, or for anyone, used up once."""
        for name in (_digits(key), ANYONE) if or_anyones else (_digits(key),):
            waiting = self._scripts.get(name)
            if not waiting:
                continue
            script = waiting[0]
            if script.times is not None:
                left = script.times - 1
                if left > 0:
                    waiting[0] = replace(script, times=left)
                else:
                    waiting.pop(0)
            return script
        return None

    async def play(self, request: web.Request, script: Script) -> web.StreamResponse:
        """The scripted answer."""
        if script.delay_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), script.delay_seconds)
        if script.drop and request.transport is not None:
            request.transport.abort()
            raise ConnectionResetError
        body = script.body
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return web.Response(
            status=script.status or 200,
            body=raw,
            headers={"Content-Type": "application/json", **script.headers},
        )

    def note(self, received: Received) -> None:
        """Remembers a request."""
        self.received.append(received)
        self._arrived.set()

    @property
    def accepted(self) -> list[Received]:
        """Messages that counted as sent."""
        return [item for item in self.received if item.accepted]

    async def wait_received(
        self, count: int = 1, timeout_seconds: float = 5.0, where: Callable[[Received], bool] | None = None
    ) -> list[Received]:
        """The requests that fit, once there are `count` of them. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                found = [item for item in self.received if where is None or where(item)]
                if len(found) >= count:
                    return found
                self._arrived.clear()
                await self._arrived.wait()

    def next_number(self) -> int:
        """1, 2, 3 …: for ids."""
        self._sent += 1
        return self._sent

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """Posts a webhook and returns the HTTP status."""
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        async with self._session.post(
            url, data=body, headers={"Content-Type": "application/json", **headers}
        ) as response:
            await response.read()
            return response.status

    async def _show_log(self, _: web.Request) -> web.Response:
        return web.json_response([_shown(item) for item in self.received])

    async def _forget_log(self, _: web.Request) -> web.Response:
        self.received.clear()
        return web.json_response({"forgotten": True})

    async def _take_control(self, request: web.Request) -> web.Response:
        wish = await request.json()
        key = wish.pop("key", ANYONE)
        self.script(key, Script(**wish))
        return web.json_response({"scripted": key})

    async def _forget_control(self, _: web.Request) -> web.Response:
        self.forget_scripts()
        return web.json_response({"forgotten": True})


def run(start: Callable[[int], Awaitable[Peer]], name: str) -> None:
    """Runs a stand-in as a program: prints its port as the first line, serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=f"Stand-in for {name}.")
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        peer = await start(port)
        print(peer.base_url.rpartition(":")[2], flush=True)
        await stop.wait()
        await peer.stop()

    asyncio.run(serve())


def _digits(key: str) -> str:
    if key == ANYONE:
        return key
    found = "".join(mark for mark in key.partition("@")[0] if mark.isdigit())
    return found or key


def _shown(item: Received) -> dict[str, Any]:
    try:
        body = json.loads(item.body) if item.body else None
    except ValueError:
        body = None
    return {
        "method": item.method,
        "path": item.path,
        "headers": item.headers,
        "json": body,
        "to": item.to,
        "text": item.text,
        "external_message_id": item.external_message_id,
        "accepted": item.accepted,
    }

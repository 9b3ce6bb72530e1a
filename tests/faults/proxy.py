"""A TCP proxy that stands between two processes and can make the network bad: slow, cut, half-open, reset."""

import asyncio
import socket
import struct
from dataclasses import dataclass, field

_PIECE = 1 << 16
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of zero: closing sends RST, and throws away what was not sent."""


@dataclass(slots=True)
class Weather:
    """How the network is. `delay_seconds` each way; `silent`: connections are taken, and nothing passes;
    `mute`: requests pass, answers are lost; `refusing`: every new connection is reset at once; `resets_after`:
    connections are reset once so many bytes have come from the caller.
    """

    delay_seconds: float = 0.0
    silent: bool = False
    mute: bool = False
    refusing: bool = False
    resets_after: int | None = None


@dataclass(slots=True, eq=False)
class _Pair:
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Proxy:
    """Listens on a port of its own and passes on to `host:port`; `weather` may be changed at any moment."""

    def __init__(self, name: str, target_port: int, host: str = "127.0.0.1") -> None:
        self.name = name
        self.weather = Weather()
        self.port = 0
        self.taken = 0
        self._target = (host, target_port)
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> "Proxy":
        """Begins to listen."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def stop(self) -> None:
        """Closes everything."""
        if self._server is not None:
            self._server.close()
        tasks = [task for pair in self._pairs for task in pair.tasks]
        self.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Ends every connection in an orderly way."""
        for pair in list(self._pairs):
            self._end(pair, reset=False)

    def reset(self) -> None:
        """Ends every connection with a reset to both sides."""
        for pair in list(self._pairs):
            self._end(pair, reset=True)

    def lead_to(self, target_port: int) -> None:
        """From the next connection on, passes on to another port."""
        self._target = (self._target[0], target_port)

    def clear(self) -> None:
        """Good weather again. Connections on which something was lost are cut: TCP would not lose it either."""
        lossy = self.weather.silent or self.weather.mute
        self.weather = Weather()
        if lossy:
            self.reset()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        pair = _Pair(writer)
        self._pairs.add(pair)
        if self.weather.refusing:
            self._end(pair, reset=True)
            return
        try:
            far_reader, pair.far = await asyncio.open_connection(*self._target)
        except OSError:
            self._end(pair, reset=True)
            return
        if pair not in self._pairs:
            pair.far.transport.abort()
            return
        pair.tasks = [
            asyncio.create_task(self._pass(pair, reader, pair.far, answers=False)),
            asyncio.create_task(self._pass(pair, far_reader, writer, answers=True)),
        ]

    async def _pass(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        passed = 0
        try:
            while piece := await reader.read(_PIECE):
                passed += len(piece)
                weather = self.weather
                if weather.resets_after is not None and not answers and passed > weather.resets_after:
                    self._end(pair, reset=True)
                    return
                if weather.delay_seconds:
                    await asyncio.sleep(weather.delay_seconds)
                if self.weather.silent or (answers and self.weather.mute):
                    continue
                if pair not in self._pairs:
                    return
                writer.write(piece)
                await writer.drain()
            self._end(pair, reset=False)
        except (OSError, RuntimeError):
            # uvloop says with a RuntimeError that the other side's transport has just been closed.
            self._end(pair, reset=True)

    def _end(self, pair: _Pair, *, reset: bool) -> None:
        self._pairs.discard(pair)
        for writer in (pair.near, pair.far):
            if writer is None:
                continue
            link: socket.socket | None = writer.get_extra_info("socket")
            if reset and link is not None and link.fileno() >= 0:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()

"""The Call Control socket of a phone system: opened through the one door out, read frame by frame.

The protocol is `websockets`' own; the connection under it is made by the door, to a checked address. Nothing of the
library that connects, follows redirects or asks a proxy is used. https://www.3cx.com/docs/call-control-api-endpoints/
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.uri import parse_uri

from sender.addresses import AddressRefusedError
from sender.pbx.facts import OddAnswerError, PbxConnection, SocketEvent, read_event
from sender.pbx.tokens import PbxError, Tokens
from sender.request_head import BadRequestError

CONNECT_SECONDS = 10.0
PING_SECONDS = 20.0
LARGEST_FRAME_BYTES = 65_536
FRAMES_IN_HAND = 1_024
_CLOSE_SECONDS = 2.0

# The library writes headers, and so tokens, to its log; this logger writes nowhere.
_SILENT = logging.getLogger("sender.pbx.socket")
_SILENT.setLevel(logging.CRITICAL + 1)
_SILENT.propagate = False


class SocketDoor(Protocol):
    """Whatever makes connections for protocols."""

    async def dial(
        self, url: str, make: Callable[[], ClientConnection], within_seconds: float
    ) -> ClientConnection:
        """See `sender.egress.Egress.dial`."""


class PbxSocket:
    """An open socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def next_event(self) -> SocketEvent | None:
        """The next frame's event; None if it holds none. Raises `PbxError` once the socket is closed, or what comes is
        no JSON.
        """
        try:
            frame = await self._connection.recv()
            return read_event(frame)
        except ConnectionClosed:
            raise PbxError("socket_closed") from None
        except OddAnswerError as odd:
            raise PbxError(f"socket_{odd}") from None


class PbxSockets:
    """Opens sockets."""

    def __init__(self, door: SocketDoor, tokens: Tokens) -> None:
        self._door = door
        self._tokens = tokens

    @asynccontextmanager
    async def open(self, connection: PbxConnection) -> AsyncIterator[PbxSocket]:
        """A socket that is closed at the end. Raises `PbxError`."""
        token = await self._tokens.token(connection)
        try:
            made = await self._shake(connection, token)
        except PbxError as error:
            if error.reason != "socket_http_401":
                raise
            token = await self._tokens.token(connection, instead_of=token)
            made = await self._shake(connection, token)
        try:
            yield PbxSocket(made)
        finally:
            with contextlib.suppress(OSError, TimeoutError, ConnectionClosed):
                await made.close()

    async def _shake(self, connection: PbxConnection, token: str) -> ClientConnection:
        uri = parse_uri(_socket_url(connection.base_url))
        protocol = ClientProtocol(uri, max_size=LARGEST_FRAME_BYTES, logger=_SILENT)

        def make() -> ClientConnection:
            return ClientConnection(
                protocol,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=_CLOSE_SECONDS,
                max_queue=FRAMES_IN_HAND,
            )

        try:
            made = await self._door.dial(connection.base_url, make, CONNECT_SECONDS)
        except AddressRefusedError:
            raise PbxError("address_refused") from None
        except (OSError, BadRequestError) as error:
            raise PbxError("tls_failed" if "SSL" in type(error).__name__ else "unreachable") from None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await made.handshake({"Authorization": f"Bearer {token}"}, "hubgate")
        except InvalidStatus as error:
            made.transport.abort()
            raise PbxError(f"socket_http_{error.response.status_code}") from None
        except (InvalidHandshake, InvalidMessage, ConnectionClosed, OSError, EOFError) as error:
            made.transport.abort()
            raise PbxError("timed_out" if isinstance(error, TimeoutError) else "socket_refused") from None
        except BaseException:
            made.transport.abort()
            raise
        return made


def _socket_url(base_url: str) -> str:
    scheme, _, rest = base_url.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/callcontrol/ws"

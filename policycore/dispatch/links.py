"""One sender as this process sees it: its channel, and since when its guard obeys."""

import asyncio
from collections.abc import Callable

import grpc

from certificates.folder import SENDER_NAME, Certificates, expected_name
from hubgate.sender.v1 import sender_service_pb2_grpc as pb_grpc

OBEDIENT_SECONDS = 0.8
"""A sender that has heard nothing for 1 s attempts nothing; one that acknowledged longer ago than this is not
asked.
"""

_LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024
_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # An attempt is made once; the library must never repeat one by itself.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _LARGEST_MESSAGE_BYTES),
)


class SenderLink:
    """A sender at `address` (`host:port` or `unix:path`), called with `token`.

    `clock` gives seconds that never run backwards. `open` before use, inside the event loop; without
    `certificates` the channel is not encrypted.
    """

    def __init__(
        self,
        address: str,
        token: str,
        clock: Callable[[], float],
        *,
        certificates: Certificates | None = None,
    ) -> None:
        self.address = address
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.obeyed_version = -1
        self._clock = clock
        self._certificates = certificates
        self._acknowledged_at: float | None = None
        self._channel: grpc.aio.Channel | None = None
        self._former: list[grpc.aio.Channel] = []
        self._stub: pb_grpc.SenderServiceAsyncStub | None = None

    @property
    def stub(self) -> "pb_grpc.SenderServiceAsyncStub":
        """The calls. Raises RuntimeError if the link is not open."""
        if self._stub is None:
            raise RuntimeError("the link to the sender is not open")
        return self._stub

    def open(self) -> None:
        """Makes the channel; it connects by itself. Does nothing if it is open."""
        if self._channel is None:
            self._make_channel()

    async def look_after_channels(self, *, renewed: bool) -> None:
        """With `renewed` certificates, new calls go over a new channel. A former one is closed once nothing is on
        it.
        """
        if renewed and self._channel is not None:
            self._former.append(self._channel)
            self._make_channel()
        ready = grpc.ChannelConnectivity.READY
        for channel in [each for each in self._former if each.get_state() is not ready]:
            self._former.remove(channel)
            await channel.close(None)

    def _make_channel(self) -> None:
        if self._certificates is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(
                self.address,
                self._certificates.channel_credentials(),
                options=(*_OPTIONS, *expected_name(SENDER_NAME)),
            )
        self._stub = pb_grpc.SenderServiceStub(self._channel)

    async def connected(self) -> None:
        """Waits until the channel is connected."""
        if self._channel is None:
            raise RuntimeError("the link to the sender is not open")
        await self._channel.channel_ready()

    async def close(self) -> None:
        """Closes the channel and every call on it."""
        channels = [*self._former, *([self._channel] if self._channel is not None else [])]
        self._channel, self._stub, self._former = None, None, []
        self.unheard()
        for channel in channels:
            await channel.close(None)

    def acknowledged(self, version: int) -> None:
        """Notes that the sender obeys configuration `version` (and is there)."""
        self._acknowledged_at = self._clock()
        self.obeyed_version = max(self.obeyed_version, version)

    def unheard(self) -> None:
        """Notes that the guard stream broke."""
        self._acknowledged_at = None
        self.obeyed_version = -1

    def obedient(self) -> bool:
        """Whether the sender acknowledged its guard recently enough to attempt anything."""
        return self._acknowledged_at is not None and self._clock() - self._acknowledged_at <= OBEDIENT_SECONDS


class Backoff:
    """How long to wait before connecting again: twice as long each time, from 0.1 s to 2 s."""

    FIRST_SECONDS = 0.1
    LONGEST_SECONDS = 2.0

    def __init__(self) -> None:
        self._seconds = self.FIRST_SECONDS

    def reset(self) -> None:
        """After something worked."""
        self._seconds = self.FIRST_SECONDS

    async def wait(self) -> None:
        """Waits, and will wait longer the next time."""
        seconds, self._seconds = self._seconds, min(self._seconds * 2, self.LONGEST_SECONDS)
        await asyncio.sleep(seconds)

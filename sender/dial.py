"""Makes connections: a checked address, a socket of our own to exactly that address, TLS for the name."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

from sender.addresses import AddressPolicy
from sender.names import KeptNames
from sender.request_head import Place

Made = TypeVar("Made", bound=asyncio.BaseProtocol)


class Dialler:
    """Connects to places. Holds nothing."""

    def __init__(self, policy: AddressPolicy, names: KeptNames, tls: ssl.SSLContext) -> None:
        self._policy = policy
        self._names = names
        self._tls = tls

    async def connect(
        self, place: Place, make: Callable[[socket.socket], Made], within_seconds: float
    ) -> Made:
        """A connection with nothing written to it but TLS's handshake; the next address if one fails.

        Raises `AddressRefusedError`, `NoAddressError`, ssl.SSLError, or OSError for the last address tried.
        """
        addresses = await self._addresses(place)
        for left in range(len(addresses) - 1, 0, -1):
            address = addresses[-1 - left]
            try:
                # One that does not answer must leave time for the others.
                async with asyncio.timeout(within_seconds / (left + 1)):
                    return await self._open(address, place, make)
            except ssl.SSLError:
                raise
            except OSError:
                continue
        return await self._open(addresses[-1], place, make)

    async def _addresses(self, place: Place) -> Sequence[str]:
        if place.is_address:
            self._policy.check_address(place.host)
            return (place.host,)
        return await self._names.addresses(place.host)

    async def _open(self, address: str, place: Place, make: Callable[[socket.socket], Made]) -> Made:
        link = await self._link(address, place.port)
        loop = asyncio.get_running_loop()
        secure = place.scheme == "https"
        _, connection = await loop.create_connection(
            lambda: make(link),
            sock=link,
            ssl=self._tls if secure else None,
            server_hostname=place.host.rstrip(".") if secure else None,
        )
        return connection

    async def _link(self, address: str, port: int) -> socket.socket:
        # The last look: whatever led here, a refused IP address gets no socket.
        self._policy.check_address(address)
        link = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            link.setblocking(False)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(link, (address, port))
        except BaseException:
            link.close()
            raise
        return link

"""The one door out: address guard, pinned names, pools, time-outs and limits around every HTTP exchange."""

import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from aiohttp.client_exceptions import ClientConnectorDNSError, ClientSSLError, InvalidURL
from yarl import URL

from sender.addresses import AddressPolicy, AddressRefusedError
from sender.bounded_answers import BoundedConnector, BoundedHandler
from sender.model import Exchange, FailureKind, HttpAnswer, HttpRequest, TransportFailure
from sender.names import GuardedResolver, Lookup

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4096}", re.ASCII)
_KEPT_HEADERS = ("retry-after", "date", "content-type")
_CHUNK_BYTES = 65_536
_FRAMING_FACTOR = 2
_FRAMING_BYTES = 1_048_576
"""What an answer may weigh with everything around it, before its connection ends: much, but not without end."""


class Door(Protocol):
    """Whatever exchanges a request for an answer."""

    async def exchange(
        self, request: HttpRequest, *, timeout_seconds: float, before_write: Callable[[], None]
    ) -> Exchange:
        """One try. `before_write` runs just before the first byte is written, and stops it by raising."""


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """Bounds on every exchange."""

    connect_timeout_seconds: float = 5.0
    answer_bytes: int = 262_144
    connections_per_host: int = 512
    # Node's servers close idle connections after 5 s (https://nodejs.org/api/http.html#serverkeepalivetimeout).
    # Staying below keeps us from writing into one that is being closed: nobody would know the outcome.
    keep_alive_seconds: float = 4.0
    names_cached_seconds: int = 10


class _GatedRequest(aiohttp.ClientRequest):
    """A request that asks once more between having a connection and writing to it."""

    before_write: Callable[[], None] | None = None

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        if self.before_write is not None:
            self.before_write()
        if isinstance(conn.protocol, BoundedHandler):
            conn.protocol.begin_exchange()
        return await super().send(conn)


class Egress:
    """A pool of guarded connections. Redirects, cookies, proxies and compressed answers do not exist here."""

    def __init__(
        self,
        policy: AddressPolicy,
        lookup: Lookup,
        limits: EgressLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._limits = limits or EgressLimits()
        self._resolver = GuardedResolver(policy, lookup)
        self._tls = tls or ssl.create_default_context()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Makes the pool. Must run inside the event loop."""
        connector = BoundedConnector(
            resolver=self._resolver,
            ssl=self._tls,
            limit=0,
            limit_per_host=self._limits.connections_per_host,
            keepalive_timeout=self._limits.keep_alive_seconds,
            ttl_dns_cache=self._limits.names_cached_seconds,
            socket_factory=self._socket,
        )
        connector.bound(_FRAMING_FACTOR * self._limits.answer_bytes + _FRAMING_BYTES)
        self._session = aiohttp.ClientSession(
            connector=connector,
            request_class=_GatedRequest,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "hubgate", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()

    def _socket(self, info: Any) -> socket.socket:
        """The last look: whatever led here, a refused IP address gets no socket."""
        family, kind, proto, _, sockaddr = info
        self._policy.check_address(sockaddr[0])
        made = socket.socket(family, kind, proto)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    async def exchange(
        self, request: HttpRequest, *, timeout_seconds: float, before_write: Callable[[], None]
    ) -> Exchange:
        """One try, never a second one. Returns what it ended in; raises only what `before_write` raises."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if timeout_seconds <= 0:
            # To the client library no time at all means all the time in the world.
            return TransportFailure(FailureKind.CONNECT_TIMEOUT, False, "there was no time left")
        writing = False

        def gate() -> None:
            nonlocal writing
            before_write()
            writing = True

        try:
            return await self._ask(request, timeout_seconds, gate)
        except AddressRefusedError as refused:
            return TransportFailure(FailureKind.ADDRESS_REFUSED, False, str(refused))
        except (TimeoutError, OSError, aiohttp.ClientError, ValueError) as error:
            kind = _kind_after_writing(error) if writing else _kind_before_writing(error)
            return TransportFailure(kind, writing)

    def _refusal(self, request: HttpRequest) -> TransportFailure | None:
        try:
            self._policy.check_url(request.url)
        except AddressRefusedError as refused:
            return TransportFailure(FailureKind.ADDRESS_REFUSED, False, str(refused))
        for name, value in request.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                detail = f"the header {name[:64]!r} holds forbidden characters"
                return TransportFailure(FailureKind.BAD_REQUEST, False, detail)
        return None

    async def _ask(
        self, request: HttpRequest, timeout_seconds: float, gate: Callable[[], None]
    ) -> HttpAnswer:
        if self._session is None:
            raise RuntimeError("Egress.open() has not been called")

        async def gated(
            outgoing: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            if isinstance(outgoing, _GatedRequest):
                outgoing.before_write = gate
            return await handler(outgoing)

        async with self._session.request(
            request.method,
            URL(request.url),
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            middlewares=(gated,),
            timeout=aiohttp.ClientTimeout(
                total=timeout_seconds, connect=min(timeout_seconds, self._limits.connect_timeout_seconds)
            ),
        ) as response:
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> HttpAnswer:
        """Reads up to the limit. An answer that breaks off or is too large is not complete."""
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        encoding = response.headers.get("content-encoding", "identity")
        body = bytearray()
        complete = encoding == "identity"
        try:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > self._limits.answer_bytes:
                    complete = False
                    response.close()
                    break
        except (aiohttp.ClientError, OSError, TimeoutError):
            complete = False
            response.close()
        return HttpAnswer(response.status, headers, bytes(body[: self._limits.answer_bytes]), complete)


def _kind_before_writing(error: Exception) -> FailureKind:
    if isinstance(error, TimeoutError):
        return FailureKind.CONNECT_TIMEOUT
    if isinstance(error, ClientConnectorDNSError):
        return FailureKind.DNS_FAILED
    if isinstance(error, (ClientSSLError, ssl.SSLError, ssl.CertificateError)):
        return FailureKind.TLS_FAILED
    if isinstance(error, (InvalidURL, ValueError)) and not isinstance(error, OSError):
        return FailureKind.BAD_REQUEST
    return FailureKind.CONNECT_REFUSED


def _kind_after_writing(error: Exception) -> FailureKind:
    if isinstance(error, TimeoutError):
        return FailureKind.TIMED_OUT
    if isinstance(error, (aiohttp.ClientResponseError, ValueError)):
        return FailureKind.PROTOCOL_ERROR
    return FailureKind.CONNECTION_LOST

"""The one door out: address guard, pinned names, pools, time-outs and limits around every HTTP exchange."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from sender import steps
from sender.addresses import AddressPolicy, AddressRefusedError
from sender.answer_reader import AnswerReader
from sender.connections import ClientConnection, Pool
from sender.dial import Dialler, Made
from sender.model import Exchange, FailureKind, HttpRequest, TransportFailure
from sender.names import GuardedResolver, KeptNames, Lookup, NoAddressError
from sender.request_head import BadRequestError, Place, Plan, message, plan

_KEPT_PLANS = 4_096


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


class Egress:
    """Pools of guarded connections. Redirects, cookies, proxies and compressed answers do not exist here."""

    def __init__(
        self,
        policy: AddressPolicy,
        lookup: Lookup,
        limits: EgressLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._limits = limits or EgressLimits()
        self._names = KeptNames(GuardedResolver(policy, lookup), self._limits.names_cached_seconds)
        self._dialler = Dialler(policy, self._names, tls or ssl.create_default_context())
        # Few URLs are asked very often. Only what passed is remembered; names are checked when looked up.
        self._plan = lru_cache(_KEPT_PLANS)(self._checked_plan)
        self._pools: dict[Place, Pool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Takes the running event loop as its own."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Closes every connection."""
        self._loop = None
        self._names.close()
        for pool in list(self._pools.values()):
            pool.close()
        # Once round the loop, so that the sockets are closed when this returns.
        await asyncio.sleep(0)

    async def exchange(
        self, request: HttpRequest, *, timeout_seconds: float, before_write: Callable[[], None]
    ) -> Exchange:
        """One try, never a second one. Returns what it ended in; raises only what `before_write` raises."""
        try:
            planned = self._plan(request.method, request.url)
            payload = message(planned, request.headers, request.body)
        except AddressRefusedError as refused:
            return TransportFailure(FailureKind.ADDRESS_REFUSED, False, str(refused))
        except BadRequestError as why:
            return TransportFailure(FailureKind.BAD_REQUEST, False, str(why))
        if timeout_seconds <= 0:
            return TransportFailure(FailureKind.CONNECT_TIMEOUT, False, "there was no time left")
        pool = self._pool(planned.place)
        connection = pool.take_idle()
        if connection is None:
            began = pool.loop.time()
            made = await self._connection(pool, planned.place, timeout_seconds)
            if isinstance(made, TransportFailure):
                return made
            connection = made
            timeout_seconds -= pool.loop.time() - began
        return await _ask(connection, pool, payload, timeout_seconds, before_write)

    async def dial(self, url: str, make: Callable[[], Made], within_seconds: float) -> Made:
        """A connection of its own to where `url` points, under every rule of this door, for a protocol that `make`
        gives: what is no single question with one answer. TLS if the scheme says so; nothing else is written.

        Raises `AddressRefusedError`, `BadRequestError`, or OSError (ssl.SSLError and TimeoutError among them).
        """
        place = self._plan("GET", url).place
        async with asyncio.timeout(within_seconds):
            return await self._dialler.connect(place, lambda _: make(), within_seconds)

    def _checked_plan(self, method: str, url: str) -> Plan:
        self._policy.check_url(url)
        return plan(method, url)

    def _pool(self, place: Place) -> Pool:
        return self._pools.get(place) or self._new_pool(place)

    def _new_pool(self, place: Place) -> Pool:
        if self._loop is None:
            raise RuntimeError("Egress.open() has not been called")
        limits = self._limits

        def forget() -> None:
            # Customers name places without end; an empty pool is not worth remembering.
            if self._pools.get(place) is made:
                del self._pools[place]

        made = Pool(self._loop, limits.connections_per_host, limits.keep_alive_seconds, forget)
        self._pools[place] = made
        return made

    async def _connection(
        self, pool: Pool, place: Place, timeout_seconds: float
    ) -> ClientConnection | TransportFailure:
        """A turn with a connection to write to, or why there is none."""
        within_seconds = min(timeout_seconds, self._limits.connect_timeout_seconds)
        try:
            async with asyncio.timeout(within_seconds):
                await pool.turn()
                try:
                    return pool.freshest() or await self._dial(pool, place, within_seconds)
                except BaseException:
                    pool.leave()
                    raise
        except AddressRefusedError as refused:
            return TransportFailure(FailureKind.ADDRESS_REFUSED, False, str(refused))
        except (OSError, ValueError) as error:
            return TransportFailure(_kind(error), False)

    async def _dial(self, pool: Pool, place: Place, within_seconds: float) -> ClientConnection:
        def make(link: socket.socket) -> ClientConnection:
            return ClientConnection(pool, link, AnswerReader(self._limits.answer_bytes))

        return await self._dialler.connect(place, make, within_seconds)


async def _ask(
    connection: ClientConnection,
    pool: Pool,
    payload: bytes,
    timeout_seconds: float,
    before_write: Callable[[], None],
) -> Exchange:
    """Writes and waits, with the connection's turn in hand; whatever happens, the turn is given back."""
    if connection.lost or timeout_seconds <= 0:
        connection.abort()
        pool.leave()
        kind = FailureKind.CONNECT_REFUSED if timeout_seconds > 0 else FailureKind.CONNECT_TIMEOUT
        return TransportFailure(kind, False)
    try:
        before_write()
    except BaseException:
        connection.abort()
        pool.leave()
        raise
    waiting = connection.ask(payload, timeout_seconds)
    steps.passed("call.asked")
    try:
        return await waiting
    finally:
        # Nothing to do after an answer; after a cancellation, nobody else may get what comes now.
        connection.give_up(waiting)


def _kind(error: Exception) -> FailureKind:
    """How an exchange failed before anything was written."""
    if isinstance(error, ssl.SSLError):
        return FailureKind.TLS_FAILED
    if isinstance(error, TimeoutError):
        return FailureKind.CONNECT_TIMEOUT
    if isinstance(error, NoAddressError):
        return FailureKind.DNS_FAILED
    return FailureKind.CONNECT_REFUSED if isinstance(error, OSError) else FailureKind.BAD_REQUEST

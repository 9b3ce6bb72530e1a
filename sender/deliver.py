"""One attempt at one message: verify the permit, ask the guard, build, ask again, write, parse."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sender.backends.wire import Backend
from sender.egress import Door
from sender.guard import Guard
from sender.model import (
    AttemptResult,
    Connection,
    InstanceState,
    Order,
    Outcome,
    PermitClaims,
    UnaddressableError,
    WithheldError,
)
from sender.permit import PermitDesk
from sender.record import Recorder
from sender.turns import Turns

_UNAUTHORIZED = 401
LONGEST_ATTEMPT_SECONDS = 30.0
PROBE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Route:
    """A back end and the door that leads to it."""

    backend: Backend
    door: Door


class Delivery:
    """Attempts messages. Decides nothing, remembers nothing but which permits it has used."""

    def __init__(
        self,
        *,
        permits: PermitDesk,
        guard: Guard,
        routes: Mapping[str, Route],
        turns: Turns,
        recorder: Recorder,
        monotonic: Callable[[], float],
    ) -> None:
        self._permits = permits
        self._guard = guard
        self._routes = routes
        self._turns = turns
        self._recorder = recorder
        self._monotonic = monotonic
        self._closing = False
        self.under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def close(self) -> None:
        """Takes nothing new from now on; what is under way goes on."""
        self._closing = True

    async def idle(self, timeout_seconds: float) -> None:
        """Returns when nothing is under way, or after `timeout_seconds`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_seconds)

    async def deliver(self, order: Order, timeout_seconds: float = LONGEST_ATTEMPT_SECONDS) -> AttemptResult:
        """What came of one attempt. Raises nothing but cancellation; `timeout_seconds` is cut to 30 s."""
        began = self._monotonic()
        if not self.under_way:
            self._idle.clear()
        self.under_way += 1
        try:
            found = await self._attempt(order, began + min(timeout_seconds, LONGEST_ATTEMPT_SECONDS))
        finally:
            self.under_way -= 1
            if not self.under_way:
                self._idle.set()
        self._recorder.attempt(order, found, self._monotonic() - began)
        return found

    async def _attempt(self, order: Order, deadline: float) -> AttemptResult:
        attempt = _Attempt(self._permits, self._guard)
        connection = order.connection
        try:
            self._check_open()
            attempt.claim(order)
            route = self._route(connection)
            await self._turns.take(connection.instance_id, deadline - self._monotonic())
            try:
                found = await self._exchange(route, order, connection, attempt, deadline)
                if found.http_status == _UNAUTHORIZED and (former := self._former(connection, attempt)):
                    # Nothing was done with the first request but to look at its token.
                    found = await self._exchange(route, order, former, attempt, deadline)
            finally:
                self._turns.give_back(connection.instance_id)
            return attempt.ended(found)
        except WithheldError as withheld:
            attempt.give_back()
            return AttemptResult(Outcome.NOT_ATTEMPTED, withheld.code, withheld.explanation)
        except UnaddressableError as why:
            return AttemptResult(Outcome.REJECTED, f"{connection.backend}_unaddressable", str(why))
        except Exception:  # noqa: BLE001 - every item is answered, whatever breaks here
            self._recorder.fault(order)
            return attempt.fault()

    async def _exchange(
        self, route: Route, order: Order, connection: Connection, attempt: "_Attempt", deadline: float
    ) -> AttemptResult:
        correlation_id = order.correlation_id or order.permit.claims.message_id
        request = route.backend.build(connection, order.recipient, order.text, correlation_id)
        exchange = await route.door.exchange(
            request, timeout_seconds=self._left(deadline), before_write=attempt.check
        )
        return route.backend.parse(exchange)

    def _former(self, connection: Connection, attempt: "_Attempt") -> Connection | None:
        """The same connection with the token before a rotation, while that counts."""
        until = connection.former_valid_until
        if until is None or attempt.began_at is None or attempt.began_at >= until:
            return None
        return replace(connection, api_token=connection.former_api_token, former_valid_until=None)

    def _check_open(self) -> None:
        if self._closing:
            raise WithheldError("sender_draining", "This sender is about to stop.")

    def _route(self, connection: Connection) -> Route:
        route = self._routes.get(connection.backend)
        if route is None:
            raise UnaddressableError("There is no back end of this name.")
        return route

    def _left(self, deadline: float) -> float:
        left = deadline - self._monotonic()
        if left <= 0:
            raise WithheldError(
                "sender_overloaded", "The time for this attempt was over before its turn came."
            )
        return left

    async def probe(self, connection: Connection, timeout_seconds: float = PROBE_SECONDS) -> InstanceState:
        """The instance's state as its back end says it. Raises nothing but cancellation."""
        try:
            route = self._route(connection)
            request = route.backend.build_probe(connection)
        except UnaddressableError as why:
            return InstanceState("", "unaddressable", str(why))
        exchange = await route.door.exchange(
            request, timeout_seconds=min(timeout_seconds, PROBE_SECONDS), before_write=_nothing
        )
        return route.backend.parse_probe(exchange)


class _Attempt:
    """How far one attempt has come."""

    __slots__ = ("_claims", "_guard", "_permits", "began_at")

    def __init__(self, permits: PermitDesk, guard: Guard) -> None:
        self._permits = permits
        self._guard = guard
        self._claims: PermitClaims | None = None
        self.began_at: datetime | None = None

    def claim(self, order: Order) -> None:
        """Takes the permit and asks the guard. Raises `WithheldError`."""
        self._claims = self._permits.claim(order)
        self._guard.ask(self._claims)

    def check(self) -> None:
        """Just before the first byte: the permit must live, the guard agree. Raises `WithheldError`."""
        if self._claims is None:
            raise WithheldError("permit_malformed", "No permit was taken.")
        now = self._permits.check_alive(self._claims)
        self._guard.ask(self._claims)
        self.began_at = now

    def ended(self, found: AttemptResult) -> AttemptResult:
        """What the back end's answer means, with the time at which the attempt began."""
        if self.began_at is None:
            return found
        return AttemptResult(
            found.outcome,
            found.code,
            found.explanation,
            found.external_message_id,
            found.consequence,
            found.retry_after_seconds,
            found.http_status,
            found.receipts,
            self.began_at,
        )

    def give_back(self) -> None:
        """Nothing was written: the permit may be used again."""
        if self._claims is not None and self.began_at is None:
            self._permits.give_back(self._claims)

    def fault(self) -> AttemptResult:
        """What an error of our own means: if anything may have been written, nobody knows."""
        if self.began_at is None:
            self.give_back()
            explanation = "The sender failed before it wrote anything."
            return AttemptResult(Outcome.NOT_ATTEMPTED, "sender_fault", explanation)
        return AttemptResult(
            Outcome.UNKNOWN,
            "sender_fault",
            "The sender failed after it had begun to write; the message may have been sent.",
            attempted_at=self.began_at,
        )


def _nothing() -> None:
    """A probe needs no permit."""

"""The connected senders: attempts, postings and probes go to whichever takes work, in turn."""

import asyncio
from collections.abc import Callable, Sequence

import grpc
import structlog

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.connection_facts import Reached
from policycore.dispatch.deadlines import Deadlines
from policycore.dispatch.lanes import NO_SENDER, PendingAttempt, SenderLanes
from policycore.dispatch.links import SenderLink
from policycore.dispatch.look_up_wire import look_from, look_up_to
from policycore.dispatch.permits import PermitSigner
from policycore.dispatch.sender_wire import connection_to, post_result_from, post_to
from policycore.ports import AttemptOutcome, OutboundMessage, Posting, PostOutcome, PostResult
from policycore.reconciliation import UnknownMessage
from policycore.registry.snapshot import InstanceConfig
from policycore.unknown_ledger import Look, LookOutcome

ATTEMPT_SECONDS = 35.0
POST_SECONDS = 35.0
PROBE_SECONDS = 15.0
LOOK_UP_SECONDS = 15.0
REACH_SECONDS = 12.0

NOT_POSTED = PostResult(PostOutcome.RETRY, 0, None, "No sender is connected.")
"""The answer to a posting that reached no sender: it does not count as a try."""

_log = structlog.get_logger(__name__)


class SenderPool:
    """Implements `Senders`, `EventPoster`, `SenderProbe` and `BackendLooker` over `links`.

    A link takes attempts only while its guard obeys, so a `GuardBroadcaster` must speak on the same links.
    `clock` gives
    seconds that never run backwards. `start` inside the event loop; `close` drains, and closes no link.
    """

    def __init__(
        self,
        links: Sequence[SenderLink],
        signer: PermitSigner,
        clock: Callable[[], float],
        *,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._senders = [SenderLanes(link, signer.sign, clock) for link in links]
        self._signer = signer
        self._clock = clock
        self._attempt_seconds = attempt_seconds
        self._next = 0
        self._closing = False
        self._deadlines = Deadlines(clock)

    async def start(self) -> None:
        """Begins to connect; returns at once."""
        for sender in self._senders:
            sender.start()

    async def close(self, drain_seconds: float = 10.0) -> None:
        """Takes nothing more, waits at most `drain_seconds` for what is under way, then ends the streams."""
        self._closing = True
        await self._deadlines.idle(drain_seconds)
        await asyncio.gather(*(sender.close() for sender in self._senders))
        self._deadlines.close()

    def available(self) -> bool:
        """Whether a sender takes attempts now: connected, with a guard that obeys."""
        return not self._closing and any(sender.takes_work() for sender in self._senders)

    async def deliver(self, message: OutboundMessage, instance: InstanceConfig) -> AttemptOutcome:
        """One attempt, answered within `attempt_seconds`. Does not wait for `send_after`; that is the
        caller's.
        """
        sender = self._choose(SenderLanes.takes_work)
        if sender is None:
            return NO_SENDER
        attempt = PendingAttempt(
            message,
            self._signer.prepare(message),
            instance,
            self._clock() + self._attempt_seconds,
            asyncio.get_running_loop().create_future(),
        )
        self._deadlines.add(attempt)
        try:
            sender.put(attempt)
            return await attempt.answer
        finally:
            self._deadlines.discard(attempt)

    async def post(self, posting: Posting) -> PostResult:
        """One try. Needs no guard: an event goes to the business itself, not to a person."""
        sender = self._choose(_reachable)
        if sender is None:
            return NOT_POSTED
        link = sender.link
        try:
            response = await link.stub.PostEvent(
                post_to(posting), timeout=POST_SECONDS, metadata=link.metadata
            )
        except grpc.aio.AioRpcError as error:
            _log.warning("event_not_posted", delivery_id=posting.delivery_id, code=error.code().name)
            return PostResult(PostOutcome.RETRY, 0, None, f"The sender did not answer ({error.code().name}).")
        return post_result_from(response)

    async def probe(self, instance: InstanceConfig) -> tuple[str, str, str]:
        """State, reason and error text; the state is empty if it could not be asked."""
        sender = self._choose(_reachable)
        if sender is None:
            return "", "", "No sender is connected."
        request = pb.ProbeInstanceRequest(connection=connection_to(instance))
        try:
            answer = await sender.link.stub.ProbeInstance(
                request, timeout=PROBE_SECONDS, metadata=sender.link.metadata
            )
        except grpc.aio.AioRpcError as error:
            return "", "", f"The sender did not answer ({error.code().name})."
        return answer.state, answer.reason, answer.error_text

    async def reach(self, url: str, *, gateway: bool) -> Reached:
        """Whether an address answers. Needs no guard: it is no person's."""
        sender = self._choose(_reachable)
        if sender is None:
            return Reached("no_sender")
        request = pb.CheckDestinationRequest(url=url, gateway=gateway)
        try:
            answer = await sender.link.stub.CheckDestination(
                request, timeout=REACH_SECONDS, metadata=sender.link.metadata
            )
        except grpc.aio.AioRpcError:
            return Reached("no_sender")
        return Reached(answer.failure[:64], answer.http_status, answer.is_gateway)

    async def look_up(self, message: UnknownMessage, instance: InstanceConfig) -> Look:
        """What the instance's back end has of a message. Needs no guard: it sends nothing."""
        sender = self._choose(_reachable)
        if sender is None:
            return Look(LookOutcome.FAILED, "no_sender")
        try:
            answer = await sender.link.stub.LookUpMessage(
                look_up_to(message, instance), timeout=LOOK_UP_SECONDS, metadata=sender.link.metadata
            )
        except grpc.aio.AioRpcError as error:
            return Look(LookOutcome.FAILED, f"sender_{error.code().name.lower()}")
        return look_from(answer)

    def _choose(self, suits: Callable[[SenderLanes], bool]) -> SenderLanes | None:
        if self._closing:
            return None
        for step in range(len(self._senders)):
            sender = self._senders[(self._next + step) % len(self._senders)]
            if suits(sender):
                self._next += step + 1
                return sender
        return None


def _reachable(sender: SenderLanes) -> bool:
    return sender.link.obedient()

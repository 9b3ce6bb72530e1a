"""The attempts on their way to one sender: coalesced onto two batch streams, answered one by one."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
import structlog

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore import steps
from policycore.dispatch.links import Backoff, SenderLink
from policycore.dispatch.sender_wire import (
    DRAINING,
    fill_attempt,
    fill_connection,
    fill_duration,
    outcome_from,
)
from policycore.ports import AttemptOutcome, OutboundMessage, Outcome
from policycore.registry.snapshot import InstanceConfig

LANES = 2
MOST_IN_BATCH = 64
MOST_WAITING = 4_096
"""More than this waiting for one sender means that it takes no more."""

ANSWER_SECONDS = 1.0
"""Kept back from an attempt's time, so that the sender's own word about it still reaches us."""

NO_SENDER = AttemptOutcome(
    Outcome.NOT_ATTEMPTED, "no_sender", "No sender took the message.", handed_over=False
)
SENDER_LOST = AttemptOutcome(
    Outcome.UNKNOWN, "sender_lost", "The connection to the sender broke before it answered."
)
SENDER_LATE = AttemptOutcome(Outcome.UNKNOWN, "sender_late", "The sender did not answer in time.")

_log = structlog.get_logger(__name__)
_BROKEN = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError)

SignPermits = Callable[[pb.DeliverStreamRequest, Sequence[bytes]], None]
Stream = grpc.aio.StreamStreamCall[pb.DeliverStreamRequest, pb.DeliverStreamResponse]


@dataclass(slots=True, eq=False)
class PendingAttempt:
    """An attempt that waits for its answer. `permit` is unsigned; `deadline` is in seconds of the lanes' clock."""

    message: OutboundMessage
    permit: bytes
    instance: InstanceConfig
    deadline: float
    answer: asyncio.Future[AttemptOutcome]
    number: int = 0
    written_on: "dict[int, PendingAttempt] | None" = None

    def settle(self, outcome: AttemptOutcome) -> None:
        """Answers, if nobody has."""
        if self.written_on is not None:
            self.written_on.pop(self.number, None)
        if not self.answer.done():
            self.answer.set_result(outcome)

    def expire(self) -> None:
        """The time is over: if it was written nobody knows, else nothing happened."""
        self.settle(NO_SENDER if self.written_on is None else SENDER_LATE)


class SenderLanes:
    """One queue and two streams to one sender. What waits leaves together; nobody waits for company.

    `sign` writes the signature for the permits of a request, which it is given in the order of its items.
    """

    def __init__(self, link: SenderLink, sign: SignPermits, clock: Callable[[], float]) -> None:
        self.link = link
        self._sign = sign
        self._clock = clock
        self._waiting: deque[PendingAttempt] = deque()
        self._idle: deque[asyncio.Event] = deque()
        self._open = 0
        self._draining = False
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to connect."""
        self.link.open()
        self._tasks = [asyncio.create_task(self._keep_lane()) for _ in range(LANES)]

    async def close(self) -> None:
        """Ends the streams. What was written is UNKNOWN, what was not is NOT_ATTEMPTED."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._give_up_waiting()

    def takes_work(self) -> bool:
        """Whether an attempt handed over now would be attempted."""
        room = len(self._waiting) < MOST_WAITING
        return room and self._open > 0 and not self._draining and self.link.obedient()

    def put(self, attempt: PendingAttempt) -> None:
        """Hands an attempt over; its `answer` tells what came of it."""
        attempt.number = next(self._numbers)
        self._waiting.append(attempt)
        if len(self._waiting) == 1:
            self._wake_one()

    def _wake_one(self) -> None:
        if self._idle:
            self._idle.popleft().set()

    async def _keep_lane(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self.link.connected()
                answered = await self._run_lane(
                    self.link.stub.DeliverStream(None, metadata=self.link.metadata)
                )
                if answered:
                    backoff.reset()
            except _BROKEN as error:
                code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
                _log.warning("sender_lane_broken", address=self.link.address, code=code)
            await backoff.wait()

    async def _run_lane(self, call: Stream) -> bool:
        """Serves one stream until it ends; True if it answered anything. Raises what broke it."""
        written: dict[int, PendingAttempt] = {}
        wake = asyncio.Event()
        reader = asyncio.create_task(self._read_answers(call, written))
        reader.add_done_callback(lambda _: wake.set())
        self._open += 1
        self._draining = False
        try:
            while not reader.done():
                if self._waiting:
                    try:
                        await self._write_batch(call, written)
                    except _BROKEN:
                        # What the sender still said before the stream broke counts.
                        await asyncio.wait({reader}, timeout=ANSWER_SECONDS)
                        raise
                    continue
                wake.clear()
                self._idle.append(wake)
                await wake.wait()
            return await reader
        finally:
            self._open -= 1
            self._end_lane(call, reader, wake, written)
            await asyncio.gather(reader, return_exceptions=True)

    async def _read_answers(self, call: Stream, written: dict[int, PendingAttempt]) -> bool:
        """Settles what is answered until the stream ends; True if anything was. Raises what broke it."""
        answered = False
        async for response in call:
            answered = True
            steps.passed("call.heard")
            for answer in response.answers:
                self._draining = self._draining or answer.response.code == DRAINING
                attempt = written.get(answer.correlation_id)
                if attempt is not None:
                    attempt.settle(outcome_from(answer.response))
        return answered

    def _end_lane(
        self,
        call: Stream,
        reader: asyncio.Task[bool],
        wake: asyncio.Event,
        written: dict[int, PendingAttempt],
    ) -> None:
        reader.cancel()
        call.cancel()
        if wake in self._idle:
            self._idle.remove(wake)
        for attempt in list(written.values()):
            attempt.settle(SENDER_LOST)
        if not self._open:
            self._give_up_waiting()
        elif self._waiting:
            self._wake_one()

    def _give_up_waiting(self) -> None:
        while self._waiting:
            self._waiting.popleft().settle(NO_SENDER)

    async def _write_batch(self, call: Stream, written: dict[int, PendingAttempt]) -> None:
        batch = self._take()
        if not batch:
            return
        if self._waiting:
            self._wake_one()
        request = _batch_to(batch, self._clock())
        self._sign(request, [attempt.permit for attempt in batch])
        steps.passed("permit.signed")
        # From here on nobody can say that these did not leave, even if the write fails.
        for attempt in batch:
            attempt.written_on = written
            written[attempt.number] = attempt
        await call.write(request)
        steps.passed("permit.written")

    def _take(self) -> list[PendingAttempt]:
        batch: list[PendingAttempt] = []
        while self._waiting and len(batch) < MOST_IN_BATCH:
            attempt = self._waiting.popleft()
            if not attempt.answer.done():
                batch.append(attempt)
        return batch


def _batch_to(batch: Sequence[PendingAttempt], now: float) -> pb.DeliverStreamRequest:
    """Attempts that were waiting together, each instance's connection named once."""
    named: dict[str, InstanceConfig] = {}
    request = pb.DeliverStreamRequest()
    add = request.items.add
    for attempt in batch:
        item = add()
        item.correlation_id = attempt.number
        fill_duration(item.timeout, max(attempt.deadline - now - ANSWER_SECONDS, ANSWER_SECONDS))
        fill_attempt(item.request, attempt.message, attempt.permit)
        instance = attempt.instance
        held = named.get(instance.instance_id)
        if held is None:
            named[instance.instance_id] = instance
            fill_connection(request.connections.add(), instance)
        elif held is not instance and held != instance:
            # Its configuration changed between two attempts of one batch.
            fill_connection(item.request.connection, instance)
    return request

"""Submissions of all callers, coalesced onto few long-lived streams to the policy core.

Batching is natural: a lane writes whatever is queued, and what arrives meanwhile is the next batch; no timer ever
holds an item back. Every item has its own deadline and its own answer, so a slow one holds up nobody.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import structlog

from edge import steps
from edge.clients.convert import set_duration
from edge.clients.crowding import Crowding
from edge.clients.failures import from_item
from edge.errors import CoreOverloadedError, CoreTimeoutError, CoreUnavailableError
from hubgate.policy.v1 import policy_service_pb2 as wire

BATCH_ITEMS: Final = 256
BATCH_CHARACTERS: Final = 500_000
"""Text in one batch, which stays under 2 MB of UTF-8: well below the 4 MB that a gRPC server takes by default."""
OVERLOADED_SECONDS: Final = 1.0
"""When a caller who was refused for these limits may come again."""
HELD_SECONDS: Final = 0.5
"""How long the answer to a caller of whom too much waits is held back: whoever asks again the moment it is answered
would otherwise ask all the more, the more it is refused.
"""
SWEEP_SECONDS: Final = 0.05
"""How much later than its deadline an item may fail: one look at all of them costs less than a timer for each."""
PATIENCE_SECONDS: Final = 1.0
"""How long an item waits for a lane to come back before it fails as unavailable."""
LAST_WORD_SECONDS: Final = 1.0
"""How long after a write has failed the stream's end may take to arrive."""
FIRST_BACKOFF_SECONDS: Final = 0.05
LAST_BACKOFF_SECONDS: Final = 1.0

Stream = Any
"""A grpc.aio bidirectional call, or what a test puts in its place."""


@dataclass(slots=True, eq=False)
class _Item:
    """One submission on its way. `lane_items` is where it stands while it is under way."""

    number: int
    request: wire.SubmitRequest
    queued_at: float
    deadline: float
    answer: "asyncio.Future[wire.SubmitResponse]"
    lane_items: "dict[int, _Item] | None" = None
    repeated: bool = False


@dataclass(slots=True)
class _Lane:
    """One stream's share: what it carries, and how long to wait before it is opened again."""

    under_way: dict[int, _Item] = field(default_factory=dict)
    backoff_seconds: float = FIRST_BACKOFF_SECONDS


class SubmitLanes:
    """Carries submissions. `open_stream` starts a new bidirectional call; it runs on the loop that calls `start`."""

    def __init__(
        self,
        open_stream: Callable[[], Stream],
        lanes: int = 2,
        jitter: Callable[[], float] = lambda: 1.0,
        crowding: Crowding | None = None,
        held_seconds: float = HELD_SECONDS,
    ) -> None:
        self._open_stream = open_stream
        self._lanes = tuple(_Lane() for _ in range(lanes))
        self._jitter = jitter
        self._crowding = crowding or Crowding()
        self._held_seconds = held_seconds
        self._queue: deque[_Item] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._next_number = 1
        self._tasks: list[asyncio.Task[None]] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._logger = structlog.get_logger("edge.submit_lanes")

    def start(self) -> None:
        """Starts the lanes on the running loop."""
        self._tasks = [asyncio.create_task(self._keep_open(lane)) for lane in self._lanes]

    async def close(self) -> None:
        """Stops the lanes; what is under way or queued fails as unavailable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._fail_queued_before(float("inf"))
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    async def submit(
        self, request: wire.SubmitRequest, timeout_seconds: float, caller: str = ""
    ) -> wire.SubmitResponse:
        """Sends one request of an integration or API key and waits for its answer.

        Raises CoreUnavailableError if too many wait for their answer, in all or (a moment later) of this caller; if no
        lane could carry it; or if its lane broke before the answer came: then the policy core may have decided, and a
        request with an idempotency key is first repeated once. Raises CoreTimeoutError after `timeout_seconds`, and
        what the policy core answered.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._crowding.full or not self._crowding.enter(caller, now):
            if not self._crowding.full:
                await asyncio.sleep(self._held_seconds * self._jitter())
            raise CoreUnavailableError("too many requests wait for the policy core", OVERLOADED_SECONDS)
        try:
            answer = await self._carry(request, loop, now, timeout_seconds)
        except CoreOverloadedError as overloaded:
            self._crowding.refused(caller, loop.time())
            refusal = overloaded
        else:
            return answer
        finally:
            self._crowding.leave(caller)
        await asyncio.sleep(self._held_seconds * self._jitter())
        raise refusal

    async def _carry(
        self, request: wire.SubmitRequest, loop: asyncio.AbstractEventLoop, now: float, timeout_seconds: float
    ) -> wire.SubmitResponse:
        item = _Item(self._next_number, request, now, now + timeout_seconds, loop.create_future())
        self._next_number += 1
        self._queue.append(item)
        self._wake_one()
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        try:
            return await item.answer
        finally:
            if item.lane_items is not None:
                item.lane_items.pop(item.number, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fails everything whose time is over, and comes again while anything waits."""
        now = loop.time()
        waits = False
        under_way = (lane.under_way.values() for lane in self._lanes)
        for item in itertools.chain(self._queue, *under_way):
            waits = True
            if item.deadline <= now:
                _expire(item)
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep, loop) if waits else None

    def _wake_one(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _keep_open(self, lane: _Lane) -> None:
        """Opens the lane's stream again and again; each break fails what was under way."""
        while True:
            reason = "ended"
            try:
                await self._run(lane)
                self._take_back(lane)
            except grpc.aio.AioRpcError as error:
                reason = error.code().name
            except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError, ConnectionError) as error:
                reason = type(error).__name__
            finally:
                self._drop_under_way(lane)
            self._logger.info("lane_lost", reason=reason, backoff_seconds=round(lane.backoff_seconds, 3))
            self._fail_queued_before(asyncio.get_running_loop().time() - PATIENCE_SECONDS)
            await asyncio.sleep(lane.backoff_seconds * self._jitter())
            lane.backoff_seconds = min(lane.backoff_seconds * 2, LAST_BACKOFF_SECONDS)

    async def _run(self, lane: _Lane) -> None:
        """Serves one stream until the policy core ends it; raises what broke it otherwise."""
        stream = self._open_stream()
        try:
            await stream.wait_for_connection()
            writer = asyncio.create_task(self._write(stream, lane))
            reader = asyncio.create_task(self._read(stream, lane))
            try:
                await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
                if not reader.done():
                    # Writing to a stream that ends fails; how it ended is for the reader to say.
                    await asyncio.wait({reader}, timeout=LAST_WORD_SECONDS)
                (reader if reader.done() else writer).result()
            finally:
                halves = (writer, reader)
                for half in halves:
                    half.cancel()
                await asyncio.gather(*halves, return_exceptions=True)
        finally:
            stream.cancel()

    async def _write(self, stream: Stream, lane: _Lane) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = self._take()
            if not batch:
                waiter: asyncio.Future[None] = loop.create_future()
                self._idle.append(waiter)
                await waiter
                continue
            now = loop.time()
            message = wire.SubmitStreamRequest()
            for item in batch:
                item.lane_items = lane.under_way
                lane.under_way[item.number] = item
                _fill(message.items.add(), item, now)
            await stream.write(message)
            steps.passed("submit.written")

    def _take(self) -> list[_Item]:
        """Everything that is queued, within the limits of one batch; what nobody waits for any more is dropped."""
        batch: list[_Item] = []
        characters = 0
        while self._queue and len(batch) < BATCH_ITEMS and characters < BATCH_CHARACTERS:
            item = self._queue.popleft()
            if item.answer.done():
                continue
            batch.append(item)
            characters += len(item.request.text)
        return batch

    async def _read(self, stream: Stream, lane: _Lane) -> None:
        while True:
            message = await stream.read()
            if message is grpc.aio.EOF:  # type: ignore[attr-defined]
                return
            lane.backoff_seconds = FIRST_BACKOFF_SECONDS
            steps.passed("submit.answered")
            for answer in message.answers:
                item = lane.under_way.pop(answer.correlation_id, None)
                if item is None or item.answer.done():
                    continue
                if answer.HasField("response"):
                    item.answer.set_result(answer.response)
                else:
                    item.answer.set_exception(from_item(answer.error))

    def _take_back(self, lane: _Lane) -> None:
        """After an orderly end: what has no answer was never read, so that sending it again is sending it once."""
        for item in lane.under_way.values():
            item.lane_items = None
            if not item.answer.done():
                item.queued_at = asyncio.get_running_loop().time()
                self._queue.append(item)
        lane.under_way.clear()

    def _drop_under_way(self, lane: _Lane) -> None:
        """Repeats what can be repeated safely, once; the rest fails, since it may have been decided already."""
        for item in list(lane.under_way.values()):
            item.lane_items = None
            if item.answer.done():
                continue
            if item.request.idempotency_key and not item.repeated:
                # The key makes the repeat the same request: it is answered, and never sent a second time.
                item.repeated = True
                item.queued_at = asyncio.get_running_loop().time()
                self._queue.append(item)
            else:
                item.answer.set_exception(CoreUnavailableError("the stream to the policy core broke"))
        lane.under_way.clear()
        # The lane may have been woken for an item it never took.
        if self._queue:
            self._wake_one()

    def _fail_queued_before(self, queued_before: float) -> None:
        """Fails what has waited too long for a lane; while another lane serves, nothing does."""
        while self._queue and self._queue[0].queued_at <= queued_before:
            item = self._queue.popleft()
            if not item.answer.done():
                item.answer.set_exception(CoreUnavailableError("the policy core is out of reach"))


def _expire(item: _Item) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):
        item.answer.set_exception(CoreTimeoutError("the policy core did not answer in time"))


def _fill(made: wire.SubmitItem, item: _Item, now: float) -> None:
    # In place, inside the batch: an item made apart would be copied whole.
    made.correlation_id = item.number
    set_duration(made.timeout, max(item.deadline - now, 0.001))
    made.request.CopyFrom(item.request)

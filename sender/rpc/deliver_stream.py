"""The stream of attempts: items start as they come, and are answered one by one as they finish.

Answers that are ready together leave in one message; nobody waits to make such a message longer.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import grpc

from hubgate.sender.v1 import sender_service_pb2 as pb
from sender import steps
from sender.model import AttemptResult, Outcome
from sender.rpc.convert import Batch, batch_from, fill_answer, seconds_from
from sender.rpc.errors import CallRefusedError

MOST_ITEMS = 256
MOST_UNDER_WAY = 4_096
"""More than this of one stream are not attempted; the policy core has them wait and brings them again."""
TOO_MANY = AttemptResult(Outcome.NOT_ATTEMPTED, "sender_overloaded", "Too many attempts are under way.")

Attempt = Callable[[pb.DeliverMessageRequest, Batch, int, float], Awaitable[AttemptResult]]
"""One attempt: request, its batch, its place in it, seconds. Raises nothing but cancellation."""


class DeliverStream:
    """One stream. Leaving `answers` early cancels whatever is under way."""

    def __init__(self, attempt: Attempt, default_seconds: float) -> None:
        self._attempt = attempt
        self._default_seconds = default_seconds
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._begun = 0
        self._ready: deque[tuple[int, AttemptResult]] = deque()
        self._wake = asyncio.Event()
        self._no_more_requests = False
        self._failure: BaseException | None = None

    async def answers(
        self, requests: AsyncIterator[pb.DeliverStreamRequest]
    ) -> AsyncGenerator[pb.DeliverStreamResponse, None]:
        """Answers, until the requests have ended and every item is answered. Raises `CallRefusedError`."""
        reader = asyncio.create_task(self._read(requests))
        try:
            while not self._finished():
                await self._wake.wait()
                self._wake.clear()
                while self._ready:
                    yield self._response()
            if self._failure is not None:
                raise self._failure
        finally:
            reader.cancel()
            under_way = list(self._tasks.values())
            for task in under_way:
                task.cancel()
            await asyncio.gather(reader, *under_way, return_exceptions=True)

    def end(self) -> None:
        """No more requests are read; what is under way is still answered."""
        self._no_more_requests = True
        self._wake.set()

    def _finished(self) -> bool:
        return self._no_more_requests and not self._tasks and not self._ready

    def _response(self) -> pb.DeliverStreamResponse:
        """What is ready, written where it will leave from: copies would cost more than the words."""
        response = pb.DeliverStreamResponse()
        add, take = response.answers.add, self._ready.popleft
        for _ in range(min(len(self._ready), MOST_ITEMS)):
            correlation_id, result = take()
            answer = add()
            answer.correlation_id = correlation_id
            fill_answer(answer.response, result)
        steps.passed("call.answering")
        return response

    async def _read(self, requests: AsyncIterator[pb.DeliverStreamRequest]) -> None:
        try:
            async for request in requests:
                if self._no_more_requests:
                    break
                self._start(request)
        except CallRefusedError as refused:
            self._failure = refused
        finally:
            self.end()

    def _start(self, request: pb.DeliverStreamRequest) -> None:
        items = request.items
        if len(items) > MOST_ITEMS:
            raise CallRefusedError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "TOO_MANY_ITEMS",
                f"A batch holds at most {MOST_ITEMS} items.",
            )
        batch = batch_from(request)
        steps.passed("call.taken")
        for place, item in enumerate(items):
            if len(self._tasks) >= MOST_UNDER_WAY:
                # Waiting for room would hold up the others' items behind this one.
                self._ready.append((item.correlation_id, TOO_MANY))
                self._wake.set()
                continue
            self._begun += 1
            self._tasks[self._begun] = asyncio.create_task(self._run(self._begun, item, batch, place))

    async def _run(self, number: int, item: pb.DeliverItem, batch: Batch, place: int) -> None:
        try:
            seconds = seconds_from(item.timeout, self._default_seconds)
            result = await self._attempt(item.request, batch, place, seconds)
            self._ready.append((item.correlation_id, result))
        except Exception as error:  # noqa: BLE001 - it ends the stream, which says so to the caller
            self._failure = error
            self.end()
        finally:
            del self._tasks[number]
            self._wake.set()

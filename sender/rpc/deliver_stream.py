"""The stream of attempts: items start as they come, and are answered one by one as they finish.

Answers that are ready together leave in one message; nobody waits to make such a message longer.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

import grpc

from hubgate.sender.v1 import sender_service_pb2 as pb
from sender.model import Connection
from sender.rpc.convert import connection_from, seconds_from
from sender.rpc.errors import CallRefusedError

MOST_ITEMS = 256
MOST_UNDER_WAY = 4_096

Attempt = Callable[
    [pb.DeliverMessageRequest, Mapping[str, Connection], float], Awaitable[pb.DeliverMessageResponse]
]
"""One attempt: request, the batch's connections, seconds. Raises nothing but cancellation."""


class DeliverStream:
    """One stream. Leaving `answers` early cancels whatever is under way."""

    def __init__(self, attempt: Attempt, default_seconds: float) -> None:
        self._attempt = attempt
        self._default_seconds = default_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: list[pb.DeliverAnswer] = []
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(MOST_UNDER_WAY)
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
                    batch, self._ready = self._ready[:MOST_ITEMS], self._ready[MOST_ITEMS:]
                    yield pb.DeliverStreamResponse(answers=batch)
            if self._failure is not None:
                raise self._failure
        finally:
            reader.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(reader, *self._tasks, return_exceptions=True)

    def end(self) -> None:
        """No more requests are read; what is under way is still answered."""
        self._no_more_requests = True
        self._wake.set()

    def _finished(self) -> bool:
        return self._no_more_requests and not self._tasks and not self._ready

    async def _read(self, requests: AsyncIterator[pb.DeliverStreamRequest]) -> None:
        try:
            async for request in requests:
                if self._no_more_requests:
                    break
                await self._start(request)
        except CallRefusedError as refused:
            self._failure = refused
        finally:
            self.end()

    async def _start(self, request: pb.DeliverStreamRequest) -> None:
        if len(request.items) > MOST_ITEMS:
            raise CallRefusedError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "TOO_MANY_ITEMS",
                f"A batch holds at most {MOST_ITEMS} items.",
            )
        connections = {wire.instance_id: connection_from(wire) for wire in request.connections}
        for item in request.items:
            await self._room.acquire()
            task = asyncio.create_task(self._run(item, connections))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def _run(self, item: pb.DeliverItem, connections: Mapping[str, Connection]) -> None:
        seconds = seconds_from(item.timeout, self._default_seconds)
        response = await self._attempt(item.request, connections, seconds)
        self._ready.append(pb.DeliverAnswer(correlation_id=item.correlation_id, response=response))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self.end()

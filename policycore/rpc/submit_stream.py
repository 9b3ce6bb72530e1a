"""`SubmitStream`: items come in batches, each is worked on by itself, answers go back as they are ready."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from hubgate.policy.v1 import policy_service_pb2
from policycore.rpc.failures import Failure
from policycore.rpc.times import to_seconds

_MAX_ANSWERS = 256
_DEFAULT_TIMEOUT_SECONDS = 10.0

Answer = TypeVar("Answer")
_Ready = tuple[int, Answer | None, Failure | None]


def _as_it_is(wire: policy_service_pb2.SubmitResponse, answer: policy_service_pb2.SubmitResponse) -> None:
    wire.CopyFrom(answer)


async def serve_items(
    requests: AsyncIterator[policy_service_pb2.SubmitStreamRequest],
    submit: Callable[[policy_service_pb2.SubmitRequest, float], Awaitable[Answer]],
    write: Callable[[policy_service_pb2.SubmitResponse, Answer], None] = _as_it_is,  # type: ignore[assignment]
    leaving: asyncio.Event | None = None,
) -> AsyncIterator[policy_service_pb2.SubmitStreamResponse]:
    """Answers every item once. A slow one holds up nobody; answers that are ready together travel together.

    `write` puts what `submit` returned into the batch that leaves, in place: a message made apart would be copied
    once for each message around it. When the caller goes away, what was begun is finished: a decision is not undone
    because nobody waits for it. Once `leaving` is set nothing more is read, and the stream ends as soon as everything
    that was read is answered: what is unanswered then, the caller may send again as if it had never been sent.
    """
    answers: list[_Ready[Answer]] = []
    ready = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(item: policy_service_pb2.SubmitItem) -> None:
        number = item.correlation_id
        timeout = to_seconds(item.timeout) if item.HasField("timeout") else _DEFAULT_TIMEOUT_SECONDS
        try:
            answers.append((number, await submit(item.request, timeout), None))
        except Exception as error:  # noqa: BLE001 - one item must not fail the stream
            answers.append((number, None, Failure(error)))
        ready.set()

    def finished(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not tasks and reader.done():
            ready.set()

    async def read() -> None:
        async for batch in requests:
            for item in batch.items:
                task = asyncio.create_task(answer(item))
                tasks.add(task)
                task.add_done_callback(finished)

    reader = asyncio.create_task(read())
    reader.add_done_callback(lambda _: ready.set())
    leaver = asyncio.create_task(_end(reader, leaving)) if leaving is not None else None
    try:
        while True:
            await ready.wait()
            ready.clear()
            while answers:
                batch, answers[:] = answers[:_MAX_ANSWERS], answers[_MAX_ANSWERS:]
                yield _response(batch, write)
            if reader.done() and not tasks and not answers:
                return
    finally:
        reader.cancel()
        if leaver is not None:
            leaver.cancel()


async def _end(reader: asyncio.Task[None], leaving: asyncio.Event) -> None:
    await leaving.wait()
    reader.cancel()


def _response(
    batch: list[_Ready[Answer]], write: Callable[[policy_service_pb2.SubmitResponse, Answer], None]
) -> policy_service_pb2.SubmitStreamResponse:
    message = policy_service_pb2.SubmitStreamResponse()
    for number, answer, failure in batch:
        wire = message.answers.add()
        wire.correlation_id = number
        if answer is not None:
            try:
                write(wire.response, answer)
            except Exception as error:  # noqa: BLE001 - one item must not fail the stream
                failure = Failure(error)
        if failure is not None:
            # Setting one side of a oneof clears the other.
            wire.error.CopyFrom(failure.to_item_error())
    return message

"""`SubmitStream`: items come in batches, each is worked on by itself, answers go back as they are ready."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from hubgate.policy.v1 import policy_service_pb2
from policycore.rpc.failures import Failure
from policycore.rpc.times import to_seconds

_MAX_ANSWERS = 256
_DEFAULT_TIMEOUT_SECONDS = 10.0

Submit = Callable[[policy_service_pb2.SubmitRequest, float], Awaitable[policy_service_pb2.SubmitResponse]]


async def serve_items(
    requests: AsyncIterator[policy_service_pb2.SubmitStreamRequest], submit: Submit
) -> AsyncIterator[policy_service_pb2.SubmitStreamResponse]:
    """Answers every item once. A slow one holds up nobody; answers that are ready together travel together.

    When the caller goes away, what was begun is finished: a decision is not undone because nobody waits for
    it.
    """
    answers: list[policy_service_pb2.SubmitAnswer] = []
    ready = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(item: policy_service_pb2.SubmitItem) -> None:
        timeout = to_seconds(item.timeout) if item.HasField("timeout") else _DEFAULT_TIMEOUT_SECONDS
        try:
            response = await submit(item.request, timeout)
            reply = policy_service_pb2.SubmitAnswer(correlation_id=item.correlation_id, response=response)
        except Exception as error:  # noqa: BLE001 - one item must not fail the stream
            failure = Failure(error).to_item_error()
            reply = policy_service_pb2.SubmitAnswer(correlation_id=item.correlation_id, error=failure)
        answers.append(reply)
        ready.set()

    async def read() -> None:
        async for batch in requests:
            for item in batch.items:
                task = asyncio.create_task(answer(item))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    reader = asyncio.create_task(read())
    reader.add_done_callback(lambda _: ready.set())
    try:
        while True:
            await ready.wait()
            ready.clear()
            while answers:
                batch, answers[:] = answers[:_MAX_ANSWERS], answers[_MAX_ANSWERS:]
                yield policy_service_pb2.SubmitStreamResponse(answers=batch)
            if reader.done() and not tasks and not answers:
                return
    finally:
        reader.cancel()

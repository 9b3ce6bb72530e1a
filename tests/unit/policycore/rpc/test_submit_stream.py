"""Items of one stream: answered together where they are ready together, and each one's failure its own."""

import asyncio
from collections.abc import AsyncIterator

from hubgate.policy.v1 import policy_service_pb2 as wire
from policycore.errors import Malformed
from policycore.rpc.submit_stream import serve_items


async def requests(*phones: str) -> AsyncIterator[wire.SubmitStreamRequest]:
    items = [
        wire.SubmitItem(correlation_id=number, request=wire.SubmitRequest(phone=phone))
        for number, phone in enumerate(phones)
    ]
    yield wire.SubmitStreamRequest(items=items)


async def submit(request: wire.SubmitRequest, seconds: float) -> str:
    await asyncio.sleep(0.01)
    if request.phone == "malformed":
        raise Malformed("phone", "is malformed.")
    return request.phone


def write(response: wire.SubmitResponse, phone: str) -> None:
    response.message.message_id = phone
    if phone == "unwritable":
        raise ValueError(phone)


async def test_a_stream_whose_caller_says_no_more_ends_after_its_last_answer() -> None:
    async with asyncio.timeout(5):
        batches = [
            each async for each in serve_items(requests("a", "malformed", "unwritable"), submit, write)
        ]
    found = {answer.correlation_id: answer for each in batches for answer in each.answers}
    assert found[0].response.message.message_id == "a"
    assert (found[1].error.code, found[1].HasField("response")) == (3, False)
    assert (found[2].error.code, found[2].HasField("response")) == (13, False)


async def test_a_leaving_server_reads_no_more_and_answers_what_it_has_read() -> None:
    leaving, taken = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[wire.SubmitStreamRequest]:
        async for each in requests("a", "b"):
            yield each
        taken.set()
        await asyncio.Event().wait()

    async def leave() -> None:
        await taken.wait()
        leaving.set()

    async with asyncio.timeout(5):
        leaver = asyncio.create_task(leave())
        batches = [each async for each in serve_items(endless(), submit, write, leaving)]
        await leaver
    assert sorted(answer.correlation_id for each in batches for answer in each.answers) == [0, 1]

"""Coalescing submissions onto streams: batches, answers in any order, deadlines, broken lanes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from edge.clients.crowding import Crowding
from edge.clients.submit_lanes import BATCH_ITEMS, SubmitLanes
from edge.errors import CoreTimeoutError, CoreUnavailableError, InvalidCallError
from hubgate.policy.v1 import policy_service_pb2 as wire


class Stream:
    """One bidirectional call, played by the test."""

    def __init__(self) -> None:
        self.written: list[wire.SubmitStreamRequest] = []
        self.answers: asyncio.Queue[wire.SubmitStreamResponse | object] = asyncio.Queue()
        self.wrote = asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.cancelled = False
        self.closed = False
        self.reachable = True

    async def wait_for_connection(self) -> None:
        if not self.reachable:
            raise ConnectionError

    async def write(self, request: wire.SubmitStreamRequest) -> None:
        await self.may_write.wait()
        if self.closed:
            raise asyncio.InvalidStateError
        self.written.append(request)
        self.wrote.set()

    async def read(self) -> object:
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self) -> None:
        self.cancelled = True

    def items(self) -> list[wire.SubmitItem]:
        return [item for request in self.written for item in request.items]

    def answer(self, *items: wire.SubmitItem) -> None:
        answers = [
            wire.SubmitAnswer(
                correlation_id=item.correlation_id,
                response=wire.SubmitResponse(duplicate=item.request.phone == "twice"),
            )
            for item in items
        ]
        self.answers.put_nowait(wire.SubmitStreamResponse(answers=answers))

    def end(self) -> None:
        """Breaks."""
        self.answers.put_nowait(ConnectionError())

    def leave(self) -> None:
        """Ends in order, as a policy core that is told to stop ends it."""
        self.answers.put_nowait(grpc.aio.EOF)  # type: ignore[attr-defined]


@asynccontextmanager
async def lanes(
    open_stream: Callable[[], Stream], count: int = 1, crowding: Crowding | None = None
) -> AsyncIterator[SubmitLanes]:
    made = SubmitLanes(open_stream, lanes=count, jitter=lambda: 0.1, crowding=crowding)
    made.start()
    await asyncio.sleep(0.01)
    yield made
    await made.close()


def request(phone: str = "+1") -> wire.SubmitRequest:
    return wire.SubmitRequest(integration_id="int_1", phone=phone)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the streams are played, and signal nothing
            await asyncio.sleep(0.001)


async def test_an_item_is_answered() -> None:
    stream = Stream()
    async with lanes(lambda: stream) as made:
        task = asyncio.create_task(made.submit(request("twice"), 5))
        await until(lambda: len(stream.items()) == 1)
        (item,) = stream.items()
        assert 4 < item.timeout.ToTimedelta().total_seconds() <= 5
        stream.answer(item)
        assert (await task).duplicate


async def test_what_waits_together_travels_together_and_is_answered_in_any_order() -> None:
    stream = Stream()
    stream.may_write.clear()
    async with lanes(lambda: stream) as made:
        tasks = [asyncio.create_task(made.submit(request(str(n)), 5)) for n in range(BATCH_ITEMS + 10)]
        await asyncio.sleep(0.01)
        stream.may_write.set()
        await until(lambda: len(stream.items()) == len(tasks))
        assert max(len(each.items) for each in stream.written) <= BATCH_ITEMS
        assert len(stream.written) <= 3
        for item in reversed(stream.items()):
            stream.answer(item)
        assert len(await asyncio.gather(*tasks)) == len(tasks)


async def test_large_texts_are_spread_over_batches() -> None:
    stream = Stream()
    stream.may_write.clear()
    async with lanes(lambda: stream) as made:
        large = wire.SubmitRequest(text="x" * 200_000)
        tasks = [asyncio.create_task(made.submit(large, 5)) for _ in range(9)]
        await asyncio.sleep(0.01)
        stream.may_write.set()
        await until(lambda: len(stream.items()) == 9)
        assert max(each.ByteSize() for each in stream.written) < 4 * 1024 * 1024
        stream.answer(*stream.items())
        await asyncio.gather(*tasks)


async def test_a_slow_item_holds_up_nobody_and_times_out_alone() -> None:
    stream = Stream()
    async with lanes(lambda: stream) as made:
        slow = asyncio.create_task(made.submit(request("slow"), 0.05))
        await until(lambda: len(stream.items()) == 1)
        quick = asyncio.create_task(made.submit(request(), 5))
        await until(lambda: len(stream.items()) == 2)
        stream.answer(stream.items()[1])
        await quick
        with pytest.raises(CoreTimeoutError):
            await slow
        stream.answer(stream.items()[0])
        again = asyncio.create_task(made.submit(request(), 5))
        await until(lambda: len(stream.items()) == 3)
        stream.answer(stream.items()[2])
        await again


async def test_an_items_error_is_its_own() -> None:
    stream = Stream()
    async with lanes(lambda: stream) as made:
        tasks = [asyncio.create_task(made.submit(request(), 5)) for _ in range(3)]
        await until(lambda: len(stream.items()) == 3)
        bad, busy, good = stream.items()
        invalid = wire.ItemError(code=3, message="malformed")
        overloaded = wire.ItemError(code=8, message="busy")
        overloaded.retry_after.seconds = 7
        stream.answers.put_nowait(
            wire.SubmitStreamResponse(
                answers=[
                    wire.SubmitAnswer(correlation_id=bad.correlation_id, error=invalid),
                    wire.SubmitAnswer(correlation_id=busy.correlation_id, error=overloaded),
                ]
            )
        )
        stream.answer(good)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes[0], InvalidCallError)
        assert isinstance(outcomes[1], CoreUnavailableError)
        assert outcomes[1].retry_after_seconds == 7
        assert isinstance(outcomes[2], wire.SubmitResponse)


async def test_what_was_under_way_on_a_broken_lane_fails_and_what_comes_next_does_not() -> None:
    streams: list[Stream] = []

    def open_stream() -> Stream:
        streams.append(Stream())
        return streams[-1]

    async with lanes(open_stream) as made:
        lost = asyncio.create_task(made.submit(request(), 5))
        await until(lambda: len(streams[0].items()) == 1)
        streams[0].end()
        with pytest.raises(CoreUnavailableError):
            await lost
        task = asyncio.create_task(made.submit(request(), 5))
        await until(lambda: len(streams) == 2 and len(streams[1].items()) == 1)
        streams[1].answer(*streams[1].items())
        await task
        assert streams[0].cancelled


async def test_what_carries_a_key_is_repeated_once_when_its_lane_breaks() -> None:
    streams: list[Stream] = []

    def open_stream() -> Stream:
        streams.append(Stream())
        return streams[-1]

    async with lanes(open_stream) as made:
        keyed = wire.SubmitRequest(integration_id="int_1", idempotency_key="k-1")
        task = asyncio.create_task(made.submit(keyed, 5))
        await until(lambda: len(streams[0].items()) == 1)
        streams[0].end()
        await until(lambda: len(streams) == 2 and len(streams[1].items()) == 1)
        streams[1].answer(*streams[1].items())
        await task
        lost = asyncio.create_task(made.submit(keyed, 5))
        await until(lambda: len(streams[1].items()) == 2)
        streams[1].end()
        await until(lambda: len(streams) == 3 and len(streams[2].items()) == 1)
        streams[2].end()
        with pytest.raises(CoreUnavailableError):
            await lost


@pytest.mark.parametrize("noticed_by_the_writer", [False, True])
async def test_what_a_leaving_policy_core_did_not_read_goes_elsewhere(noticed_by_the_writer: bool) -> None:
    streams: list[Stream] = []

    def open_stream() -> Stream:
        streams.append(Stream())
        return streams[-1]

    async with lanes(open_stream) as made:
        answered, unread = (asyncio.create_task(made.submit(request(phone), 5)) for phone in ("+1", "+2"))
        await until(lambda: len(streams[0].items()) == 2)
        streams[0].answer(*streams[0].items()[:1])
        streams[0].closed = noticed_by_the_writer
        later = asyncio.create_task(made.submit(request("+3"), 5))
        await asyncio.sleep(0.01)
        streams[0].leave()
        await answered
        await until(lambda: len(streams) == 2 and len(streams[1].items()) == 2)
        assert sorted(item.request.phone for item in streams[1].items()) == ["+2", "+3"]
        streams[1].answer(*streams[1].items())
        await asyncio.gather(unread, later)


async def test_one_broken_lane_leaves_the_other_serving() -> None:
    streams: list[Stream] = []

    def open_stream() -> Stream:
        streams.append(Stream())
        streams[-1].reachable = len(streams) != 1
        return streams[-1]

    async with lanes(open_stream, count=2) as made:
        for _ in range(20):
            task = asyncio.create_task(made.submit(request(), 5))
            await until(lambda: any(stream.items() for stream in streams))
            for stream in streams:
                stream.answer(*stream.items())
                stream.written.clear()
            await task


async def test_without_any_lane_an_item_fails_soon() -> None:
    def open_stream() -> Stream:
        stream = Stream()
        stream.reachable = False
        return stream

    async with lanes(open_stream) as made:
        started = asyncio.get_running_loop().time()
        with pytest.raises(CoreUnavailableError):
            await made.submit(request(), 30)
        assert asyncio.get_running_loop().time() - started < 5


async def test_what_is_in_flight_is_bounded_in_all_and_for_each_caller() -> None:
    stream = Stream()
    stream.reachable = False
    made = SubmitLanes(lambda: stream, crowding=Crowding(most=3, most_of_one=2))
    waiting = [asyncio.create_task(made.submit(request(), 5, caller)) for caller in ("hot", "hot", "other")]
    await asyncio.sleep(0)
    for caller in ("hot", "third"):
        with pytest.raises(CoreUnavailableError, match="too many") as refused:
            await made.submit(request(), 5, caller)
        assert refused.value.retry_after_seconds
    await made.close()
    for each in waiting:
        with pytest.raises(CoreUnavailableError):
            await each


async def test_of_a_caller_of_whom_too_much_waits_nothing_more_is_carried_for_a_moment() -> None:
    stream = Stream()
    async with lanes(lambda: stream, crowding=Crowding(crowded_seconds=60)) as made:
        hot = asyncio.create_task(made.submit(request(), 5, "hot"))
        await until(lambda: len(stream.items()) == 1)
        error = wire.ItemError(code=14, reason="OVERLOADED", message="too many wait")
        answer = wire.SubmitAnswer(correlation_id=stream.items()[0].correlation_id, error=error)
        stream.answers.put_nowait(wire.SubmitStreamResponse(answers=[answer]))
        await until(stream.answers.empty)
        with pytest.raises(CoreUnavailableError, match="too many requests"):
            await made.submit(request(), 5, "hot")
        assert len(stream.items()) == 1, "it was not carried"
        other = asyncio.create_task(made.submit(request("+2"), 5, "other"))
        await until(lambda: len(stream.items()) == 2)
        stream.answer(stream.items()[1])
        await other
        with pytest.raises(CoreUnavailableError, match="too many wait"):
            await hot


async def test_a_caller_whose_requests_were_answered_has_room_again() -> None:
    stream = Stream()
    stream.reachable = False
    made = SubmitLanes(lambda: stream, crowding=Crowding(most_of_one=1))
    for _ in range(2):
        waiting = asyncio.create_task(made.submit(request(), 5, "one"))
        await asyncio.sleep(0)
        await made.close()
        with pytest.raises(CoreUnavailableError, match="out of reach"):
            await waiting

"""The stream of attempts: answers one by one, together only if they are ready together, nothing lost."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from hubgate.sender.v1 import sender_service_pb2 as pb
from sender.model import AttemptResult, Outcome
from sender.rpc import deliver_stream
from sender.rpc.convert import Batch
from sender.rpc.deliver_stream import MOST_ITEMS, DeliverStream
from sender.rpc.errors import CallRefusedError


class Attempts:
    """Attempts that end when the test says so."""

    def __init__(self) -> None:
        self._began: dict[str, asyncio.Event] = {}
        self._may_end: dict[str, asyncio.Event] = {}
        self.connections: list[set[str]] = []
        self.places: list[int] = []
        self.seconds: list[float] = []
        self.explanation = ""
        self.cancelled: list[str] = []

    def began(self, name: str) -> asyncio.Event:
        return self._began.setdefault(name, asyncio.Event())

    def may_end(self, name: str) -> asyncio.Event:
        return self._may_end.setdefault(name, asyncio.Event())

    async def run(
        self, request: pb.DeliverMessageRequest, batch: Batch, place: int, seconds: float
    ) -> AttemptResult:
        name = request.correlation_id
        self.began(name).set()
        self.connections.append(set(batch.connections))
        self.places.append(place)
        self.seconds.append(seconds)
        if name == "broken":
            raise RuntimeError("broken")
        try:
            await self.may_end(name).wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        return AttemptResult(Outcome.ACCEPTED, name, self.explanation)


class Caller:
    """The other end of a stream."""

    def __init__(self) -> None:
        self.attempts = Attempts()
        self.stream = DeliverStream(self.attempts.run, 30.0)
        self._requests: asyncio.Queue[pb.DeliverStreamRequest | None] = asyncio.Queue()
        self.answers = self.stream.answers(self._read())

    async def _read(self) -> AsyncIterator[pb.DeliverStreamRequest]:
        while (request := await self._requests.get()) is not None:
            yield request

    def send(self, *names: str, connections: tuple[str, ...] = (), seconds: int = 0) -> None:
        request = pb.DeliverStreamRequest(
            connections=[pb.InstanceConnection(instance_id=name) for name in connections]
        )
        for number, name in enumerate(names):
            item = request.items.add(correlation_id=number)
            item.request.correlation_id = name
            if seconds:
                item.timeout.seconds = seconds
        self._requests.put_nowait(request)

    def done(self) -> None:
        self._requests.put_nowait(None)

    async def finish(self, *names: str) -> None:
        async with asyncio.timeout(2):
            for name in names:
                await self.attempts.began(name).wait()
        for name in names:
            self.attempts.may_end(name).set()

    async def next_codes(self) -> list[str]:
        async with asyncio.timeout(2):
            batch = await anext(self.answers)
        return [answer.response.code for answer in batch.answers]


async def test_a_quick_item_does_not_wait_for_a_slow_one() -> None:
    caller = Caller()
    caller.send("slow", "quick")
    reading = asyncio.create_task(caller.next_codes())
    await caller.finish("quick")
    assert await reading == ["quick"]
    await caller.finish("slow")
    assert await caller.next_codes() == ["slow"]
    await caller.answers.aclose()


async def test_answers_that_are_ready_together_leave_together() -> None:
    caller = Caller()
    caller.send("a", "b", "c")
    reading = asyncio.create_task(caller.next_codes())
    await caller.finish("a", "b", "c")
    assert sorted(await reading) == ["a", "b", "c"]
    await caller.answers.aclose()


async def test_every_item_is_answered_after_the_requests_ended() -> None:
    caller = Caller()
    caller.send("a", "b")
    caller.done()
    reading = asyncio.create_task(caller.next_codes())
    await caller.finish("a")
    assert await reading == ["a"]
    await caller.finish("b")
    assert await caller.next_codes() == ["b"]
    with pytest.raises(StopAsyncIteration):
        await anext(caller.answers)


async def test_an_empty_stream_ends() -> None:
    caller = Caller()
    caller.done()
    with pytest.raises(StopAsyncIteration):
        await anext(caller.answers)


async def test_leaving_cancels_what_is_under_way() -> None:
    caller = Caller()
    caller.send("a", "b")
    reading = asyncio.create_task(caller.next_codes())
    await caller.finish("a")
    await reading
    await caller.answers.aclose()
    assert caller.attempts.cancelled == ["b"]


async def test_items_have_the_batchs_connections_and_their_own_time() -> None:
    caller = Caller()
    caller.send("a", connections=("ins_1", "ins_2"), seconds=7)
    caller.send("b")
    reading = asyncio.create_task(caller.next_codes())
    await caller.finish("a", "b")
    await reading
    assert caller.attempts.connections == [{"ins_1", "ins_2"}, set()]
    assert caller.attempts.places == [0, 0]
    assert caller.attempts.seconds == [7.0, 30.0]
    await caller.answers.aclose()


async def test_ending_answers_what_was_taken_and_takes_no_more() -> None:
    caller = Caller()
    caller.send("a")
    reading = asyncio.create_task(caller.next_codes())
    await asyncio.sleep(0.01)
    caller.stream.end()
    caller.send("late")
    await caller.finish("a")
    assert await reading == ["a"]
    with pytest.raises(StopAsyncIteration):
        await anext(caller.answers)
    assert not caller.attempts.began("late").is_set()


async def test_a_batch_that_is_too_large_is_refused() -> None:
    caller = Caller()
    caller.send(*(str(number) for number in range(MOST_ITEMS + 1)))
    with pytest.raises(CallRefusedError) as caught:
        await anext(caller.answers)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_ITEMS")


async def test_an_error_of_our_own_ends_the_stream_instead_of_losing_an_answer() -> None:
    caller = Caller()
    caller.send("broken")
    with pytest.raises(RuntimeError, match="broken"):
        await anext(caller.answers)


async def test_an_answer_that_cannot_be_written_is_unknown_and_its_neighbour_is_told() -> None:
    caller = Caller()
    caller.attempts.explanation = "\ud800"
    caller.send("a")
    reading = asyncio.create_task(caller.next_codes())
    await caller.finish("a")
    assert await reading == ["sender_fault"]
    caller.attempts.explanation = ""
    caller.send("b")
    await caller.finish("b")
    assert await caller.next_codes() == ["b"]
    await caller.answers.aclose()


async def test_no_more_than_so_many_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver_stream, "MOST_UNDER_WAY", 2)
    caller = Caller()
    caller.send("a", "b", "c")
    reading = asyncio.create_task(caller.next_codes())
    await asyncio.sleep(0.01)
    assert not caller.attempts.began("c").is_set()
    assert await reading == ["sender_overloaded"], "at once, so that it holds up nobody"
    await caller.finish("b")
    assert await caller.next_codes() == ["b"]
    caller.send("d")
    await caller.finish("d")
    assert await caller.next_codes() == ["d"], "there is room again"
    await caller.finish("a")
    assert await caller.next_codes() == ["a"]
    await caller.answers.aclose()

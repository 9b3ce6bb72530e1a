"""Permits under one signature: whatever is done to a batch, nothing leaves that was not signed just so."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as some
from prometheus_client import CollectorRegistry

from hubgate.sender.v1 import sender_service_pb2 as pb
from peers.instructor import KEY_ID, Instructor
from sender.backends.registry import BACKENDS
from sender.deliver import Delivery, Route
from sender.guard import Guard
from sender.model import Exchange, HttpAnswer, HttpRequest
from sender.permit import PermitDesk
from sender.record import Recorder
from sender.rpc.servicer import SenderServicer
from sender.turns import Turns

CORE = Instructor()
CONNECTION = pb.InstanceConnection(
    instance_id="ins_1",
    backend="evolution",
    base_url="https://evo.example.com",
    external_name="acme",
    api_token="key",
)
REFUSED = {"permit_signature_invalid"}
UNREADABLE = {"permit_malformed", "connection_missing"}
"""What an item whose permit is read anew may be refused for, before its signature is looked at."""

sizes = some.integers(min_value=1, max_value=6)
examples = settings(max_examples=60, deadline=None)


class Quiet:
    """A log that keeps nothing."""

    def info(self, event: str, **words: Any) -> None:
        pass

    debug = exception = info


class Sender:
    """A sender without network; `written` are the texts that left."""

    def __init__(self) -> None:
        self.written: list[str] = []
        guard = Guard(_now, time.monotonic)
        guard.hear("core", 1, [], snapshot=True)
        recorder = Recorder(CollectorRegistry(), Quiet())
        delivery = Delivery(
            permits=PermitDesk({KEY_ID: CORE.key.public_key()}, _now),
            guard=guard,
            routes={"evolution": Route(BACKENDS["evolution"], self)},
            turns=Turns(100, 100),
            recorder=recorder,
            monotonic=time.monotonic,
        )
        unused: Any = None
        self._servicer = SenderServicer(delivery, unused, unused, unused, guard, recorder, unused)

    async def exchange(
        self, request: HttpRequest, *, timeout_seconds: float, before_write: Callable[[], None]
    ) -> Exchange:
        await asyncio.sleep(0)
        before_write()
        self.written.append(json.loads(request.body)["text"])
        return HttpAnswer(201, {}, b'{"key":{"id":"3EB0"}}')

    def attempt(self, *requests: pb.DeliverStreamRequest) -> list[list[str]]:
        """The codes of the answers, for each request by the numbers of its items, each answered once."""
        return [asyncio.run(self._attempt(request)) for request in requests]

    async def _attempt(self, request: pb.DeliverStreamRequest) -> list[str]:
        # As it comes over the wire: parsed from bytes, numbered anew.
        request = pb.DeliverStreamRequest.FromString(request.SerializeToString())
        for number, item in enumerate(request.items):
            item.correlation_id = number

        async def once() -> AsyncIterator[pb.DeliverStreamRequest]:
            yield request

        codes: dict[int, str] = {}
        async for response in self._servicer.DeliverStream(once(), None):
            for answer in response.answers:
                assert answer.correlation_id not in codes
                codes[answer.correlation_id] = answer.response.code
                attempted = answer.response.outcome != pb.OUTCOME_NOT_ATTEMPTED
                assert attempted == answer.response.HasField("attempted_at")
        return [codes[number] for number in range(len(request.items))]


def _now() -> datetime:
    return datetime.now(UTC)


def batch(size: int, name: str = "text") -> pb.DeliverStreamRequest:
    return CORE.batch(CONNECTION, *(f"{name} {number}" for number in range(size)))


def with_items(request: pb.DeliverStreamRequest, items: Sequence[pb.DeliverItem]) -> pb.DeliverStreamRequest:
    """The request with its signature and connections, and other items."""
    other = pb.DeliverStreamRequest()
    other.CopyFrom(request)
    del other.items[:]
    other.items.extend(items)
    return other


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8 % len(raw)] ^= 1 << bit % 8
    return bytes(changed)


def nothing_leaves(*requests: pb.DeliverStreamRequest, codes: set[str] = REFUSED) -> None:
    sender = Sender()
    for answered in sender.attempt(*requests):
        assert set(answered) <= codes
    assert sender.written == []


@examples
@given(sizes)
def test_a_batch_is_attempted_once_and_no_more(size: int) -> None:
    sender, request = Sender(), batch(size)
    assert sender.attempt(request, request) == [["evolution_accepted"] * size, ["permit_used"] * size]
    assert sorted(sender.written) == [f"text {number}" for number in range(size)]


@examples
@given(some.data())
def test_items_in_another_order(data: some.DataObject) -> None:
    request = batch(data.draw(some.integers(2, 6)))
    order = data.draw(some.permutations(range(len(request.items))))
    assume(order != sorted(order))
    nothing_leaves(with_items(request, [request.items[place] for place in order]))


@examples
@given(some.data())
def test_items_left_out_or_repeated(data: some.DataObject) -> None:
    request = batch(data.draw(sizes))
    every = list(range(len(request.items)))
    kept = data.draw(some.lists(some.sampled_from(every), min_size=1, max_size=8).map(sorted))
    assume(kept != every)
    nothing_leaves(with_items(request, [request.items[place] for place in kept]))


@examples
@given(some.data())
def test_items_put_into_another_batch(data: some.DataObject) -> None:
    one, other = batch(data.draw(sizes), "one"), batch(data.draw(sizes), "other")
    moved = data.draw(some.sampled_from(one.items))
    place = data.draw(some.integers(0, len(other.items)))
    replaces = data.draw(some.booleans())
    assume(not replaces or place < len(other.items))
    items = [*other.items[:place], moved, *other.items[place + replaces :]]
    assume(items != list(one.items))
    nothing_leaves(with_items(other, items), with_items(one, items))


@examples
@given(some.data())
def test_the_signature_of_another_batch(data: some.DataObject) -> None:
    one, other = batch(data.draw(sizes)), batch(data.draw(sizes))
    one.permits_signature, other.permits_signature = other.permits_signature, one.permits_signature
    nothing_leaves(one, other)


@examples
@given(some.data())
def test_any_bit_of_any_permit(data: some.DataObject) -> None:
    request = batch(data.draw(sizes))
    permit = data.draw(some.sampled_from(request.items)).request.permit
    permit.permit = flipped(permit.permit, data.draw(some.integers(0, 4_095)))
    nothing_leaves(request, codes=REFUSED | UNREADABLE)


@examples
@given(sizes, some.integers(0, 64 * 8 - 1))
def test_any_bit_of_the_signature(size: int, bit: int) -> None:
    request = batch(size)
    request.permits_signature = flipped(request.permits_signature, bit)
    nothing_leaves(request)


@examples
@given(some.data())
def test_permits_that_change_places(data: some.DataObject) -> None:
    request = batch(data.draw(some.integers(2, 6)))
    one, other = data.draw(some.lists(some.sampled_from(range(len(request.items))), min_size=2, max_size=2))
    assume(one != other)
    first, second = request.items[one].request.permit, request.items[other].request.permit
    first.permit, second.permit = second.permit, first.permit
    nothing_leaves(request)


@examples
@given(some.data())
def test_a_signed_permit_is_for_its_own_text_and_person_and_no_neighbour_suffers(
    data: some.DataObject,
) -> None:
    request = batch(data.draw(sizes))
    spoilt = data.draw(some.integers(0, len(request.items) - 1))
    order = request.items[spoilt].request
    if data.draw(some.booleans()):
        order.content.text += "!"
        code = "permit_wrong_content"
    else:
        order.recipient.phone = "+966500000009"
        code = "permit_wrong_recipient"
    sender = Sender()
    (codes,) = sender.attempt(request)
    assert codes.pop(spoilt) == code
    assert codes == ["evolution_accepted"] * (len(request.items) - 1)
    assert len(sender.written) == len(codes)


@examples
@given(sizes, some.sampled_from(["", "another"]))
def test_a_key_nobody_knows(size: int, key_id: str) -> None:
    request = batch(size)
    request.permits_key_id = key_id
    nothing_leaves(request, codes={"permit_key_unknown"})


@examples
@given(sizes)
def test_no_signature_at_all(size: int) -> None:
    request = batch(size)
    request.ClearField("permits_signature")
    nothing_leaves(request)
    request.ClearField("permits_key_id")
    nothing_leaves(request, codes={"permit_key_unknown"})


@examples
@given(sizes)
def test_a_strangers_signature(size: int) -> None:
    nothing_leaves(Instructor().sign_together(batch(size)))


def test_the_signature_of_one_permit_is_none_for_a_batch_and_the_other_way_round() -> None:
    request = batch(1)
    permit = request.items[0].request.permit
    of_batch = request.permits_signature
    of_permit = CORE.sign(pb.Permit.FromString(permit.permit)).signature
    request.permits_signature = of_permit
    nothing_leaves(request)
    request.permits_signature = of_batch
    permit.signature, permit.key_id = of_batch, KEY_ID
    nothing_leaves(request)


@examples
@given(some.lists(some.booleans(), min_size=1, max_size=6))
def test_a_permit_with_its_own_signature_does_not_need_the_batchs(own: list[bool]) -> None:
    request = batch(len(own))
    for item, signed in zip(request.items, own, strict=True):
        if signed:
            item.request.permit.CopyFrom(CORE.sign(pb.Permit.FromString(item.request.permit.permit)))
    good = Sender()
    assert good.attempt(request) == [["evolution_accepted"] * len(own)]
    request.permits_signature = bytes(64)
    sender = Sender()
    (codes,) = sender.attempt(request)
    assert [code == "evolution_accepted" for code in codes] == own
    assert set(codes) <= {"evolution_accepted", "permit_signature_invalid"}
    assert len(sender.written) == sum(own)


@examples
@given(sizes)
def test_a_bad_signature_of_its_own_is_not_made_good_by_the_batch(size: int) -> None:
    request = batch(size)
    request.items[0].request.permit.signature = bytes(64)
    request.items[0].request.permit.key_id = KEY_ID
    sender = Sender()
    assert sender.attempt(request) == [["permit_signature_invalid", *["evolution_accepted"] * (size - 1)]]


def test_a_dead_permit_stays_dead_in_good_company() -> None:
    dead = CORE.batch(CONNECTION, "dead", lives_seconds=-1).items[0]
    request = batch(2)
    request.items.append(dead)
    sender = Sender()
    assert sender.attempt(CORE.sign_together(request)) == [[*["evolution_accepted"] * 2, "permit_expired"]]

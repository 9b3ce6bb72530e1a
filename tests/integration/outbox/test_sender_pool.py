"""The pool of senders against a sender that does what a test says."""

import asyncio
from dataclasses import replace
from typing import Any

import grpc
from integration.outbox.scripted_sender import (
    INSTANCE,
    Answer,
    ScriptedSender,
    World,
    accept,
    message,
    say_nothing,
    serving,
    until,
)

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.dispatch.lanes import MOST_IN_BATCH, NO_SENDER
from policycore.dispatch.senders import NOT_POSTED
from policycore.ports import Outcome, Posting, PostOutcome


async def test_an_attempt_reaches_the_sender_whole_and_its_answer_comes_back() -> None:
    sender = ScriptedSender()
    async with serving(sender) as port, World([port]) as world:
        assert not world.pool.available()
        assert (await world.pool.deliver(message(), INSTANCE)).code == "no_sender"
        await world.ready()
        outcome = await world.pool.deliver(message(7, "مرحبا"), INSTANCE)
        assert (outcome.outcome, outcome.external_message_id) == (Outcome.ACCEPTED, "ext_msg_7")
        assert outcome.handed_over
        (batch,) = sender.batches
        assert [connection.instance_id for connection in batch.connections] == ["ins_1"]
        (item,) = batch.items
        assert (item.request.content.text, item.request.recipient.phone) == ("مرحبا", "+966500000000")
        assert pb.Permit.FromString(item.request.permit.permit).message_id == "msg_7"
        assert not item.request.HasField("connection")
        assert 3 < item.timeout.ToTimedelta().total_seconds() < 5


async def test_what_waits_travels_together_and_names_each_instance_once() -> None:
    sender = ScriptedSender()
    other = replace(INSTANCE, instance_id="ins_2")
    async with serving(sender) as port, World([port]) as world:
        await world.ready()
        calls = [world.pool.deliver(message(n), (INSTANCE, other)[n % 2]) for n in range(200)]
        outcomes = await asyncio.gather(*calls)
    assert [outcome.external_message_id for outcome in outcomes] == [f"ext_msg_{n}" for n in range(200)]
    assert len(sender.batches) < 20
    assert max(len(batch.items) for batch in sender.batches) <= MOST_IN_BATCH
    for batch in sender.batches:
        assert sorted({c.instance_id for c in batch.connections}) == [
            c.instance_id for c in batch.connections
        ]


async def test_an_instance_whose_key_changed_within_a_batch_uses_each_its_own() -> None:
    sender = ScriptedSender()
    renewed = replace(INSTANCE, api_token="new key")
    async with serving(sender) as port, World([port]) as world:
        await world.ready()
        await asyncio.gather(
            *(world.pool.deliver(message(n), (INSTANCE, renewed)[n]) for n in range(2)),
        )
    tokens = {}
    for batch in sender.batches:
        named = {connection.instance_id: connection for connection in batch.connections}
        for item in batch.items:
            own = item.request.connection if item.request.HasField("connection") else named["ins_1"]
            tokens[item.request.correlation_id] = own.api_token
    assert tokens == {"msg_0": "key", "msg_1": "new key"}


async def test_a_slow_attempt_holds_up_nobody() -> None:
    gate = asyncio.Event()

    async def attempt(item: pb.DeliverItem) -> Answer:
        if item.request.correlation_id == "msg_0":
            await gate.wait()
        return await accept(item)

    sender = ScriptedSender(attempt)
    async with serving(sender) as port, World([port]) as world:
        await world.ready()
        slow = asyncio.create_task(world.pool.deliver(message(0), INSTANCE))
        others = [world.pool.deliver(message(n), INSTANCE) for n in range(1, 60)]
        outcomes = await asyncio.wait_for(asyncio.gather(*others), 3)
        assert all(outcome.outcome is Outcome.ACCEPTED for outcome in outcomes)
        assert not slow.done()
        gate.set()
        assert (await slow).outcome is Outcome.ACCEPTED


async def test_a_stream_that_breaks_leaves_written_attempts_unknown() -> None:
    sender = ScriptedSender(say_nothing)
    async with serving(sender) as port, World([port]) as world:
        await world.ready()
        calls = [asyncio.create_task(world.pool.deliver(message(n), INSTANCE)) for n in range(5)]
        await until(lambda: len(sender.items) == 5)
        sender.breaks.set()
        outcomes = await asyncio.gather(*calls)
        assert {(outcome.outcome, outcome.code) for outcome in outcomes} == {(Outcome.UNKNOWN, "sender_lost")}
        assert all(outcome.handed_over for outcome in outcomes)
        sender.breaks.clear()
        sender.attempt = accept
        outcome = NO_SENDER
        while outcome == NO_SENDER:
            # One stream may be back while the other is yet to be seen broken.
            await world.ready()
            outcome = await world.pool.deliver(message(9), INSTANCE)
        assert outcome.outcome is Outcome.ACCEPTED


async def test_what_was_not_written_when_the_streams_broke_may_be_tried_again() -> None:
    """The sender reads nothing, so that flow control holds back what does not fit on the way."""
    sender = ScriptedSender(say_nothing)
    sender.read.clear()
    async with serving(sender) as port, World([port]) as world:
        await world.ready()
        big = "x" * 16_384
        calls = [asyncio.create_task(world.pool.deliver(message(n, big), INSTANCE)) for n in range(3_000)]
        await asyncio.sleep(0.3)
        sender.breaks.set()
        outcomes = await asyncio.gather(*calls)
    seen = {(outcome.outcome, outcome.code, outcome.handed_over) for outcome in outcomes}
    assert seen == {
        (Outcome.UNKNOWN, "sender_lost", True),
        (Outcome.NOT_ATTEMPTED, "no_sender", False),
    }


async def test_an_attempt_over_its_time_is_unknown_and_a_late_answer_harms_nobody() -> None:
    gate = asyncio.Event()

    async def attempt(item: pb.DeliverItem) -> Answer:
        if item.request.correlation_id == "msg_0":
            await gate.wait()
        return await accept(item)

    sender = ScriptedSender(attempt)
    async with serving(sender) as port, World([port], attempt_seconds=0.3) as world:
        await world.ready()
        late = await world.pool.deliver(message(0), INSTANCE)
        assert (late.outcome, late.code, late.handed_over) == (Outcome.UNKNOWN, "sender_late", True)
        gate.set()
        outcome = await world.pool.deliver(message(1), INSTANCE)
        assert outcome.external_message_id == "ext_msg_1"


async def test_a_sender_that_comes_back_is_used_again() -> None:
    async with serving(ScriptedSender()) as port:
        world = await World([port]).__aenter__()
        await world.ready()
    try:
        await until(lambda: not world.pool.available())
        assert (await world.pool.deliver(message(), INSTANCE)).handed_over is False
        async with serving(ScriptedSender(), port):
            await world.ready()
            assert (await world.pool.deliver(message(), INSTANCE)).outcome is Outcome.ACCEPTED
    finally:
        await world.__aexit__()


async def test_senders_take_turns_and_one_that_is_gone_is_passed_over() -> None:
    one, other = ScriptedSender(), ScriptedSender()
    async with serving(one) as first, serving(other) as second, World([first, second]) as world:
        await until(lambda: all(link.obedient() for link in world.links))
        for number in range(10):
            await world.pool.deliver(message(number), INSTANCE)
        assert (len(one.items), len(other.items)) == (5, 5)
        other.obeys = False
        await until(lambda: sum(link.obedient() for link in world.links) == 1)
        for number in range(4):
            await world.pool.deliver(message(number), INSTANCE)
        assert len(one.items) == 9


async def test_a_sender_that_is_leaving_gets_no_more_work() -> None:
    async def leaving(item: pb.DeliverItem) -> Answer:
        return pb.DeliverMessageResponse(outcome=pb.OUTCOME_NOT_ATTEMPTED, code="sender_draining")

    one, other = ScriptedSender(leaving), ScriptedSender()
    async with serving(one) as first, serving(other) as second, World([first, second]) as world:
        await until(lambda: all(link.obedient() for link in world.links))
        outcomes = [await world.pool.deliver(message(number), INSTANCE) for number in range(6)]
    assert [outcome.handed_over for outcome in outcomes].count(False) == 1
    assert (len(one.items), len(other.items)) == (1, 5)


async def test_a_wrong_token_is_no_sender() -> None:
    async with serving(ScriptedSender()) as port, World([port], token="wrong") as world:
        await asyncio.sleep(0.5)
        assert not world.pool.available()


async def test_closing_waits_for_answers_and_takes_nothing_more() -> None:
    gate = asyncio.Event()

    async def attempt(item: pb.DeliverItem) -> Answer:
        await gate.wait()
        return await accept(item)

    async with serving(ScriptedSender(attempt)) as port, World([port]) as world:
        await world.ready()
        under_way = asyncio.create_task(world.pool.deliver(message(), INSTANCE))
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(world.pool.close(5.0))
        await asyncio.sleep(0.05)
        assert not world.pool.available()
        assert (await world.pool.deliver(message(), INSTANCE)).handed_over is False
        gate.set()
        assert (await under_way).outcome is Outcome.ACCEPTED
        await closing


async def test_closing_does_not_wait_for_ever() -> None:
    async with serving(ScriptedSender(say_nothing)) as port, World([port]) as world:
        await world.ready()
        under_way = asyncio.create_task(world.pool.deliver(message(), INSTANCE))
        await asyncio.sleep(0.1)
        await world.pool.close(0.1)
        assert (await under_way).code == "sender_lost"


async def test_events_are_posted_and_probes_asked() -> None:
    sender = ScriptedSender(post_answer=pb.PostEventResponse(outcome=pb.POST_OUTCOME_TAKEN, http_status=204))
    posting = Posting("dlv_1", "customer_webhook", "https://x.example", "message.received", "{}", "s")
    async with serving(sender) as port, World([port]) as world:
        assert await world.pool.post(posting) == NOT_POSTED
        assert (await world.pool.probe(INSTANCE))[0] == ""
        await world.ready()
        result = await world.pool.post(posting)
        assert (result.outcome, result.http_status) == (PostOutcome.TAKEN, 204)
        assert sender.posted[0].delivery_id == "dlv_1"
        assert await world.pool.probe(INSTANCE) == ("open", "ext", "")


async def test_a_sender_that_fails_a_posting_leaves_it_for_later() -> None:
    class Failing(ScriptedSender):
        async def PostEvent(self, request: pb.PostEventRequest, context: Any) -> pb.PostEventResponse:
            await context.abort(grpc.StatusCode.INTERNAL, "no")
            raise AssertionError

        async def ProbeInstance(self, request: pb.ProbeInstanceRequest, context: Any) -> Any:
            await context.abort(grpc.StatusCode.INTERNAL, "no")

    posting = Posting("dlv_1", "customer_webhook", "https://x.example", "message.received", "{}", "s")
    async with serving(Failing()) as port, World([port]) as world:
        await world.ready()
        result = await world.pool.post(posting)
        assert (result.outcome, result.http_status) == (PostOutcome.RETRY, 0)
        assert result != NOT_POSTED, "it counts as a try"
        state, _, error = await world.pool.probe(INSTANCE)
        assert state == ""
        assert "INTERNAL" in error

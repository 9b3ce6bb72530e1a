"""An instance whose back end does not answer is held back: nothing is lost, nothing counted, nothing sent twice."""

import asyncio

from policycore.ledger import MessageState
from policycore.ports import AttemptOutcome, OutboundMessage, Outcome
from policycore.reasons import ReasonCode, Verdict
from policycore.store.tables import messages, quota_usage
from support.core_parts import CoreParts

FAILURES = 5


def time_out(message: OutboundMessage) -> AttemptOutcome:
    return AttemptOutcome(Outcome.UNKNOWN, "evolution_timeout", "No answer came in time.")


async def _used(core: CoreParts) -> set[int]:
    return {row.used for row in await core.rows(quota_usage)}


async def _states(core: CoreParts) -> list[MessageState]:
    return sorted(MessageState(row.state) for row in await core.rows(messages) if row.outbound)


async def test_after_failures_in_a_row_new_requests_are_deferred_and_cost_nothing(core: CoreParts) -> None:
    await core.inbound("Hello")
    core.senders.answer = time_out
    for number in range(FAILURES):
        assert (await core.reply(f"Reply {number}.")).decision.verdict is Verdict.ALLOW
    refused = (await core.reply("One more.")).decision
    assert (refused.verdict, refused.reason) == (Verdict.DEFER, ReasonCode.INSTANCE_NOT_CONNECTED)
    assert refused.retry_after_seconds is not None
    assert 0 < refused.retry_after_seconds <= 15
    assert len(core.senders.sent) == FAILURES
    assert await _used(core) == {FAILURES}
    assert await _states(core) == [MessageState.UNKNOWN] * FAILURES


async def test_messages_that_were_accepted_wait_and_are_sent_once_when_it_answers(core: CoreParts) -> None:
    await core.inbound("Hello")
    core.senders.answer = time_out
    first = await asyncio.gather(*(core.reply(f"Reply {n}.", timeout=0.3) for n in range(FAILURES + 2)))
    assert all(each.decision.verdict is Verdict.ALLOW for each in first)
    assert len(core.senders.sent) == FAILURES
    assert await _states(core) == [MessageState.WAITING] * 2 + [MessageState.UNKNOWN] * FAILURES
    core.senders.answer = core.senders.accept
    core.clock.forward(seconds=20)
    await core.senders.given(FAILURES + 2)
    await core.dispatcher.drain(10.0)
    assert await _states(core) == [MessageState.ACCEPTED] * 2 + [MessageState.UNKNOWN] * FAILURES
    sent = [message.message_id for message in core.senders.sent]
    assert len(sent) == len(set(sent)) == FAILURES + 2
    assert await _used(core) == {FAILURES + 2}
    assert (await core.reply("All is well.")).decision.verdict is Verdict.ALLOW


async def test_what_waited_until_it_was_too_late_lapses_and_gives_back(core: CoreParts) -> None:
    await core.inbound("Hello")
    core.senders.answer = time_out
    await asyncio.gather(*(core.reply(f"Reply {n}.", timeout=0.3) for n in range(FAILURES + 2)))
    core.clock.forward(minutes=3)
    await core.dispatcher.drain(10.0)
    assert await _states(core) == [MessageState.UNKNOWN] * FAILURES + [MessageState.LAPSED] * 2
    assert len(core.senders.sent) == FAILURES
    assert await _used(core) == {FAILURES}


async def test_a_back_end_that_refuses_is_one_that_answers(core: CoreParts) -> None:
    await core.inbound("Hello")
    core.senders.answer = lambda _: AttemptOutcome(Outcome.REJECTED, "evolution_refused", "Refused.")
    for number in range(FAILURES + 3):
        assert (await core.reply(f"Reply {number}.")).decision.verdict is Verdict.ALLOW
    assert not core.dispatcher.gates.held


async def test_an_instance_with_too_much_under_way_takes_nothing_new(core: CoreParts) -> None:
    await core.inbound("Hello")
    core.dispatcher.gates.most_under_way = 3
    core.senders.gate = asyncio.Event()
    many = [asyncio.create_task(core.reply(f"Reply {n}.")) for n in range(3)]
    await core.senders.given(3)
    refused = (await core.reply("One too many.")).decision
    assert (refused.verdict, refused.reason) == (Verdict.DEFER, ReasonCode.OVERLOADED)
    core.senders.gate.set()
    await asyncio.gather(*many)
    core.senders.gate = None
    assert (await core.reply("There is room again.")).decision.verdict is Verdict.ALLOW
    assert not core.dispatcher.gates.held

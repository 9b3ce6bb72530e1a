"""Persons who opted out are guarded by every process that has a message to them under way."""

import asyncio
from collections.abc import Callable

from policycore.dispatch.opt_out_watch import HELD_FOR, OptOutWatch
from policycore.ledger import MessageState
from support.core_parts import CoreParts
from support.guards import Guards


async def until(condition: Callable[[], bool]) -> None:
    """Returns when it holds; fails after 5 s."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that within 5 s")


async def test_an_opt_out_that_another_process_recorded_is_guarded_while_a_message_is_under_way(
    core: CoreParts,
) -> None:
    guards = Guards()
    watch = OptOutWatch(core.events, guards, core.clock)
    await core.inbound("Where is my order?")
    core.senders.gate = asyncio.Event()
    reply = asyncio.create_task(core.reply())
    await until(lambda: bool(core.senders.sent))
    await watch.look()
    assert guards.guarded == {}, "nobody opted out yet"

    await core.inbound("STOP")
    await watch.look()
    [person_id] = core.after.opted_out
    assert guards.guarded == {person_id: core.clock() + HELD_FOR}

    guards.guarded.clear()
    core.senders.gate.set()
    answer = await reply
    assert answer.message is not None
    assert answer.message.state is MessageState.ACCEPTED
    await watch.look()
    assert guards.guarded == {}, "nothing is under way any more"


async def test_a_person_who_came_back_is_not_guarded(core: CoreParts) -> None:
    guards = Guards()
    await core.inbound("Where is my order?")
    await core.inbound("STOP")
    await core.inbound("START")
    core.senders.gate = asyncio.Event()
    reply = asyncio.create_task(core.reply())
    await until(lambda: any(message.integration_id for message in core.senders.sent))
    await OptOutWatch(core.events, guards, core.clock).look()
    assert guards.guarded == {}
    core.senders.gate.set()
    await reply


async def test_looking_goes_on_by_itself_and_ends(core: CoreParts) -> None:
    guards = Guards()
    watch = OptOutWatch(core.events, guards, core.clock)
    await core.inbound("Where is my order?")
    core.senders.gate = asyncio.Event()
    reply = asyncio.create_task(core.reply())
    await until(lambda: bool(core.senders.sent))
    await core.inbound("STOP")
    watch.start()
    await until(lambda: bool(guards.guarded))
    await watch.stop()
    core.senders.gate.set()
    await reply

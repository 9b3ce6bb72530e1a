"""More work than is accepted: the excess is refused before anything is written, and one account starves nobody."""

import asyncio

from sqlalchemy import insert

from policycore.errors import Overloaded
from policycore.inbound import InboundEvent, Message, PersonRef
from policycore.ledger import MessageState
from policycore.model import Action, Source
from policycore.store.tables import accounts, decisions, instances, messages, quota_usage
from policycore.usecases.command import Decided
from support.core_parts import PHONE, CoreParts

OTHER = {
    "account_id": "acc_2",
    "integration_id": None,
    "source": Source.SERVICE,
    "instance_ref": "ins_2",
}


async def _second_account(core: CoreParts) -> None:
    """Another account with an instance of its own, to which the same person has written."""
    moment = core.clock()
    await core.change(
        insert(accounts).values(
            id="acc_2", name="Other", time_zone="UTC", plan=3, created_at=moment, language="en"
        )
    )
    await core.change(
        insert(instances).values(
            id="ins_2",
            account_id="acc_2",
            name="other",
            backend="sandbox",
            state="open",
            state_changed_at=moment,
            created_at=moment,
        )
    )
    await core.config.refresh()
    await core.inbound("Hello")
    event = InboundEvent(
        "other-1", Message("in-other", text="Hello", kind=1), PersonRef(PHONE), provider_time=core.clock()
    )
    await core.record(event, instance_id="ins_2")


async def test_the_excess_is_refused_and_leaves_nothing_behind(core: CoreParts) -> None:
    await _second_account(core)
    core.limit(max_waiting=150, max_of_account=120)
    hot = [core.reply(f"Your ticket {n} was updated.") for n in range(400)]
    calm = [core.reply(f"Ticket {n} of another company.", **OTHER) for n in range(5)]
    found = await asyncio.gather(*hot, *calm, return_exceptions=True)
    refused = [each for each in found if isinstance(each, Overloaded)]
    decided = [each for each in found if isinstance(each, Decided)]
    assert len(refused) + len(decided) == len(found)
    assert len(refused) >= 400 - 120 - 96
    assert all(each.retry_after_seconds > 0 for each in refused)
    # The other account came last, and was refused nothing.
    assert all(isinstance(each, Decided) for each in found[400:])
    assert len(await core.rows(decisions)) == len(decided)
    sent = [each for each in decided if each.decision.action is Action.SEND]
    outbound = [row for row in await core.rows(messages) if row.outbound]
    assert len(outbound) == len(sent) == len(core.senders.sent)
    used = {(row.account_id, row.period): row.used for row in await core.rows(quota_usage)}
    assert sum(count for (_, period), count in used.items() if len(period) == 7) == len(sent)


async def test_messages_under_way_are_bounded_before_anything_is_committed(core: CoreParts) -> None:
    await _second_account(core)
    core.limit(under_way=4)
    core.senders.gate = asyncio.Event()
    first = [asyncio.create_task(core.reply(f"Reply {n}.")) for n in range(2)]
    await core.senders.given(2)
    [refused] = await asyncio.gather(core.reply("One too many."), return_exceptions=True)
    assert isinstance(refused, Overloaded)
    other = asyncio.create_task(core.reply("Of another company.", **OTHER))
    await core.senders.given(3)
    assert len(await core.rows(decisions)) == 3
    core.senders.gate.set()
    views = [decided.message for decided in await asyncio.gather(*first, other)]
    assert [view.state for view in views if view] == [MessageState.ACCEPTED] * 3
    core.senders.gate = None
    assert (await core.reply("There is room again.")).message is not None

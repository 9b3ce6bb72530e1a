"""An instance whose sends stop being acknowledged while it says `open`, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from policycore.inbound import InboundEvent, Receipt, ReceiptKind
from policycore.reasons import ReasonCode
from policycore.store import tables
from policycore.store.acknowledgements import SqlAcknowledgements
from policycore.system_watch import CoreWatch
from policycore.usecases.command import Decided
from policycore.usecases.watch_acknowledgements import AcknowledgementWatch
from support.core_parts import CoreParts


class Line:
    """A core whose instance is an Evolution one, and the watch over it."""

    def __init__(self, core: CoreParts) -> None:
        self.core = core
        self.watch = AcknowledgementWatch(SqlAcknowledgements(core.database), core.changes.notify)
        self._receipts = 0

    async def send(self, count: int = 1) -> list[str]:
        """Replies that are accepted; their ids at the back end."""
        before = len(await self._sent())
        for number in range(count):
            answer = await self.core.reply(f"Part {before + number} of the answer.")
            assert answer.message is not None and answer.message.state.name == "ACCEPTED"
        return [row.external_id for row in (await self._sent())[before:]]

    async def _sent(self) -> list[Any]:
        rows = [row for row in await self.core.rows(tables.messages) if row.outbound]
        return sorted(rows, key=lambda row: (row.created_at, row.id))

    async def acknowledge(self, *external_ids: str) -> None:
        for external_id in external_ids:
            self._receipts += 1
            receipt = Receipt(external_id, ReceiptKind.SENT)
            await self.core.record(
                InboundEvent(f"r-{self._receipts}", receipt, provider_time=self.core.clock())
            )

    async def pass_time(self, **parts: float) -> None:
        """Everything that was sent is so much longer ago, and so is what was marked."""
        span = timedelta(**parts)
        for row in await self._sent():
            older = {
                name: getattr(row, name) - span
                for name in ("created_at", "updated_at", "handed_out_at", "settled_at")
            }
            await self.core.change(
                tables.messages.update().where(tables.messages.c.id == row.id).values(older)
            )
        instance = await self.instance()
        older = {
            name: getattr(instance, name) - span
            for name in ("state_changed_at", "unacknowledged_since", "held_until")
            if getattr(instance, name) is not None
        }
        await self.core.change(tables.instances.update().values(older))

    async def instance(self) -> Any:
        [row] = await self.core.rows(tables.instances)
        return row

    async def reply(self) -> Decided:
        await self.core.config.refresh()
        return await self.core.reply("Is this sent?")


@pytest.fixture
async def line(core: CoreParts) -> Line:
    """An Evolution instance that has been open for a week, and a person who has written."""
    values = {"backend": "evolution", "state_changed_at": core.clock() - timedelta(days=7)}
    await core.change(tables.instances.update().values(**values, messages_per_second=0.0))
    await core.config.refresh()
    await core.inbound("Hello")
    return Line(core)


async def _marked(line: Line) -> None:
    await line.acknowledge(*await line.send(2))
    await line.pass_time(minutes=10)
    await line.send(3)
    await line.pass_time(minutes=2)
    assert await line.watch.look() == 1


async def test_sends_without_acknowledgement_mark_it_and_hold_it(line: Line) -> None:
    await _marked(line)
    instance = await line.instance()
    assert instance.state == "open" and instance.unacknowledged_since is not None
    answer = await line.reply()
    assert answer.decision.reason is ReasonCode.INSTANCE_NOT_CONNECTED
    assert "was acknowledged" in answer.decision.explanation
    watch = CoreWatch(line.core.database, line.core.counters, [], line.core.config.current, line.core.clock)
    [part] = [each for each in (await watch.look()).components if each.name == "instance main"]
    assert not part.healthy and "acknowledged" in part.explanation


async def test_receipts_that_come_again_end_it_at_once(line: Line) -> None:
    await _marked(line)
    late = [row.external_id for row in await line._sent() if row.state == 3]
    await line.acknowledge(late[0])
    assert await line.watch.look() == 0
    instance = await line.instance()
    assert (instance.unacknowledged_since, instance.held_until) == (None, None)
    assert (await line.reply()).message is not None


async def test_a_hold_ends_by_itself_and_a_failed_trial_renews_it(line: Line) -> None:
    await _marked(line)
    await line.pass_time(minutes=2)
    assert await line.watch.look() == 1
    answer = await line.reply()
    assert answer.message is not None, "it is tried again"
    first = await line.instance()
    await line.pass_time(minutes=2)
    assert await line.watch.look() == 1
    second = await line.instance()
    assert second.held_until > first.held_until
    assert (await line.reply()).decision.reason is ReasonCode.INSTANCE_NOT_CONNECTED


async def test_a_new_connection_ends_it(line: Line) -> None:
    await _marked(line)
    await line.core.change(tables.instances.update().values(state_changed_at=line.core.clock()))
    assert await line.watch.look() == 0


async def test_an_instance_that_is_well_is_left_alone(line: Line) -> None:
    version = (await line.core.rows(tables.config_state))[0].version
    await line.acknowledge(*await line.send(4))
    assert await line.watch.look() == 0
    await line.send(2)
    assert await line.watch.look() == 0
    assert (await line.core.rows(tables.config_state))[0].version == version
    await line.pass_time(minutes=5)
    assert await line.watch.look() == 0, "two are too few"

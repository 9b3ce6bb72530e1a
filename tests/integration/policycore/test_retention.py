"""What an operator does not want to keep goes, the oldest first; everything else stays."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from policycore.errors import DatabaseUnavailable
from policycore.ledger import MessageState
from policycore.metrics import Metrics
from policycore.retention_watch import RetentionWatch
from policycore.store import tables
from policycore.store.engine import open_database
from policycore.store.expiry import EVENTS_LIFE, INBOX_LIFE
from policycore.store.partitions import Month
from policycore.store.retention import Keeping, Removed, Retention
from policycore.usecases.command import Decided
from support.core_parts import CoreParts

OTHER = "+966500000009"


async def moved_back(core: CoreParts, days: float, *rows: tuple[Any, str]) -> None:
    """Makes every row of these (table, column) pairs older."""
    for table, column in rows:
        await core.change(update(table).values({column: core.clock() - timedelta(days=days)}))


async def texts(core: CoreParts) -> set[str]:
    return {row.text for row in await core.rows(tables.messages)}


async def two_exchanges(core: CoreParts) -> tuple[Decided, Decided]:
    """An old one, and one of today."""
    await core.inbound("An old question.")
    old = await core.reply("An old answer.")
    await moved_back(core, 100, (tables.messages, "created_at"), (tables.decisions, "decided_at"))
    await core.inbound("A new question.")
    return old, await core.reply("A new answer.")


async def test_nothing_is_removed_unless_it_is_asked_for(core: CoreParts) -> None:
    await two_exchanges(core)
    before = [await core.rows(table) for table in (tables.messages, tables.decisions)]
    assert await Retention(core.database, Keeping()).run() == Removed()
    assert [await core.rows(table) for table in (tables.messages, tables.decisions)] == before


async def test_old_decisions_and_messages_go_together(core: CoreParts) -> None:
    _, new = await two_exchanges(core)
    removed = await Retention(core.database, Keeping(log_months=1)).run()
    assert (removed.decisions, removed.messages) == (1, 2)
    assert await texts(core) == {"A new question.", "A new answer."}
    assert [row.log_id for row in await core.rows(tables.decisions)] == [new.log_id]
    assert await Retention(core.database, Keeping(log_months=1)).run() == Removed()


async def test_texts_go_and_decisions_stay(core: CoreParts) -> None:
    old, _ = await two_exchanges(core)
    removed = await Retention(core.database, Keeping(text_days=30)).run()
    assert removed.texts == 2
    assert await texts(core) == {"", "A new question.", "A new answer."}
    assert {row.text_digest for row in await core.rows(tables.messages) if not row.text} == {None}
    assert len(await core.rows(tables.decisions)) == 2
    assert old.log_id in {row.log_id for row in await core.rows(tables.decisions)}


async def test_an_opt_out_keeps_its_evidence(core: CoreParts) -> None:
    await core.inbound("A question.")
    await core.inbound("STOP")
    await core.dispatcher.drain(1.0)
    await moved_back(core, 100, (tables.messages, "created_at"))
    await Retention(core.database, Keeping(log_months=1, text_days=1)).run()
    assert await texts(core) == {"STOP"}
    [entry] = await core.rows(tables.suppressions)
    [kept] = await core.rows(tables.messages)
    assert entry.evidence_message_id == kept.id


async def test_what_is_under_way_stays(core: CoreParts) -> None:
    await core.inbound("A question.")
    await core.reply("An answer.")
    await core.change(update(tables.messages).values(state=int(MessageState.WAITING)))
    await moved_back(core, 100, (tables.messages, "created_at"))
    await Retention(core.database, Keeping(log_months=1, text_days=1)).run()
    assert await texts(core) == {"A question.", "An answer."}


async def test_accounts_are_gone_through_in_turn_until_nothing_is_left(core: CoreParts) -> None:
    """More messages than one transaction takes, and an account whose messages are all new."""
    await two_exchanges(core)
    [old] = [row for row in await core.rows(tables.messages) if row.text == "An old answer."]
    copies = [
        {**old._mapping, "id": f"msg_{n}", "created_at": old.created_at + timedelta(seconds=n)}
        for n in range(1_200)
    ]
    async with core.database.transaction() as connection:
        await connection.execute(insert(tables.messages), copies)
    await Retention(core.database, Keeping(text_days=30)).run()
    assert await texts(core) == {"", "A new question.", "A new answer."}
    [progress] = await core.rows(tables.retention_progress)
    assert progress.account_id == "acc_1"
    assert progress.texts_until > old.created_at


async def test_deliveries_that_ended_go_and_those_that_wait_stay(core: CoreParts) -> None:
    for number in range(3):
        await core.inbound(f"Question {number}.")
    assert len(await core.rows(tables.outbox)) == 3
    _, second, third = (row.number for row in await core.rows(tables.outbox))
    await core.change(update(tables.outbox).where(tables.outbox.c.number != second).values(state="sent"))
    await moved_back(core, Keeping().delivery_days + 1, (tables.outbox, "created_at"))
    removed = await Retention(core.database, Keeping()).run()
    assert removed.deliveries == 1
    assert {row.number for row in await core.rows(tables.outbox)} == {second, third}


async def test_deliveries_and_events_hold_no_text_for_longer_than_messages_do(core: CoreParts) -> None:
    await core.inbound("A question.")
    await core.inbound("Another.", phone=OTHER)
    await core.change(update(tables.outbox).values(state="failed"))
    await moved_back(core, 8, (tables.outbox, "created_at"), (tables.message_events, "occurred_at"))
    # The newest of both stays, so that no number is given out twice.
    await core.inbound("The newest.", phone=OTHER)
    await Retention(core.database, Keeping(text_days=7)).run()
    assert all("The newest." in row.body for row in await core.rows(tables.outbox))
    assert all("The newest." in row.message_json for row in await core.rows(tables.message_events))


async def test_sweeping_takes_what_expired_and_leaves_the_rest(core: CoreParts) -> None:
    await core.inbound("Hello")
    rows = [
        {
            "instance_id": "ins_1",
            "event_key": f"old-{n}",
            "completed_at": core.clock() - INBOX_LIFE - timedelta(hours=1),
        }
        for n in range(4_500)
    ]
    async with core.database.transaction() as connection:
        await connection.execute(insert(tables.inbox), rows)
    assert await core.events.sweep() == 4_500
    assert [row.event_key for row in await core.rows(tables.inbox)] == ["key-1"]


async def test_old_events_go_by_their_number(core: CoreParts) -> None:
    for number in range(4):
        await core.inbound(f"Question {number}.")
    numbers = sorted(row.sequence for row in await core.rows(tables.message_events))
    old = core.clock() - EVENTS_LIFE - timedelta(seconds=1)
    expired = tables.message_events.c.sequence <= numbers[1]
    await core.change(update(tables.message_events).where(expired).values(occurred_at=old))
    await core.events.sweep()
    assert sorted(row.sequence for row in await core.rows(tables.message_events)) == numbers[2:]


@pytest.mark.parametrize(
    ("month", "later", "expected"),
    [
        ((2026, 11), 1, (2026, 12)),
        ((2026, 11), 2, (2027, 1)),
        ((2026, 1), -1, (2025, 12)),
        ((2026, 5), 0, (2026, 5)),
    ],
)
def test_months_follow_one_another(month: tuple[int, int], later: int, expected: tuple[int, int]) -> None:
    assert Month(*month).later(later) == Month(*expected)


async def test_the_policy_log_counts_on_after_it_was_emptied(core: CoreParts) -> None:
    await core.inbound("A question.")
    decided = await core.reply("An answer.")
    await moved_back(core, 400, (tables.decisions, "decided_at"))
    await Retention(core.database, Keeping(log_months=1)).run()
    later = await core.reply("Another answer.")
    assert later.log_id > decided.log_id
    async with core.database.reading() as connection:
        found = await connection.scalar(
            select(tables.decisions.c.id).where(tables.decisions.c.log_id == later.log_id)
        )
    assert found == later.decision_id


async def test_the_watch_goes_on_until_nothing_is_left(core: CoreParts) -> None:
    await two_exchanges(core)
    retention = Retention(core.database, Keeping(log_months=1, text_days=1))
    await RetentionWatch(retention, Metrics(), time.monotonic).run()
    assert await retention.run() == Removed()
    assert await texts(core) == {"A new question.", "A new answer."}


async def test_the_watch_outlives_a_database_that_is_away() -> None:
    nowhere = open_database("postgresql+asyncpg://hubgate@127.0.0.1:1/nowhere")
    watch = RetentionWatch(Retention(nowhere, Keeping()), Metrics(), time.monotonic)
    with pytest.raises(DatabaseUnavailable):
        await watch.run()
    running = asyncio.create_task(watch.run_every(0.0))
    done, _ = await asyncio.wait([running], timeout=0.2)
    assert not done
    running.cancel()
    await nowhere.close()

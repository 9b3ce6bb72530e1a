"""The live invariants on both databases: silent over a healthy history, and each break is found exactly once."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, update
from structlog.testing import CapturingLogger

from policycore.errors import DatabaseUnavailable
from policycore.evidence import OVERLAP, Violation
from policycore.inbound import IdentityLink, InboundEvent, PersonRef
from policycore.invariants import OF_MESSAGES, quota, sent_decision
from policycore.invariants.watch import PART_SECONDS, InvariantWatch
from policycore.ledger import MessageState
from policycore.metrics import Metrics
from policycore.ports import AttemptOutcome, Outcome
from policycore.reasons import ReasonCode
from policycore.store import tables
from policycore.store.invariant_store import SqlInvariantStore
from policycore.store.types import Instant
from policycore.system_watch import CoreWatch
from support.core_parts import CoreParts

MINUTE = timedelta(minutes=1)
LONG_AGO = 3 * OVERLAP
PERSONS = 40


class Told(CapturingLogger):
    """What was logged, as one dictionary for each line."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [{"event": call.args[0], "log_level": call.method_name, **call.kwargs} for call in self.calls]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """In the place of the module's logger, whose configuration is the whole process's."""
    log = Told()
    monkeypatch.setattr("policycore.invariants.watch._log", log)
    return log


def phone(number: int) -> str:
    return f"+96650000{number:04}"


def watch_of(
    core: CoreParts, rows: int = 500, monotonic: Callable[[], float] = lambda: 0.0
) -> InvariantWatch:
    """A watch that waits for nothing under way: in these tests nothing is."""
    return InvariantWatch(SqlInvariantStore(core.database), Metrics(), monotonic, timedelta(0), rows)


async def now(core: CoreParts) -> datetime:
    """The database's clock."""
    async with core.database.reading() as connection:
        return await core.database.now(connection)


async def later(core: CoreParts, **parts: float) -> None:
    """Time passes. PostgreSQL's clock cannot be moved, so there everything becomes older instead."""
    if not core.database.is_postgres:
        core.clock.forward(**parts)
        return
    older = timedelta(**parts) // timedelta(microseconds=1)
    statements = []
    for table in tables.messages.metadata.sorted_tables:
        moments = [column.name for column in table.columns if isinstance(column.type, Instant)]
        if moments:
            statements.append(
                f"UPDATE {table.name} SET " + ", ".join(f"{m} = {m} - {older}" for m in moments)
            )
    async with core.database.transaction() as connection:
        await connection.exec_driver_sql(
            "DO $$ BEGIN " + "; ".join(statements) + "; UPDATE config_state SET version = version + 1; END $$"
        )


async def run(core: CoreParts, **more: Any) -> list[Violation]:
    await later(core, seconds=1)
    found = await watch_of(core, **more).run()
    assert found is not None
    return found


async def replies(core: CoreParts, number: int, expected: ReasonCode = ReasonCode.ALLOWED) -> None:
    answered = await core.reply(phone_text=phone(number), timeout=5.0)
    assert answered.decision.reason is expected


async def replies_or_not(core: CoreParts, number: int) -> None:
    """A reply at the moment of the opt-out: it was decided before it, or refused."""
    answered = await core.reply(phone_text=phone(number), timeout=5.0)
    assert answered.decision.reason in {ReasonCode.ALLOWED, ReasonCode.RECIPIENT_SUPPRESSED}


async def pause(core: CoreParts, scope: str, scope_id: str) -> None:
    words = {"id": f"pau_{scope}", "scope": scope, "scope_id": scope_id, "author": "test"}
    await core.change(insert(tables.pauses).values(**words, created_at=await now(core)))


async def resume(core: CoreParts, scope: str) -> None:
    change = update(tables.pauses).where(tables.pauses.c.id == f"pau_{scope}")
    await core.change(change.values(lifted_at=await now(core), lifted_by="test"))


async def healthy_history(core: CoreParts) -> None:
    """A few hundred replies, opt-outs, returns, pauses, joined persons, refusals and lapses."""
    await core.change(update(tables.accounts).values(plan=3))
    for number in range(PERSONS):
        await core.inbound("Hello", phone=phone(number))
    accept = core.senders.answer
    for _ in range(4):
        await later(core, minutes=20)
        await asyncio.gather(*(replies(core, number) for number in range(PERSONS)))
    for number in range(0, PERSONS, 4):
        await asyncio.gather(replies_or_not(core, number), core.inbound("STOP", phone=phone(number)))
        await replies(core, number, ReasonCode.RECIPIENT_SUPPRESSED)
        await later(core, minutes=1)
        await replies(core, number, ReasonCode.RECIPIENT_SUPPRESSED)
    for number in range(0, PERSONS, 8):
        await core.inbound("START", phone=phone(number))
        await replies(core, number)
        await later(core, minutes=1)
        await replies(core, number)
    for scope, scope_id in (("platform", ""), ("instance", "ins_1"), ("account", "acc_1")):
        await pause(core, scope, scope_id)
        answered = await core.reply(phone_text=phone(1), timeout=2.0)
        assert answered.decision.action.name == "BLOCK"
        await later(core, minutes=2)
        await resume(core, scope)
        await replies(core, 1)
    for outcome in (Outcome.REJECTED, Outcome.NOT_ATTEMPTED, Outcome.UNKNOWN):
        core.senders.answer = lambda _, outcome=outcome: AttemptOutcome(outcome, "made_up", "Made up.")  # type: ignore[misc]
        await replies(core, 2)
    core.senders.answer = accept
    await core.inbound("Hello", phone="", person=PersonRef(lid="777"))
    await core.inbound("STOP", phone="", person=PersonRef(lid="777"))
    link = IdentityLink(PersonRef(lid="777"), PersonRef(phone=phone(3)))
    await later(core, minutes=1)
    await replies(core, 3)
    await later(core, minutes=1)
    await core.record(InboundEvent("link", link, PersonRef(lid="777")))
    await replies(core, 3, ReasonCode.RECIPIENT_SUPPRESSED)
    await later(core, minutes=1)
    await core.inbound("START", phone=phone(3))
    await replies(core, 3)


async def small_history(core: CoreParts) -> None:
    """Ten persons write and are answered; the last opts out."""
    for number in range(10):
        await core.inbound("Hello", phone=phone(number))
        await later(core, minutes=1)
        await replies(core, number)
        await later(core, minutes=1)
    await core.inbound("STOP", phone=phone(9))
    await core.dispatcher.drain(1.0)


async def change(core: CoreParts, *statements: Any) -> None:
    async with core.database.transaction() as connection:
        for statement in statements:
            await connection.execute(statement)


async def one_reply(core: CoreParts, number: int = 4) -> Any:
    rows = await core.rows(tables.messages)
    return next(row for row in rows if row.outbound and row.to_phone == phone(number))


# --- what is healthy ----------------------------------------------------------------------------------------


async def test_a_healthy_history_breaks_nothing(core: CoreParts) -> None:
    await healthy_history(core)
    assert len([row for row in await core.rows(tables.messages) if row.outbound]) > 180
    watch = watch_of(core)
    await later(core, minutes=1)
    assert await watch.run() == []
    assert await core.rows(tables.invariant_violations) == []
    sample = watch._metrics.registry.get_sample_value
    for name in (*OF_MESSAGES, sent_decision.NAME, quota.NAME):
        assert (sample("hubgate_invariant_checked_total", {"invariant": name}) or 0) > 4, name
        assert sample("hubgate_invariant_violations_total", {"invariant": name}) is None


async def test_small_slices_see_the_same(core: CoreParts) -> None:
    await small_history(core)
    sent = [row for row in await core.rows(tables.messages) if row.outbound]
    watch = watch_of(core, rows=3)
    await later(core, minutes=1)
    assert await watch.run() == []
    checked = {"invariant": "window"}
    assert watch._metrics.registry.get_sample_value("hubgate_invariant_checked_total", checked) == len(sent)


# --- what is broken -----------------------------------------------------------------------------------------


async def paused_person(core: CoreParts) -> str:
    row = await one_reply(core)
    made_at = row.created_at - LONG_AGO
    values = {
        "id": "pau_1",
        "scope": "person",
        "scope_id": row.person_id,
        "author": "a",
        "created_at": made_at,
    }
    await change(core, insert(tables.pauses).values(values))
    return str(row.id)


async def closed_window(core: CoreParts) -> str:
    row = await one_reply(core)
    theirs = (tables.messages.c.person_id == row.person_id, tables.messages.c.outbound.is_(False))
    wrote_at = row.created_at - timedelta(hours=24) + MINUTE
    await change(core, update(tables.messages).where(*theirs).values(provider_at=wrote_at))
    return str(row.id)


async def no_window(core: CoreParts) -> str:
    row = await one_reply(core)
    theirs = (tables.messages.c.person_id == row.person_id, tables.messages.c.outbound.is_(False))
    window = tables.windows.c.person_id == row.person_id
    await change(core, delete(tables.messages).where(*theirs), delete(tables.windows).where(window))
    return str(row.id)


async def suppressed_person(core: CoreParts) -> str:
    row = await one_reply(core)
    values = {
        "id": "sup_1",
        "account_id": row.account_id,
        "person_id": row.person_id,
        "source": "administrator",
        "scope": "all",
        "created_at": row.created_at - LONG_AGO,
    }
    await change(core, insert(tables.suppressions).values(values))
    return str(row.id)


async def decided_after_the_opt_out(core: CoreParts) -> str:
    """The reply to who opted out later gets the next number, as if it had been decided right after that."""
    row = await one_reply(core, 9)
    number = max(each.log_id for each in await core.rows(tables.decisions)) + 1
    decision = update(tables.decisions).where(tables.decisions.c.log_id == row.log_id).values(log_id=number)
    renumbered = update(tables.messages).where(tables.messages.c.id == row.id).values(log_id=number)
    await change(core, decision, renumbered)
    return str(row.id)


async def late_message(core: CoreParts) -> str:
    row = await one_reply(core)
    values = {"not_after": row.handed_out_at - MINUTE - timedelta(seconds=1)}
    await change(core, update(tables.messages).where(tables.messages.c.id == row.id).values(values))
    return str(row.id)


async def lost_decision(core: CoreParts) -> str:
    row = await one_reply(core)
    await change(core, delete(tables.decisions).where(tables.decisions.c.log_id == row.log_id))
    return str(row.id)


async def second_message(core: CoreParts) -> str:
    row = await one_reply(core)
    values = {**row._mapping, "id": "msg_second", "reserved_day": None, "reserved_month": None}
    await change(core, insert(tables.messages).values(values))
    return "msg_second"


async def lost_message(core: CoreParts) -> str:
    [row] = [row for row in await core.rows(tables.messages) if row.confirms_opt_out]
    await change(core, delete(tables.messages).where(tables.messages.c.id == row.id))
    [decision] = [each for each in await core.rows(tables.decisions) if each.log_id == row.log_id]
    return str(decision.id)


async def kept_quota(core: CoreParts) -> str:
    row = await one_reply(core)
    values = {"state": int(MessageState.REJECTED)}
    await change(core, update(tables.messages).where(tables.messages.c.id == row.id).values(values))
    return f"acc_1 {row.reserved_day}"


async def miscounted_month(core: CoreParts) -> str:
    row = await one_reply(core)
    month = tables.quota_usage.c.period == row.reserved_month
    await change(core, update(tables.quota_usage).where(month).values(used=tables.quota_usage.c.used - 1))
    return f"acc_1 {row.reserved_month}"


Plant = Callable[[CoreParts], Awaitable[str]]
PLANTS: list[tuple[str, Plant]] = [
    ("pause", paused_person),
    ("window", closed_window),
    ("window", no_window),
    ("opt_out", suppressed_person),
    ("opt_out", decided_after_the_opt_out),
    ("late_hand_out", late_message),
    ("logged_message", lost_decision),
    ("logged_message", second_message),
    ("sent_decision", lost_message),
    ("quota", kept_quota),
    ("quota", miscounted_month),
]


@pytest.mark.parametrize(("invariant", "plant"), PLANTS, ids=[plant.__name__ for _, plant in PLANTS])
async def test_what_is_broken_is_found_exactly_once(
    core: CoreParts, told: Told, invariant: str, plant: Plant
) -> None:
    await small_history(core)
    subject = await plant(core)
    assert [(each.invariant, each.subject) for each in await run(core, rows=4)] == [(invariant, subject)]
    assert await run(core, rows=4) == []
    lines = [line for line in told.lines if line["event"] == "invariant.violated"]
    assert [(line["log_level"], line["invariant"], line["subject"]) for line in lines] == [
        ("error", invariant, subject)
    ]
    [row] = await core.rows(tables.invariant_violations)
    assert (row.invariant, row.subject, row.account_id) == (invariant, subject, "acc_1")


async def test_every_invariant_was_broken_here() -> None:
    assert {name for name, _ in PLANTS} == {*OF_MESSAGES, sent_decision.NAME, quota.NAME}


async def test_a_break_that_lasts_is_one_notice(core: CoreParts) -> None:
    await small_history(core)
    await kept_quota(core)
    metrics = [await run(core) for _ in range(3)]
    assert [len(found) for found in metrics] == [1, 0, 0]
    [row] = await core.rows(tables.invariant_violations)
    assert row.sightings == 3
    assert row.seen_at > row.found_at


# --- how it runs --------------------------------------------------------------------------------------------


async def test_a_run_goes_on_where_the_last_one_ended(core: CoreParts) -> None:
    await small_history(core)
    assert await run(core) == []
    [before] = await core.rows(tables.invariant_progress)
    row = await one_reply(core)
    old = update(tables.messages).where(tables.messages.c.id == row.id)
    await change(core, old.values(not_after=row.created_at - timedelta(hours=1)))
    await later(core, seconds=1)
    await replies(core, 5)
    new = max((row for row in await core.rows(tables.messages) if row.outbound), key=lambda row: row.log_id)
    late = update(tables.messages).where(tables.messages.c.id == new.id)
    await change(core, late.values(not_after=new.created_at - timedelta(hours=1)))
    assert [each.subject for each in await run(core)] == [new.id]
    [after] = await core.rows(tables.invariant_progress)
    assert after.messages_until > before.messages_until
    assert after.log_id > before.log_id


async def test_what_may_be_under_way_is_left_for_later(core: CoreParts) -> None:
    await small_history(core)
    await late_message(core)
    patient = InvariantWatch(SqlInvariantStore(core.database), Metrics(), lambda: 0.0, timedelta(hours=2))
    assert await patient.run() == []
    assert len(await run(core)) == 1


async def test_a_run_that_takes_too_long_ends_and_the_next_goes_on(core: CoreParts) -> None:
    await small_history(core)
    await late_message(core)
    seconds = count(0, PART_SECONDS / 5)
    found: list[Violation] = []
    runs = 0
    while not found:
        runs += 1
        assert runs < 100
        found = await run(core, rows=3, monotonic=lambda: float(next(seconds)))
    assert runs > 2
    assert [each.invariant for each in found] == ["late_hand_out"]


async def test_one_process_at_a_time_has_the_turn(core: CoreParts) -> None:
    if not core.database.is_postgres:
        return
    async with SqlInvariantStore(core.database).turn() as turn:
        assert turn is not None
        assert await watch_of(core).run() is None
    assert await watch_of(core).run() == []


async def test_a_run_that_fails_ends_nothing(core: CoreParts, told: Told) -> None:
    class Failing(SqlInvariantStore):
        failures = 0

        @asynccontextmanager
        async def turn(self) -> AsyncIterator[Any]:
            if self.failures < 2:
                self.failures += 1
                raise DatabaseUnavailable() if self.failures == 1 else KeyError("made up")
            async with super().turn() as turn:
                yield turn

    watch = InvariantWatch(Failing(core.database), Metrics(), lambda: 0.0, timedelta(0))
    task = asyncio.create_task(watch.run_every(0.01))
    for _ in range(200):
        await asyncio.sleep(0.02)
        if await core.rows(tables.invariant_progress):
            break
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    assert await core.rows(tables.invariant_progress)
    assert [line["error"] for line in told.lines if line["event"] == "invariants.not_run"][:2] == [
        "DatabaseUnavailable",
        "KeyError",
    ]


async def test_switched_off_means_never(core: CoreParts) -> None:
    await asyncio.wait_for(watch_of(core).run_every(0), 1.0)
    assert await core.rows(tables.invariant_progress) == []


async def test_administrators_are_told(core: CoreParts) -> None:
    def look(every: int) -> Any:
        return CoreWatch(core.database, core.counters, [], core.config.current, core.clock, every)

    async def shown(every: int = 300) -> tuple[bool, str]:
        [part] = [each for each in (await look(every).look()).components if each.name == "invariants"]
        return part.healthy, part.explanation

    assert await shown() == (True, "They have not run yet.")
    assert await shown(0) == (True, "They are switched off.")
    await small_history(core)
    await run(core)
    healthy, words = await shown()
    assert healthy and words.startswith("Nothing is broken")
    day = await kept_quota(core)
    await run(core)
    healthy, words = await shown()
    assert not healthy
    assert f"quota 1 (newest: {day})" in words
    old = update(tables.invariant_violations).values(seen_at=await now(core) - timedelta(days=8))
    await change(core, old)
    assert (await shown())[0]
    ran = update(tables.invariant_progress).values(ran_at=await now(core) - timedelta(hours=2))
    await change(core, ran)
    assert not (await shown())[0]


async def test_no_statement_of_a_run_reads_a_whole_table(core: CoreParts) -> None:
    """By SQLite's own plans; the indexes are the same on PostgreSQL."""
    if core.database.is_postgres:
        return
    await small_history(core)
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    engine = core.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await run(core)
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) > 10
    async with core.database.reading() as connection:
        for statement, parameters in asked:
            plan: Any = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = " / ".join(str(row[3]) for row in plan)
            whole = re.search(r"SCAN (messages|decisions|suppressions|windows|persons|quota_usage)\b", steps)
            assert not whole, (steps, statement)

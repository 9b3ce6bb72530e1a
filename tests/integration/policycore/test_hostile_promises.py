"""Promises under pressure: keys and signatures, opt-outs while a message waits, quotas, joins, the stream of events."""

import asyncio
import os
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import insert, update

from policycore.errors import DatabaseUnavailable
from policycore.inbound import IdentityLink, InboundEvent, PersonRef, Receipt, ReceiptKind
from policycore.ledger import MessageState
from policycore.model import Action, EventType
from policycore.ports import AttemptOutcome, Outcome
from policycore.reasons import ReasonCode
from policycore.registry.rights import admin_identity
from policycore.registry.rows import PersonKey
from policycore.registry.suppressions import Suppressions
from policycore.store import tables
from policycore.store.registry_store import SqlRegistryStore
from policycore.store.schema import metadata
from support.core_parts import PHONE, CoreParts
from support.guards import Guards

REJECTED = AttemptOutcome(Outcome.REJECTED, "made_up", "The instance refused.")
NOT_ATTEMPTED = AttemptOutcome(Outcome.NOT_ATTEMPTED, "made_up", "Nothing was attempted.")


async def sums_are_right(core: CoreParts) -> None:
    """Every period counts exactly the messages that hold a reservation in it."""
    held: dict[str, int] = {}
    for row in await core.rows(tables.messages):
        if row.outbound and row.state not in (MessageState.REJECTED, MessageState.LAPSED):
            for period in (row.reserved_day, row.reserved_month):
                if period:
                    held[period] = held.get(period, 0) + 1
    assert {row.period: row.used for row in await core.rows(tables.quota_usage) if row.used} == held


async def until(condition: Any) -> None:
    """Waits at most 5 s until an asynchronous condition holds."""
    for _ in range(100):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come true within 5 s")


async def outbound(core: CoreParts) -> list[Any]:
    rows = [row for row in await core.rows(tables.messages) if row.outbound]
    return sorted(rows, key=lambda row: row.log_id)


# --- idempotency keys and signatures ------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [REJECTED, NOT_ATTEMPTED])
async def test_a_key_whose_request_was_not_accepted_binds_nothing(
    core: CoreParts, outcome: AttemptOutcome
) -> None:
    await core.inbound("Hello")
    accept = core.senders.answer
    core.senders.answer = lambda _: outcome
    refused = await core.reply(key="k", body_digest=b"b", timeout=2.0)
    assert refused.message is not None
    core.senders.answer = accept
    again = await core.reply(key="k", body_digest=b"b", timeout=2.0)
    assert not again.duplicate
    assert again.message is not None
    assert again.message.state is MessageState.ACCEPTED
    third = await core.reply(key="k", body_digest=b"b", timeout=2.0)
    assert third.duplicate
    assert third.log_id == again.log_id
    await sums_are_right(core)


async def test_a_key_that_was_told_pending_stays_bound(core: CoreParts) -> None:
    await core.inbound("Hello")
    core.senders.gate = asyncio.Event()
    core.senders.answer = lambda _: REJECTED
    pending = await core.reply(key="k", body_digest=b"b", timeout=0.05)
    assert pending.message is not None
    assert pending.message.state is MessageState.HANDED_OUT
    core.senders.gate.set()
    repeat = await core.reply(key="k", body_digest=b"b", timeout=2.0)
    assert repeat.duplicate
    assert repeat.message is not None
    assert repeat.message.state is MessageState.REJECTED
    assert len(core.senders.sent) == 1


async def test_an_expired_key_binds_again(core: CoreParts) -> None:
    await core.inbound("Hello")
    first = await core.reply(key="k", body_digest=b"b", timeout=2.0)
    past = core.clock() - timedelta(seconds=1)
    await core.change(update(tables.idempotency_keys).values(expires_at=past))
    second = await core.reply(key="k", body_digest=b"other", timeout=2.0)
    assert second.log_id != first.log_id
    assert not second.duplicate
    assert (await core.reply(key="k", body_digest=b"other", timeout=2.0)).duplicate


async def test_a_signature_with_a_key_is_answered_only_as_the_repeat_it_is(core: CoreParts) -> None:
    await core.inbound("Hello")
    claim = b"c" * 32
    first = await core.reply(key="k", body_digest=b"b", claim=claim, timeout=2.0)
    assert first.decision.reason is ReasonCode.ALLOWED
    repeat = await core.reply(key="k", body_digest=b"b", claim=claim, timeout=2.0)
    assert repeat.duplicate
    bodies: list[dict[str, Any]] = [{"key": "another", "body_digest": b"b"}, {}]
    for key in bodies:
        replayed = await core.reply(claim=claim, timeout=2.0, **key)
        assert replayed.decision.reason is ReasonCode.SIGNATURE_REPLAYED
    assert len(core.senders.sent) == 1


async def test_a_refused_request_with_key_and_signature_is_decided_afresh(core: CoreParts) -> None:
    claim = b"c" * 32
    refused = await core.reply(key="k", body_digest=b"b", claim=claim)
    assert refused.decision.reason is ReasonCode.WINDOW_NEVER_OPENED
    await core.inbound("Hello")
    again = await core.reply(key="k", body_digest=b"b", claim=claim, timeout=2.0)
    assert again.decision.reason is ReasonCode.ALLOWED


async def test_validation_leaves_no_trace(core: CoreParts) -> None:
    await core.inbound("Hello")
    await core.change(update(tables.instances).values(messages_per_second=0.01, burst=1))
    everything = [table for table in metadata.sorted_tables if table.name != "config_state"]
    before = {table.name: await core.rows(table) for table in everything}
    for _ in range(3):
        asked = await core.reply(
            validate_only=True, key="k", body_digest=b"b", claim=b"c" * 32, conversation_id="c-1", limit=1
        )
        assert asked.decision.reason is ReasonCode.ALLOWED
        assert (asked.log_id, asked.message) == (0, None)
    assert {table.name: await core.rows(table) for table in everything} == before
    assert core.senders.sent == []
    real = await core.reply(key="k", body_digest=b"b", claim=b"c" * 32, limit=1, timeout=2.0)
    assert real.decision.reason is ReasonCode.ALLOWED


# --- opt-outs -----------------------------------------------------------------------------------------------


async def test_a_message_that_waits_is_not_sent_after_an_opt_out(core: CoreParts) -> None:
    """Guards live in the memory of the process that took the opt-out; another one may hand out the message."""
    await core.inbound("Hello")
    await core.change(update(tables.instances).values(messages_per_second=1.0, burst=1))
    texts = [f"Text number {n} about your ticket." for n in range(2)]
    await asyncio.gather(*(core.reply(text, timeout=0.05) for text in texts))
    states = [row.state for row in await outbound(core)]
    assert MessageState.WAITING in states
    await core.inbound("STOP")
    core.clock.forward(seconds=2)

    async def settled() -> bool:
        return all(row.state not in (1, 2) for row in await outbound(core))

    await until(settled)
    plain = [message for message in core.senders.sent if not message.confirms_opt_out]
    assert len(plain) == 1
    lapsed = [row for row in await outbound(core) if row.state == MessageState.LAPSED]
    assert [row.error_code for row in lapsed] == ["recipient_suppressed"]
    await sums_are_right(core)


async def test_an_opt_out_that_comes_with_a_join_stops_what_waits(core: CoreParts) -> None:
    await core.inbound("Hello")
    await core.inbound("STOP", person=PersonRef(lid="77"))
    await core.change(update(tables.instances).values(messages_per_second=1.0, burst=1))
    await asyncio.gather(*(core.reply(f"Text number {n}.", timeout=0.05) for n in range(2)))
    link = IdentityLink(PersonRef(lid="77"), PersonRef(PHONE))
    await core.record(InboundEvent("link", link))
    core.clock.forward(seconds=2)

    async def settled() -> bool:
        return all(row.state not in (1, 2) for row in await outbound(core))

    await until(settled)
    assert len([message for message in core.senders.sent if not message.confirms_opt_out]) == 1


async def test_lifting_one_of_two_entries_keeps_the_guard(core: CoreParts) -> None:
    guards = Guards()
    registry = Suppressions(SqlRegistryStore(core.database, lambda: None), guards, os.urandom)
    key, admin = PersonKey(PHONE, "", ""), admin_identity()
    entry = await registry.create(admin, "acc_1", key, "import", "list")
    await core.inbound("STOP")
    await registry.lift(admin, entry.row.id, "not theirs", "")
    await registry.lift(admin, entry.row.id, "once more", "")
    assert set(guards.guarded) == {entry.row.person_id}
    [own] = [row for row in await core.rows(tables.suppressions) if row.source == "person"]
    await registry.lift(admin, own.id, "wrote a letter", "the letter")
    assert guards.guarded == {}


@pytest.mark.parametrize("order", ["opted out survives", "opted out is joined"])
@pytest.mark.parametrize("way", ["one message with both", "a link"])
async def test_suppressions_of_joined_persons_are_their_union(core: CoreParts, order: str, way: str) -> None:
    lid, bsuid = PersonRef(lid="77"), PersonRef(bsuid="bs-77")
    first, second = (lid, bsuid) if order == "opted out survives" else (bsuid, lid)
    await core.inbound("Hello", person=first)
    await core.inbound("Hello", person=second)
    await core.inbound("STOP", person=lid)
    if way == "a link":
        await core.record(InboundEvent("link", IdentityLink(first, second)))
    else:
        await core.inbound("Hello", person=PersonRef(lid="77", bsuid="bs-77"))
    await core.inbound("Hello", person=PersonRef(PHONE, bsuid="bs-77"))
    assert (await core.reply()).decision.reason is ReasonCode.RECIPIENT_SUPPRESSED
    await core.inbound("START", person=bsuid)
    assert (await core.reply(timeout=2.0)).decision.reason is ReasonCode.ALLOWED


# --- joins --------------------------------------------------------------------------------------------------


async def two_persons(core: CoreParts) -> tuple[str, str]:
    """Ids of a person known by LID, who will survive, and of one known by number."""
    await core.inbound("Hello", person=PersonRef(lid="77"))
    await core.inbound("Hello")
    by_kind = {row.kind: row.person_id for row in await core.rows(tables.identities)}
    return by_kind["lid"], by_kind["phone"]


async def join(core: CoreParts) -> None:
    link = IdentityLink(PersonRef(lid="77"), PersonRef(PHONE))
    await core.record(InboundEvent("link", link))


async def test_a_pause_follows_a_person_who_is_joined(core: CoreParts) -> None:
    _, by_number = await two_persons(core)
    pause = {
        "id": "pau_1", "scope": "person", "scope_id": by_number, "account_id": "acc_1", "author": "admin",
        "created_at": core.clock(),
    }  # fmt: skip
    await core.change(insert(tables.pauses).values(**pause))
    assert (await core.reply()).decision.reason.name.endswith("PAUSED")
    await join(core)
    assert (await core.reply()).decision.reason.name.endswith("PAUSED")


async def test_a_window_that_the_back_end_closed_stays_closed_after_a_join(core: CoreParts) -> None:
    _, by_number = await two_persons(core)
    later = core.clock() + timedelta(seconds=1)
    closed = tables.windows.c.person_id == by_number
    await core.change(update(tables.windows).where(closed).values(closed_by_backend_at=later))
    assert (await core.reply()).decision.reason is ReasonCode.WINDOW_EXPIRED
    await join(core)
    assert (await core.reply()).decision.reason is ReasonCode.WINDOW_EXPIRED


async def test_whoever_was_asked_back_is_not_asked_again_after_a_join(core: CoreParts) -> None:
    await two_persons(core)
    await core.inbound("cancel")
    asked = await core.rows(tables.clarifications)
    assert len(asked) == 1
    await join(core)
    await core.inbound("cancel")
    assert len(await core.rows(tables.clarifications)) == 1
    assert len([message for message in core.senders.sent if message.purpose == "operational"]) == 1


async def test_a_cool_down_that_moved_is_given_back_by_its_own_message_only(core: CoreParts) -> None:
    survivor, _ = await two_persons(core)
    row = {"integration_id": "int_1", "event_type": int(EventType.MISSED_CALL), "person_id": survivor}
    until_then = core.clock() + timedelta(minutes=30)
    await core.change(insert(tables.cool_downs).values(**row, until=until_then, message_id="msg_other"))
    core.senders.gate = asyncio.Event()
    core.senders.answer = lambda _: REJECTED
    called = await core.reply(event_type=EventType.MISSED_CALL, timeout=0.05)
    assert called.decision.action is Action.SEND
    await join(core)
    core.senders.gate.set()
    await core.dispatcher.drain(2.0)
    [left] = await core.rows(tables.cool_downs)
    assert (left.message_id, left.until) == ("msg_other", until_then)


# --- receipts -----------------------------------------------------------------------------------------------


async def test_a_receipt_for_a_refused_message_takes_its_quota_again(core: CoreParts) -> None:
    await core.inbound("Hello")
    core.senders.answer = lambda _: REJECTED
    refused = await core.reply(timeout=2.0)
    assert refused.message is not None
    await sums_are_right(core)
    for number, kind in enumerate([ReceiptKind.FAILED, ReceiptKind.DELIVERED, ReceiptKind.READ]):
        receipt = Receipt("wamid-1", kind, correlation_id=refused.message.message_id)
        await core.record(InboundEvent(f"r-{number}", receipt))
        await sums_are_right(core)
    [row] = await outbound(core)
    assert row.state == MessageState.READ


async def test_an_unknown_outcome_that_a_receipt_settles_keeps_its_quota(core: CoreParts) -> None:
    await core.inbound("Hello")
    core.senders.answer = lambda _: AttemptOutcome(Outcome.UNKNOWN, "late")
    unknown = await core.reply(timeout=2.0)
    assert unknown.message is not None
    for number, kind in enumerate([ReceiptKind.DELIVERED, ReceiptKind.FAILED]):
        receipt = Receipt("wamid-1", kind, correlation_id=unknown.message.message_id)
        await core.record(InboundEvent(f"r-{number}", receipt))
        await sums_are_right(core)
    [row] = await outbound(core)
    assert row.state == MessageState.DELIVERED


async def test_a_receipt_moves_messages_of_its_own_instance_only(core: CoreParts) -> None:
    other = {"id": "ins_2", "account_id": "acc_1", "name": "other", "backend": "sandbox", "state": "open"}
    times = {"state_changed_at": core.clock(), "created_at": core.clock()}
    await core.change(insert(tables.instances).values(**other, **times))
    await core.inbound("Hello")
    sent = await core.reply(timeout=2.0)
    assert sent.message is not None
    forged = Receipt("forged", ReceiptKind.READ, correlation_id=sent.message.message_id)
    innocent = [core.inbound("Hello", event_key=f"i-{n}") for n in range(3)]
    await asyncio.gather(
        *innocent,
        core.record(InboundEvent("f", forged), instance_id="ins_2"),
        core.record(InboundEvent("g", Receipt("nobody", ReceiptKind.SENT))),
    )
    [row] = await outbound(core)
    assert row.state == MessageState.ACCEPTED


# --- sweeping and the stream of events ----------------------------------------------------------------------


async def test_numbers_of_events_are_never_given_out_twice(core: CoreParts) -> None:
    await core.inbound("Hello")
    before = max(row.sequence for row in await core.rows(tables.message_events))
    long_ago = core.clock() - timedelta(days=365)
    await core.change(update(tables.message_events).values(occurred_at=long_ago))
    await core.events.sweep()
    await core.inbound("Hello again")
    assert max(row.sequence for row in await core.rows(tables.message_events)) > before


async def test_two_sweepers_settle_what_is_too_late_once(core: CoreParts) -> None:
    await core.inbound("Hello")
    await core.change(update(tables.instances).values(messages_per_second=1.0, burst=1))
    await asyncio.gather(*(core.reply(f"Text number {n}.", timeout=0.05) for n in range(3)))
    waiting = {row.id for row in await outbound(core) if row.state == MessageState.WAITING}
    assert waiting
    await core.dispatcher.drain(0.0)
    await asyncio.sleep(0.05)
    past = core.clock() - timedelta(seconds=60)
    await core.change(
        update(tables.messages)
        .where(tables.messages.c.id.in_(waiting))
        .values(send_after=past, not_after=past, created_at=past)
    )
    await asyncio.gather(core.dispatcher.sweep(), core.dispatcher.sweep())
    told = [row.message_id for row in await core.rows(tables.message_events) if row.message_id in waiting]
    assert sorted(told) == sorted(waiting)
    assert {row.state for row in await outbound(core) if row.id in waiting} == {MessageState.LAPSED}
    await sums_are_right(core)


# --- callers that leave, databases that break ---------------------------------------------------------------


async def test_a_caller_that_leaves_at_any_moment_loses_and_doubles_nothing(core: CoreParts) -> None:
    await core.inbound("Hello")
    accept = core.senders.answer
    for step in range(30):
        task = asyncio.create_task(core.reply(f"Text number {step}.", key=f"k-{step}", body_digest=b"b"))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await core.submitter.drain()
    await core.dispatcher.drain(2.0)
    core.senders.answer = accept
    rows = await outbound(core)
    assert {row.state for row in rows} <= {int(MessageState.ACCEPTED)}
    assert sorted(row.id for row in rows) == sorted(message.message_id for message in core.senders.sent)
    await sums_are_right(core)


def _break(core: CoreParts, patch: pytest.MonkeyPatch, moment: str) -> None:
    """Lets SQLite's dialect, or PostgreSQL's driver, fail at one moment of every transaction."""
    if core.database.is_postgres:
        _break_driver(patch, moment)
        return

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the connection is gone")

    patch.setattr(core.database.engine.dialect, f"do_{moment}", broken)


def _break_driver(patch: pytest.MonkeyPatch, moment: str) -> None:
    execute, fetch = asyncpg.Connection.execute, asyncpg.Connection.fetch

    async def broken_execute(self: Any, query: str, *args: Any, **options: Any) -> Any:
        if query == moment.upper():
            raise OSError("the connection is gone")
        return await execute(self, query, *args, **options)

    async def broken_fetch(self: Any, query: str, *args: Any, **options: Any) -> Any:
        if moment == "execute":
            raise OSError("the connection is gone")
        return await fetch(self, query, *args, **options)

    patch.setattr(asyncpg.Connection, "execute", broken_execute)
    patch.setattr(asyncpg.Connection, "fetch", broken_fetch)


@pytest.mark.parametrize("moment", ["begin", "execute", "commit"])
async def test_a_database_that_breaks_is_told_and_leaves_nothing(
    core: CoreParts, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    await core.inbound("Hello")

    with monkeypatch.context() as patch:
        _break(core, patch, moment)
        answers = await asyncio.gather(
            *(core.reply(f"Text number {n}.", timeout=0.1) for n in range(4)), return_exceptions=True
        )
    assert {type(answer) for answer in answers} == {DatabaseUnavailable}
    assert core.senders.sent == []
    assert await outbound(core) == []
    assert (await core.reply(timeout=2.0)).decision.reason is ReasonCode.ALLOWED
    await sums_are_right(core)

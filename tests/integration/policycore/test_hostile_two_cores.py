"""Two policy cores on one PostgreSQL, racing for the same key, signature, quota and person."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.inbound import InboundEvent, Message, PersonRef, Receipt, ReceiptKind
from policycore.ledger import MessageState
from policycore.model import Action, EventType
from policycore.ports import AttemptOutcome, OutboundMessage, Outcome
from policycore.reasons import ReasonCode
from policycore.registry.rights import admin_identity
from policycore.registry.rows import PersonKey
from policycore.registry.suppressions import Suppressions
from policycore.store import persons as persons_store
from policycore.store import tables
from policycore.store.decisions import SqlDecisionTransaction
from policycore.store.engine import open_database
from policycore.store.policy_reads import SqlPolicyReads
from policycore.store.registry_store import SqlRegistryStore
from policycore.usecases.contention import giving_way
from support.core_parts import CoreParts, TestClock, open_core
from support.guards import Guards


class LiveClock(TestClock):
    """The machine's clock, which PostgreSQL on the same machine shares."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def seconds(self) -> float:
        return self().timestamp()


Pair = tuple[CoreParts, CoreParts]


@pytest.fixture
async def pair(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """Two cores with everything of their own but the database."""
    monkeypatch.setattr("support.core_parts._random", lambda: os.urandom)
    seeded = await open_core(postgres_url)
    await seeded.close()
    cores = []
    for _ in range(2):
        clock = LiveClock()
        parts = CoreParts(open_database(postgres_url, clock), clock)
        await parts.config.start()
        cores.append(parts)
    numbers = iter(range(10**6))

    def accept(message: OutboundMessage) -> AttemptOutcome:
        return AttemptOutcome(Outcome.ACCEPTED, external_message_id=f"wamid-{next(numbers)}")

    for parts in cores:
        parts.senders.answer = accept
    yield cores[0], cores[1]
    for parts in cores:
        await parts.close()


async def holding_quota(core: CoreParts) -> dict[str, int]:
    """Messages that hold a reservation, by period."""
    held: dict[str, int] = {}
    for row in await core.rows(tables.messages):
        if row.outbound and row.state not in (MessageState.REJECTED, MessageState.LAPSED):
            for period in (row.reserved_day, row.reserved_month):
                if period:
                    held[period] = held.get(period, 0) + 1
    return held


async def counted_quota(core: CoreParts) -> dict[str, int]:
    return {row.period: row.used for row in await core.rows(tables.quota_usage) if row.used}


# --- keys and signatures ------------------------------------------------------------------------------------


async def test_one_key_on_two_cores_sends_once_and_both_callers_are_answered(pair: Pair) -> None:
    one, two = pair
    await one.inbound("Hello", event_key="in-1")
    for number in range(15):
        key = f"k-{number}"
        answers = await asyncio.gather(
            *(core.reply(key=key, body_digest=b"b", timeout=2.0) for core in (one, two, one, two))
        )
        assert len({answer.log_id for answer in answers}) == 1
        assert sorted(answer.duplicate for answer in answers) == [False, True, True, True]
    assert len(one.senders.sent) + len(two.senders.sent) == 15


async def test_one_key_of_an_event_that_sends_nothing_binds_once(pair: Pair) -> None:
    one, _two = pair
    for number in range(15):
        answers = await asyncio.gather(
            *(core.reply("", event_type=EventType.TEST, key=f"t-{number}", body_digest=b"b") for core in pair)
        )
        assert len({answer.log_id for answer in answers}) == 1
    assert len(await one.rows(tables.idempotency_keys)) == 15


async def test_keys_in_opposite_order_are_no_deadlock(pair: Pair) -> None:
    one, two = pair
    for number in range(10):
        keys = [f"o-{number}-{each}" for each in range(6)]
        answers = await asyncio.gather(
            *(one.reply("", event_type=EventType.TEST, key=key, body_digest=b"b") for key in keys),
            *(two.reply("", event_type=EventType.TEST, key=key, body_digest=b"b") for key in reversed(keys)),
        )
        assert len({answer.log_id for answer in answers}) == 6


async def test_one_signature_on_two_cores_is_accepted_once(pair: Pair) -> None:
    one, two = pair
    await one.inbound("Hello", event_key="in-1")
    for number in range(15):
        claim = bytes([number]) * 32
        answers = await asyncio.gather(*(core.reply(claim=claim, timeout=2.0) for core in pair))
        reasons = sorted(answer.decision.reason.name for answer in answers)
        assert reasons == ["ALLOWED", "SIGNATURE_REPLAYED"]
    assert len(one.senders.sent) + len(two.senders.sent) == 15


# --- quota --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [7, 60], ids=["locked from the first", "locked near the end"])
async def test_the_last_units_of_quota_are_given_out_once(pair: Pair, limit: int) -> None:
    one, _two = pair
    limits = {"plan": 4, "daily_limit": limit, "monthly_limit": 500}
    await one.change(update(tables.accounts).values(**limits))
    phones = [f"+96650000001{digit}" for digit in range(6)]
    for number, phone in enumerate(phones):
        await one.inbound("Hello", phone=phone, event_key=f"in-{number}")
    answers = await asyncio.gather(
        *(pair[n % 2].reply(phone_text=phones[n % 6], text=f"{n}", timeout=5.0) for n in range(limit + 33))
    )
    allowed = [answer for answer in answers if answer.decision.action is Action.SEND]
    assert len(allowed) == limit
    assert all(
        answer.decision.reason is ReasonCode.DAILY_QUOTA_SPENT
        for answer in answers
        if answer.decision.action is not Action.SEND
    )
    assert await counted_quota(one) == await holding_quota(one)


async def test_a_count_that_moves_between_reading_and_writing_lets_nothing_past_its_limit(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    await one.change(update(tables.accounts).values(plan=4, daily_limit=100, monthly_limit=500))
    await one.inbound("Hello")
    assert (await one.reply("The first one.", timeout=2.0)).decision.action is Action.SEND
    number, moves = SqlDecisionTransaction.next_log_ids, iter([100])

    async def after_another_gateway(transaction: SqlDecisionTransaction, count: int) -> Sequence[int]:
        for used in moves:
            # Between this decision's facts and its write, another gateway uses up the day.
            daily = tables.quota_usage.c.period.like("%-%-%")
            await two.change(update(tables.quota_usage).where(daily).values(used=used))
        return await number(transaction, count)

    monkeypatch.setattr(SqlDecisionTransaction, "next_log_ids", after_another_gateway)
    answer = await one.reply("One too many.", timeout=2.0)
    assert answer.decision.reason is ReasonCode.DAILY_QUOTA_SPENT
    assert len(one.senders.sent) == 1
    assert sorted((await counted_quota(one)).values()) == [1, 100]


# --- persons that turn out to be one ------------------------------------------------------------------------


def joining(phone: str, lid: str, key: str, when: datetime) -> InboundEvent:
    """A message that shows that a number and a LID are one person's."""
    return InboundEvent(key, Message(f"x-{key}", 1, "Hi"), PersonRef(phone, lid), provider_time=when)


def before_lock(monkeypatch: pytest.MonkeyPatch, core: CoreParts, act: Any) -> None:
    """Runs `act` once, just before the first statement of this core that locks persons is sent."""
    waiting = [act]
    real = AsyncConnection.execute

    async def execute(self: AsyncConnection, statement: Any, *more: Any, **named: Any) -> Any:
        locks = waiting and self.engine is core.database.engine and _locks_persons(statement)
        if locks:
            await waiting.pop()()
        return await real(self, statement, *more, **named)

    monkeypatch.setattr(AsyncConnection, "execute", execute)


def _locks_persons(statement: Any) -> bool:
    written = str(statement)
    return "FOR UPDATE" in written and "persons" in written


async def test_an_opt_out_that_races_a_join_still_blocks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair
    phone, lid = "+966500000007", "777"
    await one.inbound("Hello", phone=phone, event_key="a")
    await one.inbound("Hello", person=PersonRef(lid=lid), event_key="b")

    async def join() -> None:
        await two.record(joining(phone, lid, "c", two.clock()))

    before_lock(monkeypatch, one, join)
    await one.inbound("STOP", person=PersonRef(lid=lid), event_key="d")
    for core in pair:
        answer = await core.reply(phone_text=phone)
        assert answer.decision.reason is ReasonCode.RECIPIENT_SUPPRESSED


async def test_an_administrators_entry_that_races_a_join_still_blocks(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    phone, lid = "+966500000008", "888"
    await one.inbound("Hello", phone=phone, event_key="a")
    await one.inbound("Hello", person=PersonRef(lid=lid), event_key="b")
    registry = Suppressions(SqlRegistryStore(one.database, lambda: None), Guards(), os.urandom)

    async def join() -> None:
        await two.record(joining(phone, lid, "c", two.clock()))

    before_lock(monkeypatch, one, join)
    await registry.create(admin_identity(), "acc_1", PersonKey("", lid, ""), "administrator", "asked by mail")
    answer = await two.reply(phone_text=phone)
    assert answer.decision.reason is ReasonCode.RECIPIENT_SUPPRESSED


async def test_a_reply_that_races_a_join_is_not_told_that_nobody_wrote(pair: Pair) -> None:
    one, two = pair
    phone, lid = "+966500000009", "999"
    await one.inbound("Hello", person=PersonRef(lid=lid), event_key="b")
    await one.inbound("Hello", phone=phone, event_key="a")
    async with two.database.transaction() as connection:
        rows = await connection.execute(text("SELECT kind, person_id FROM identities FOR UPDATE"))
        person = {row.kind: row.person_id for row in rows}
        await persons_store.lock_persons(connection, person.values())
        reply = asyncio.create_task(one.reply(phone_text=phone, timeout=2.0))
        await asyncio.sleep(0.3)
        assert not reply.done()
        await persons_store.join_persons(connection, person["lid"], person["phone"], two.clock())
    assert (await reply).decision.reason is ReasonCode.ALLOWED


# --- the stream of events -----------------------------------------------------------------------------------


async def test_whoever_resumes_the_stream_misses_nothing_of_two_writers(pair: Pair) -> None:
    one, two = pair
    reads = SqlPolicyReads(two.database)
    seen: list[int] = []
    writing = True

    async def watch() -> None:
        while True:
            all_is_written = not writing
            rows = await reads.events("acc_1", seen[-1] if seen else 0, "", 3)
            seen.extend(row.sequence for row in rows)
            if all_is_written and not rows:
                return

    watcher = asyncio.create_task(watch())
    for number in range(25):
        phones = [f"+9665000003{each:02}" for each in range(6)]
        writers = (
            pair[each % 2].inbound("Hello", phone=phones[each], event_key=f"w-{number}-{each}")
            for each in range(6)
        )
        await asyncio.gather(*writers)
    writing = False
    await watcher
    assert seen == sorted(seen)
    assert seen == sorted(row.sequence for row in await one.rows(tables.message_events))
    assert len(seen) == 150


# --- everything at once -------------------------------------------------------------------------------------


class Storm:
    """Random operations on two cores over few persons, so that they meet."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair = pair
        self.random = random.Random(seed)
        self.phones = [f"+96650000002{digit}" for digit in range(5)]
        self.lids = [f"10{digit}" for digit in range(5)]
        self.count = 0
        self.problems: list[str] = []

    async def one(self) -> None:
        core = self.random.choice(self.pair)
        self.count += 1
        act = self.random.choices(
            [self.reply, self.write, self.join, self.receipt, self.suppress, self.pause],
            [12, 4, 2, 4, 1, 1],
        )[0]
        try:
            await act(core, self.count)
        except Exception as error:  # noqa: BLE001 - every error of the storm is a finding
            self.problems.append(f"{act.__name__}: {type(error).__name__}: {error!s:.300}")

    async def reply(self, core: CoreParts, number: int) -> None:
        key = {"key": f"s-{self.random.randrange(60)}", "body_digest": b"b"} if number % 3 == 0 else {}
        phone = self.phones[0] if key else self.random.choice(self.phones)
        text = "Your ticket is updated." if key else f"Your ticket {number} is updated."
        await core.reply(text, phone_text=phone, timeout=1.0, **key)

    async def write(self, core: CoreParts, number: int) -> None:
        events = [
            InboundEvent(
                f"e-{self.random.randrange(400)}",
                Message(f"m-{number}-{n}", 1, self.random.choice(["Hello", "STOP", "START", "ok", "Thanks"])),
                self.person(),
                provider_time=core.clock(),
            )
            for n in range(self.random.randrange(1, 5))
        ]
        await core.record(*events)

    def person(self) -> PersonRef:
        if self.random.random() < 0.5:
            return PersonRef(self.random.choice(self.phones))
        return PersonRef(lid=self.random.choice(self.lids))

    async def join(self, core: CoreParts, number: int) -> None:
        phone, lid = self.random.choice(self.phones), self.random.choice(self.lids)
        other = joining(self.random.choice(self.phones), lid, f"j2-{number}", core.clock())
        await core.record(joining(phone, lid, f"j-{number}", core.clock()), other)

    async def receipt(self, core: CoreParts, number: int) -> None:
        events = [
            InboundEvent(
                f"r-{number}-{n}",
                Receipt(f"wamid-{self.random.randrange(200)}", self.random.choice(list(ReceiptKind))),
            )
            for n in range(self.random.randrange(1, 6))
        ]
        await core.record(*events)

    async def suppress(self, core: CoreParts, number: int) -> None:
        registry = Suppressions(SqlRegistryStore(core.database, lambda: None), Guards(), os.urandom)
        person = PersonKey("", self.random.choice(self.lids), "")
        # As an administrator's calls are served: what gave way to another transaction is done again.
        view = await giving_way(lambda: registry.create(admin_identity(), "acc_1", person, "import", "list"))
        await giving_way(lambda: registry.lift(admin_identity(), view.row.id, "not theirs", "a letter"))

    async def pause(self, core: CoreParts, number: int) -> None:
        await core.change(update(tables.instances).values(state_reason=f"{number}"))


def mixed_outcomes(source: random.Random, numbers: Any) -> Any:
    def answer(message: OutboundMessage) -> AttemptOutcome:
        outcome = source.choices(list(Outcome), [8, 2, 1, 1])[0]
        external = f"wamid-{next(numbers)}" if outcome is Outcome.ACCEPTED else ""
        return AttemptOutcome(outcome, "made_up", external_message_id=external)

    return answer


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_storm_on_two_cores_ends_without_errors_and_with_right_sums(pair: Pair, seed: int) -> None:
    one, _two = pair
    limits = {"plan": 4, "daily_limit": 10_000, "monthly_limit": 10_000}
    await one.change(update(tables.accounts).values(**limits))
    storm = Storm(pair, seed)
    numbers = iter(range(10**6))
    for core in pair:
        core.senders.answer = mixed_outcomes(storm.random, numbers)
    for number, phone in enumerate(storm.phones):
        await one.inbound("Hello", phone=phone, event_key=f"first-{number}")
    for _ in range(12):
        await asyncio.gather(*(storm.one() for _ in range(30)))
    for core in pair:
        await core.dispatcher.drain(5.0)
    assert storm.problems == []
    assert await counted_quota(one) == await holding_quota(one)
    merged = {row.id for row in await one.rows(tables.persons) if row.merged_into}
    for table in (tables.identities, tables.windows, tables.suppressions, tables.cool_downs):
        assert not [row for row in await one.rows(table) if row.person_id in merged], table.name
    keyed = [row.message_id for row in await one.rows(tables.idempotency_keys) if row.message_id]
    assert len(keyed) == len(set(keyed))
    sent = [message.message_id for core in pair for message in core.senders.sent]
    assert len(sent) == len(set(sent))

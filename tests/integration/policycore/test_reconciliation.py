"""What a look at a back end settles, and what it must not, on both databases."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from policycore.dispatch.reconciler import Reconciler
from policycore.errors import NotFound
from policycore.inbound import InboundEvent, Receipt, ReceiptKind
from policycore.ledger import MessageState
from policycore.ports import AttemptOutcome, OutboundMessage, Outcome
from policycore.reconciliation import FoundMessage, PersonsFinding, UnknownMessage
from policycore.registry.errors import NotPossibleError
from policycore.registry.pages import Filter, PageRequest
from policycore.registry.rights import CallerKind, Identity, admin_identity
from policycore.registry.snapshot import InstanceConfig
from policycore.store import tables
from policycore.store.unknowns import SqlUnknownLedger
from policycore.unknown_ledger import Look, LookOutcome
from policycore.usecases.settle_unknown import UnknownMessages
from support.core_parts import CoreParts

LOST = AttemptOutcome(Outcome.UNKNOWN, "evolution_timeout", "No answer came in time.")


class TwinLooker:
    """Plays the back ends: shows what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[UnknownMessage] = []
        self.look = Look(LookOutcome.LOOKED, "looked")

    async def look_up(self, message: UnknownMessage, instance: InstanceConfig) -> Look:
        self.asked.append(message)
        return self.look

    def shows(self, *found: FoundMessage) -> None:
        self.look = Look(LookOutcome.LOOKED, "looked", found)


class Office:
    """A core whose instance loses answers, and what settles them."""

    def __init__(self, core: CoreParts) -> None:
        self.core = core
        self.looker = TwinLooker()
        self.ledger = SqlUnknownLedger(core.database, core.config.at)
        self.reconciler = Reconciler(
            self.ledger, self.looker, core.config.current, lambda size: b"r" * size, lambda: None
        )
        self.desk = UnknownMessages(self.ledger, lambda size: b"r" * size, lambda: None)

    async def lost(self, text: str = "Your ticket is closed.") -> str:
        """A reply whose answer is lost; its message id."""
        self.core.senders.answer = lambda _: LOST
        answer = await self.core.reply(text)
        self.core.senders.answer = self.core.senders.accept
        assert answer.message is not None and answer.message.state is MessageState.UNKNOWN
        return answer.message.message_id

    def found(self, external_id: str, kind: str = "sent", seconds: float = 1.0) -> FoundMessage:
        return FoundMessage(external_id, self.core.clock() + timedelta(seconds=seconds), kind)

    async def look(self) -> int:
        """The next turn of every message comes."""
        table = tables.unknown_messages
        await self.core.change(
            table.update().where(table.c.next_look_at.is_not(None)).values(next_look_at=self.core.clock())
        )
        return await self.reconciler.run_round()

    async def grow_older(self, **parts: float) -> None:
        table = tables.unknown_messages
        for row in await self.core.rows(table):
            since = row.unknown_since - timedelta(**parts)
            await self.core.change(
                table.update().where(table.c.message_id == row.message_id).values(unknown_since=since)
            )

    async def states(self) -> dict[str, tuple[MessageState, str | None]]:
        rows = await self.core.rows(tables.messages)
        return {row.id: (MessageState(row.state), row.external_id) for row in rows if row.outbound}

    async def used(self) -> int:
        return max(int(row.used) for row in await self.core.rows(tables.quota_usage))

    async def row(self) -> Any:
        [row] = await self.core.rows(tables.unknown_messages)
        return row


@pytest.fixture
async def office(core: CoreParts) -> Office:
    """A core that a person has written to."""
    await core.inbound("Hello")
    return Office(core)


async def test_a_message_that_is_shown_is_settled_once(office: Office) -> None:
    message_id = await office.lost()
    office.looker.shows(office.found("ext-9", "delivered"))
    assert await office.look() == 1
    assert await office.states() == {message_id: (MessageState.DELIVERED, "ext-9")}
    assert await office.used() == 1, "it was sent: its quota is kept"
    events = await office.core.rows(tables.message_events)
    assert events[-1].message_id == message_id and '"ext-9"' in events[-1].message_json
    assert await office.look() == 0
    assert len(office.looker.asked) == len(office.core.senders.sent) == 1


async def test_a_look_asks_for_the_very_text_to_the_very_person(office: Office) -> None:
    await office.lost("Your ticket is closed.")
    await office.look()
    [asked] = office.looker.asked
    assert (asked.text, asked.phone, asked.instance_id) == (
        "Your ticket is closed.",
        "+966500000000",
        "ins_1",
    )
    assert asked.since < asked.attempted_at


async def test_nothing_shown_proves_nothing(office: Office) -> None:
    message_id = await office.lost()
    for _ in range(12):
        await office.look()
    assert await office.states() == {message_id: (MessageState.UNKNOWN, None)}
    assert await office.used() == 1
    row = await office.row()
    assert row.last_look == "not_found"


async def test_of_two_messages_and_one_record_neither_is_settled(office: Office) -> None:
    first, second = await office.lost(), await office.lost()
    office.looker.shows(office.found("ext-9"))
    assert await office.look() == 0
    assert {state for state, _ in (await office.states()).values()} == {MessageState.UNKNOWN}
    office.looker.shows(office.found("ext-9"), office.found("ext-10", seconds=2.0))
    assert await office.look() >= 2
    states = await office.states()
    assert {states[first][1], states[second][1]} == {"ext-9", "ext-10"}


async def test_the_record_of_another_message_is_not_ours(office: Office) -> None:
    await office.core.reply("Your ticket is closed.")
    [(_, accepted_id)] = (await office.states()).values()
    message_id = await office.lost()
    office.looker.shows(office.found(accepted_id or ""))
    assert await office.look() == 0
    assert (await office.states())[message_id] == (MessageState.UNKNOWN, None)


async def test_a_message_that_was_accepted_without_an_id_may_be_the_one_that_is_shown(office: Office) -> None:
    office.core.senders.answer = lambda _: AttemptOutcome(Outcome.ACCEPTED, "waha_accepted_without_id")
    await office.core.reply("Your ticket is closed.")
    message_id = await office.lost()
    office.looker.shows(office.found("ext-9"))
    assert await office.look() == 0
    assert (await office.states())[message_id] == (MessageState.UNKNOWN, None)


async def test_each_turn_is_had_by_one_process_and_comes_later_each_time(office: Office) -> None:
    await office.lost()
    first = await office.row()
    assert first.next_look_at - first.unknown_since == timedelta(seconds=5)
    assert await office.ledger.claim_due(10) == [], "not due yet"
    await office.grow_older(seconds=6)
    table = tables.unknown_messages
    await office.core.change(table.update().values(next_look_at=office.core.clock() - timedelta(seconds=1)))
    assert len(await office.ledger.claim_due(10)) == 1
    assert await office.ledger.claim_due(10) == [], "whoever claims it has set its next turn"
    second = await office.row()
    assert second.looks == 1
    assert second.next_look_at - second.unknown_since == timedelta(seconds=20)
    await office.grow_older(days=2)
    await office.core.change(table.update().values(next_look_at=office.core.clock()))
    assert len(await office.ledger.claim_due(10)) == 1
    assert (await office.row()).next_look_at is None, "after a day only a receipt or a person settles it"


@pytest.mark.parametrize(("outcome", "again"), [(LookOutcome.FAILED, True), (LookOutcome.NOT_OFFERED, False)])
async def test_a_back_end_that_shows_nothing_is_asked_again_only_if_it_may_answer(
    office: Office, outcome: LookOutcome, again: bool
) -> None:
    message_id = await office.lost()
    office.looker.look = Look(outcome, "http_500")
    await office.look()
    row = await office.row()
    assert (row.last_look, row.next_look_at is not None) == ("http_500", again)
    assert (await office.states())[message_id][0] is MessageState.UNKNOWN


async def test_a_receipt_settles_it_and_ends_the_looking(office: Office) -> None:
    message_id = await office.lost()
    receipt = Receipt("ext-9", ReceiptKind.SENT, correlation_id=message_id)
    await office.core.record(InboundEvent("r-1", receipt, provider_time=office.core.clock()))
    assert (await office.states())[message_id] == (MessageState.SENT, "ext-9")
    await office.look()
    assert office.looker.asked == []
    assert await office.ledger.clean() == 1
    assert await office.ledger.count() == (0, 0)


async def test_a_person_settles_it_after_a_day_and_not_before(office: Office) -> None:
    message_id, admin = await office.lost(), admin_identity()
    with pytest.raises(NotPossibleError) as early:
        await office.desk.settle(admin, message_id, PersonsFinding.NOT_SENT, "")
    assert early.value.reason == "TOO_EARLY"
    assert await office.ledger.count() == (1, 0)
    await office.grow_older(hours=24)
    assert await office.ledger.count() == (1, 1)
    page = await office.ledger.page(Filter(), PageRequest(10), ripe_only=True)
    assert [row.view.message_id for row in page.rows] == [message_id]
    stranger = Identity("other", CallerKind.SERVICE, frozenset({"SettleMessage"}), frozenset({"acc_2"}))
    with pytest.raises(NotFound):
        await office.desk.settle(stranger, message_id, PersonsFinding.SENT, "")
    view = await office.desk.settle(admin, message_id, PersonsFinding.NOT_SENT, "Not in the chat.")
    assert view.state is MessageState.REJECTED
    assert "Not in the chat" not in view.error_text, (
        "what is told to customers is not what is told to the log"
    )
    assert await office.used() == 0
    with pytest.raises((NotFound, NotPossibleError)):
        await office.desk.settle(admin, message_id, PersonsFinding.NOT_SENT, "")
    assert await office.used() == 0, "given back once"
    [audit] = await office.core.rows(tables.audit_entries)
    assert (audit.actor, audit.act, audit.target) == ("admin", "SettleMessage", message_id)


async def test_a_receipt_that_proves_the_person_wrong_counts_the_message_again(office: Office) -> None:
    message_id = await office.lost()
    await office.grow_older(hours=25)
    await office.desk.settle(admin_identity(), message_id, PersonsFinding.NOT_SENT, "")
    receipt = Receipt("ext-9", ReceiptKind.DELIVERED, correlation_id=message_id)
    await office.core.record(InboundEvent("r-1", receipt, provider_time=office.core.clock()))
    assert (await office.states())[message_id] == (MessageState.DELIVERED, "ext-9")
    assert await office.used() == 1


async def test_a_person_who_says_sent_keeps_the_quota(office: Office) -> None:
    message_id = await office.lost()
    await office.grow_older(hours=24)
    view = await office.desk.settle(admin_identity(), message_id, PersonsFinding.SENT, "")
    assert view.state is MessageState.ACCEPTED
    assert await office.used() == 1
    assert len(office.core.senders.sent) == 1


async def test_an_unknown_message_holds_up_nobody(office: Office) -> None:
    first = await office.lost()
    answer = await office.core.reply("And something else.")
    assert answer.message is not None and answer.message.state is MessageState.ACCEPTED
    assert (await office.states())[first][0] is MessageState.UNKNOWN
    sent: Sequence[OutboundMessage] = office.core.senders.sent
    assert [each.text for each in sent] == ["Your ticket is closed.", "And something else."]

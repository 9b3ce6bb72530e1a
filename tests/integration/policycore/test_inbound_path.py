"""What comes in: windows, opt-out, receipts, forwarding, on both databases."""

import asyncio
import json
from datetime import timedelta

from sqlalchemy import insert

from policycore.inbound import (
    ChatKind,
    IdentityLink,
    InboundEvent,
    InstanceStateChange,
    MarketingPreference,
    Message,
    PersonRef,
    Receipt,
    ReceiptKind,
)
from policycore.ledger import MessageState
from policycore.model import Action
from policycore.ports import AttemptOutcome, Consequence, Outcome
from policycore.reasons import ReasonCode
from policycore.store import tables
from support.core_parts import PHONE, CoreParts


async def _settled(core: CoreParts) -> None:
    """Waits until everything that was handed out is settled."""
    for _ in range(100):
        if not core.dispatcher._open:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("messages are still under way")


async def test_the_same_event_acts_once(core: CoreParts) -> None:
    first = await core.inbound("hi", event_key="same")
    again = await core.inbound("hi", event_key="same")
    assert (first.recorded, again.recorded, again.duplicates) == (1, 0, 1)
    assert len(await core.rows(tables.messages)) == 1


async def test_one_event_a_hundred_times_in_parallel_acts_once(core: CoreParts) -> None:
    event = InboundEvent("k", Message("x", 1, "hi"), PersonRef(PHONE), provider_time=core.clock())
    answers = await asyncio.gather(*(core.record(event) for _ in range(100)))
    assert sum(answer.recorded for answer in answers) == 1
    assert len(await core.rows(tables.outbox)) == 1


async def test_a_window_opens_by_the_providers_clock_and_never_moves_back(core: CoreParts) -> None:
    now = core.clock()
    await core.inbound("late", provider_time=now - timedelta(hours=2))
    await core.inbound("later", provider_time=now - timedelta(hours=1))
    await core.inbound("older", provider_time=now - timedelta(hours=5))
    (window,) = await core.rows(tables.windows)
    assert abs((window.last_inbound_at - (now - timedelta(hours=1))).total_seconds()) < 0.01


async def test_a_clock_that_runs_ahead_does_not_lengthen_the_window(core: CoreParts) -> None:
    await core.inbound("hi", provider_time=core.clock() + timedelta(days=1))
    (window,) = await core.rows(tables.windows)
    assert window.last_inbound_at <= core.clock() + timedelta(seconds=5)


async def test_groups_broadcasts_and_own_messages_open_no_window(core: CoreParts) -> None:
    await core.inbound("group", chat=ChatKind.GROUP)
    await core.inbound("story", chat=ChatKind.BROADCAST)
    await core.inbound("typed on the phone", from_business=True)
    assert not await core.rows(tables.windows)
    assert (await core.reply()).decision.reason is ReasonCode.WINDOW_NEVER_OPENED


async def test_an_opt_out_suppresses_at_once_confirms_once_and_is_not_a_chat(core: CoreParts) -> None:
    await core.inbound("hi")
    await core.inbound("STOP")
    await _settled(core)
    await core.inbound("stop")
    await _settled(core)
    refused = await core.reply()
    assert refused.decision.reason is ReasonCode.RECIPIENT_SUPPRESSED
    assert len(core.senders.sent) == 1 and core.senders.sent[0].confirms_opt_out
    (row,) = await core.rows(tables.suppressions)
    assert (row.source, row.scope) == ("person", "all") and row.evidence_rule and row.evidence_message_id
    names = [row.event_name for row in await core.rows(tables.outbox)]
    assert names == ["message.received", "recipient.opted_out", "recipient.opted_out"]
    assert core.after.opted_out


async def test_an_arabic_opt_out_is_confirmed_in_arabic_and_start_lifts_it(core: CoreParts) -> None:
    await core.inbound("قف")
    await _settled(core)
    assert "START" in core.senders.sent[0].text and "ابدأ" in core.senders.sent[0].text
    assert (await core.reply()).decision.reason is ReasonCode.RECIPIENT_SUPPRESSED
    await core.inbound("ابدأ")
    await _settled(core)
    assert (await core.reply()).decision.action is Action.SEND
    (row,) = await core.rows(tables.suppressions)
    assert row.lifted_at is not None and row.lifted_by == "person"


async def test_a_start_word_does_not_lift_an_administrators_entry(core: CoreParts) -> None:
    await core.inbound("hi")
    (person,) = await core.rows(tables.persons)
    row = {
        "id": "sup_a",
        "account_id": "acc_1",
        "person_id": person.id,
        "source": "administrator",
        "scope": "all",
        "created_at": core.clock(),
    }
    await core.change(tables.suppressions.insert().values(row))
    await core.inbound("START")
    await _settled(core)
    assert (await core.reply()).decision.reason is ReasonCode.RECIPIENT_SUPPRESSED
    assert not core.senders.sent


async def test_cancel_my_order_is_no_opt_out(core: CoreParts) -> None:
    for text in ("Cancel my order please", "please don't stop the delivery", "الغاء الطلب"):
        await core.inbound(text)
    assert not await core.rows(tables.suppressions)
    assert (await core.reply()).decision.action is Action.SEND


async def test_an_ambiguous_word_is_asked_back_once_and_goes_to_the_agent(core: CoreParts) -> None:
    await core.inbound("cancel")
    await _settled(core)
    await core.inbound("cancel")
    await _settled(core)
    assert len(core.senders.sent) == 1 and not core.senders.sent[0].confirms_opt_out
    assert [row.event_name for row in await core.rows(tables.outbox)] == ["message.received"] * 2
    assert (await core.reply()).decision.action is Action.SEND


async def test_opt_out_and_start_in_one_delivery_end_as_the_person_wrote_last(core: CoreParts) -> None:
    ref, now = PersonRef(PHONE), core.clock()
    stop = InboundEvent("1", Message("a", 1, "STOP"), ref, provider_time=now)
    start = InboundEvent("2", Message("b", 1, "START"), ref, provider_time=now)
    await core.record(stop, start)
    await _settled(core)
    assert (await core.reply()).decision.action is Action.SEND


async def test_an_opt_out_counts_for_every_identity_of_the_person(core: CoreParts) -> None:
    await core.inbound("hi")
    await core.inbound("STOP", person=PersonRef(lid="99887766"))
    await _settled(core)
    assert (await core.reply()).decision.action is Action.SEND
    link = IdentityLink(PersonRef(PHONE), PersonRef(lid="99887766"))
    await core.record(InboundEvent("link", link))
    assert (await core.reply()).decision.reason is ReasonCode.RECIPIENT_SUPPRESSED


async def test_two_identities_in_one_message_join_and_keep_the_later_window(core: CoreParts) -> None:
    now = core.clock()
    await core.inbound("by lid", person=PersonRef(lid="123"), provider_time=now - timedelta(minutes=1))
    await core.inbound("by phone", provider_time=now - timedelta(hours=3))
    await core.inbound("both", person=PersonRef(PHONE, "123"), provider_time=now - timedelta(hours=4))
    (window,) = await core.rows(tables.windows)
    assert abs((window.last_inbound_at - (now - timedelta(minutes=1))).total_seconds()) < 0.01
    owners = {row.person_id for row in await core.rows(tables.messages)}
    assert owners == {window.person_id}


async def test_receipts_move_forward_only(core: CoreParts) -> None:
    await core.inbound("hi")
    answer = await core.reply()
    assert answer.message is not None
    external = answer.message.external_message_id
    for kind in (ReceiptKind.READ, ReceiptKind.DELIVERED, ReceiptKind.FAILED, ReceiptKind.SENT):
        await core.record(InboundEvent(f"r{kind}", Receipt(external, kind)))
    view = await core.events.read_message(answer.message.message_id)
    assert view is not None and view.state is MessageState.READ


async def test_a_receipt_that_comes_before_the_answer_is_not_lost(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.gate = asyncio.Event()
    core.senders.answer = lambda m: AttemptOutcome(Outcome.ACCEPTED, external_message_id="early")
    pending = asyncio.create_task(core.reply(timeout=3.0))
    await asyncio.sleep(0.1)
    await core.record(InboundEvent("r", Receipt("early", ReceiptKind.DELIVERED)))
    core.senders.gate.set()
    answer = await pending
    assert answer.message is not None and answer.message.state is MessageState.DELIVERED
    assert not await core.rows(tables.unmatched_receipts)


async def test_a_receipt_that_crossed_its_answer_is_found_by_the_next_sweep(core: CoreParts) -> None:
    await core.inbound("Hello")
    answer = await core.reply()
    assert answer.message is not None
    crossing = {"instance_id": "ins_1", "kind": int(ReceiptKind.DELIVERED), "received_at": core.clock()}
    for external_id in (answer.message.external_message_id, "of nobody"):
        await core.change(insert(tables.unmatched_receipts).values(external_id=external_id, **crossing))
    assert await core.dispatcher.match_receipts() == 1
    view = await core.events.read_message(answer.message.message_id)
    assert view is not None and view.state is MessageState.DELIVERED
    assert [row.external_id for row in await core.rows(tables.unmatched_receipts)] == ["of nobody"]
    told = [row.event_name for row in await core.rows(tables.message_events)]
    assert told.count("message.status_updated") == 2
    assert await core.dispatcher.match_receipts() == 0


async def test_an_unknown_outcome_is_settled_by_the_receipt_that_echoes_our_id(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.answer = lambda m: AttemptOutcome(Outcome.UNKNOWN, "timeout", "No answer.")
    answer = await core.reply()
    assert answer.message is not None
    receipt = Receipt("wamid.1", ReceiptKind.DELIVERED, correlation_id=answer.message.message_id)
    await core.record(InboundEvent("r", receipt))
    view = await core.events.read_message(answer.message.message_id)
    assert view is not None
    assert (view.state, view.external_message_id) == (MessageState.DELIVERED, "wamid.1")


async def test_an_unknown_outcome_is_settled_by_the_report_that_repeats_its_text(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.answer = lambda m: AttemptOutcome(Outcome.UNKNOWN, "timeout", "No answer.")
    answer = await core.reply("A text that only this message has.")
    assert answer.message is not None
    receipt = Receipt("3EB0", ReceiptKind.ACCEPTED, text="A text that only this message has.")
    await core.record(InboundEvent("r", receipt))
    view = await core.events.read_message(answer.message.message_id)
    assert view is not None and view.state is MessageState.ACCEPTED


async def test_an_instance_that_says_it_is_closed_defers_replies(core: CoreParts) -> None:
    await core.inbound("hi")
    await core.record(InboundEvent("s", InstanceStateChange("close", "logged_out")))
    assert (await core.reply()).decision.reason is ReasonCode.INSTANCE_NOT_CONNECTED
    await core.record(InboundEvent("s2", InstanceStateChange("open")))
    assert (await core.reply()).decision.action is Action.SEND


async def test_a_window_the_back_end_calls_closed_is_closed_until_the_person_writes(core: CoreParts) -> None:
    await core.inbound("hi", provider_time=core.clock() - timedelta(minutes=5))
    core.senders.answer = lambda m: AttemptOutcome(
        Outcome.REJECTED, "cloud_131047", "Closed.", consequence=Consequence.CLOSE_WINDOW
    )
    await core.reply()
    assert (await core.reply()).decision.reason is ReasonCode.WINDOW_EXPIRED
    core.clock.forward(seconds=2)
    await asyncio.sleep(0.02)
    await core.inbound("hi again", provider_time=None)
    core.senders.answer = core.senders.accept
    assert (await core.reply()).decision.action is Action.SEND


async def test_a_restricted_instance_is_paused_by_the_gateway(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.answer = lambda m: AttemptOutcome(
        Outcome.REJECTED, "cloud_368", "Restricted.", consequence=Consequence.PAUSE_INSTANCE
    )
    await core.reply()
    assert (await core.reply()).decision.reason is ReasonCode.INSTANCE_PAUSED
    (pause,) = await core.rows(tables.pauses)
    assert pause.author == "gateway"


async def test_whatsapps_own_marketing_switch_is_recorded_and_stops_no_support(core: CoreParts) -> None:
    await core.inbound("hi")
    await core.record(InboundEvent("p", MarketingPreference(True), PersonRef(PHONE)))
    (row,) = await core.rows(tables.suppressions)
    assert (row.source, row.scope) == ("whatsapp", "marketing")
    assert (await core.reply()).decision.action is Action.SEND
    await core.record(InboundEvent("p2", MarketingPreference(False), PersonRef(PHONE)))
    (row,) = await core.rows(tables.suppressions)
    assert row.lifted_at is not None


async def test_the_forwarded_body_has_the_contracts_fields(core: CoreParts) -> None:
    await core.inbound("Hello")
    (row,) = await core.rows(tables.outbox)
    body = json.loads(row.body)
    assert body["event"] == "message.received" and body["from"] == PHONE
    assert body["message_text"] == "Hello" and body["message_type"] == "text"
    assert {"instance_id", "instance_name", "external_message_id", "conversation_id", "contact_name"} <= set(
        body
    )
    assert body["window_expires_at"] > body["received_at"]


async def test_a_reply_goes_through_the_instance_of_its_conversation(core: CoreParts) -> None:
    row = {
        "id": "ins_2",
        "account_id": "acc_1",
        "name": "second",
        "backend": "sandbox",
        "state": "open",
        "state_changed_at": core.clock(),
        "created_at": core.clock(),
    }
    await core.change(tables.instances.insert().values(row))
    link = {"integration_id": "int_1", "instance_id": "ins_2"}
    await core.change(tables.integration_instances.insert().values(link))
    await core.inbound("to the first")
    event = InboundEvent("n", Message("z", 1, "to the second"), PersonRef(PHONE), provider_time=core.clock())
    core.clock.forward(seconds=1)
    await core.record(event, instance_id="ins_2")
    windows = {row.instance_id: row for row in await core.rows(tables.windows)}
    answer = await core.reply(conversation_id=windows["ins_1"].conversation_id)
    assert answer.message is not None and answer.message.instance_id == "ins_1"
    bound = await core.reply(conversation_id="3cx-chat-1", instance_ref="second")
    assert bound.message is not None and bound.message.instance_id == "ins_2"
    again = await core.reply(conversation_id="3cx-chat-1")
    assert again.message is not None and again.message.instance_id == "ins_2"


async def test_a_batch_of_a_thousand_is_one_commit(core: CoreParts) -> None:
    events = [
        InboundEvent(
            f"k{n}",
            Message(f"m{n}", 1, f"text {n}"),
            PersonRef(f"+96650000{n:04d}"),
            provider_time=core.clock(),
        )
        for n in range(1000)
    ]
    answer = await core.record(*events)
    assert answer.recorded == 1000 and len(answer.message_ids) == 1000

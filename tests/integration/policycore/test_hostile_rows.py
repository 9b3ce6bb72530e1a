"""What cannot be kept as it came: one such event, outcome or request must not fail its neighbours."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hubgate.policy.v1 import events_pb2, policy_service_pb2
from hubgate.sender.v1 import sender_service_pb2 as sender_pb
from policycore.dispatch.sender_wire import outcome_from, post_result_from
from policycore.errors import Malformed
from policycore.inbound import InboundEvent, Message, PersonRef, Receipt, ReceiptKind
from policycore.ledger import MessageState
from policycore.ports import AttemptOutcome, OutboundMessage
from policycore.reasons import ReasonCode
from policycore.registry.pages import Filter, page_request, write_token
from policycore.rpc.convert_events import report_from_wire
from policycore.store import tables
from policycore.store.log_queries import SqlLogReader
from policycore.store.registry_store import SqlRegistryStore
from policycore.usecases.record_events import Recorded, Report
from support.core_parts import PHONE, CoreParts

AGES = Timestamp(seconds=9_223_372_036_854_775_807)
"""The largest number of seconds a Timestamp's field holds: the year 292277026596."""


def message(key: str, **more: Any) -> events_pb2.InboundEvent:
    fields = {"external_message_id": f"x-{key}", "kind": 1, "text": "Hello", **more.pop("fields", {})}
    person = events_pb2.PersonRef(phone=more.pop("phone", PHONE), **more.pop("ids", {}))
    return events_pb2.InboundEvent(
        event_key=key, person=person, message=events_pb2.InboundMessage(**fields), **more
    )


POISON = {
    "nul in key": message("a\x00b"),
    "nul in person": message(
        "k1", phone="+9665\x0000000001", ids={"lid": "1\x002", "business_scoped_id": "\x00"}
    ),
    "nul in texts": message(
        "k2", fields={"text": "a\x00b", "external_message_id": "\x00", "contact_name": "\x00n"}
    ),
    "overlong": message("k3", fields={"external_message_id": "x" * 5000, "contact_name": "n" * 5000}),
    "overlong person": message("k4", ids={"lid": "9" * 5000, "business_scoped_id": "b" * 5000}),
    "no person": message("k5", phone=""),
    "far future": message("k6", provider_time=AGES),
    "far past": message("k7", provider_time=Timestamp(seconds=-9_223_372_036_854_775_808)),
    "unknown chat": message("k8", chat=77),
    "unknown message kind": message("k9", fields={"kind": 4_242}),
    "unknown receipt kind": events_pb2.InboundEvent(
        event_key="k10",
        receipt=events_pb2.Receipt(external_message_id="x", kind=99),  # type: ignore[arg-type]
    ),
    "receipt without kind": events_pb2.InboundEvent(event_key="k11", receipt=events_pb2.Receipt()),
    "nul in receipt": events_pb2.InboundEvent(
        event_key="k12",
        receipt=events_pb2.Receipt(
            external_message_id="x\x00",
            kind=events_pb2.RECEIPT_KIND_FAILED,
            error_code="\x00" * 99,
            error_text="\x00",
            text="\x00",
            correlation_id="msg_\x00",
        ),
    ),
    "unknown event": events_pb2.InboundEvent(event_key="k13"),
    "unknown state": events_pb2.InboundEvent(
        event_key="k14",
        instance_state=events_pb2.InstanceStateChange(
            state=events_pb2.INSTANCE_STATE_OPEN, reason="\x00" * 99, replies_only_until=AGES
        ),
    ),
    "empty link": events_pb2.InboundEvent(event_key="k15", identity_link=events_pb2.IdentityLink()),
    "nul in change": events_pb2.InboundEvent(
        event_key="k16",
        change=events_pb2.MessageChange(
            kind=88,  # type: ignore[arg-type]
            target_external_message_id="\x00",
            text="\x00",
        ),
    ),
}


async def record(core: CoreParts, *events: events_pb2.InboundEvent) -> Recorded:
    request = policy_service_pb2.RecordEventsRequest(instance_id="ins_1", events=events)
    request.received_at.FromDatetime(core.clock())
    return await core.recorder.record(report_from_wire(request))


@pytest.mark.parametrize("what", POISON)
async def test_a_poisoned_event_does_not_fail_those_beside_it(core: CoreParts, what: str) -> None:
    await record(core, message("before"), POISON[what], message("after"))
    kept = {row.external_id for row in await core.rows(tables.messages)}
    assert {"x-before", "x-after"} <= kept
    assert (await core.reply(timeout=2.0)).decision.reason is ReasonCode.ALLOWED


async def test_a_chat_of_an_unknown_kind_opens_no_window(core: CoreParts) -> None:
    await record(core, POISON["unknown chat"])
    assert (await core.reply()).decision.reason is ReasonCode.WINDOW_NEVER_OPENED


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_provider_clock_a_day_off_never_lengthens_a_window(core: CoreParts, days: int) -> None:
    await core.inbound("Hello", provider_time=core.clock() + timedelta(days=days))
    [window] = await core.rows(tables.windows)
    expected = core.clock() if days > 0 else core.clock() - timedelta(days=1)
    assert abs(window.last_inbound_at - expected) < timedelta(seconds=5)
    reason = ReasonCode.ALLOWED if days > 0 else ReasonCode.WINDOW_EXPIRED
    assert (await core.reply(timeout=2.0)).decision.reason is reason


async def test_a_provider_clock_at_the_end_of_time_opens_the_window_now(core: CoreParts) -> None:
    await record(core, POISON["far future"])
    [window] = await core.rows(tables.windows)
    assert abs(window.last_inbound_at - core.clock()) < timedelta(seconds=5)


async def test_repeats_inside_a_batch_of_a_thousand_count_once(core: CoreParts) -> None:
    events = [message(f"e-{n % 250}", phone=f"+96650000{n % 250:04}") for n in range(1000)]
    first = await record(core, *events)
    assert (first.recorded, first.duplicates) == (250, 750)
    again = await record(core, *events)
    assert (again.recorded, again.duplicates) == (0, 1000)
    assert len(await core.rows(tables.messages)) == 250


async def test_many_large_deliveries_at_once_are_all_recorded(core: CoreParts) -> None:
    def delivery(number: int) -> Report:
        receipts = (
            InboundEvent(
                f"r-{number}-{n}",
                Receipt(f"ext-{number}-{n}", ReceiptKind.SENT, correlation_id=f"msg_{number}-{n}"),
            )
            for n in range(900)
        )
        return Report("ins_1", tuple(receipts), core.clock())

    done = await asyncio.gather(*(core.recorder.record(delivery(number)) for number in range(8)))
    assert [each.recorded for each in done] == [900] * 8


async def test_an_outcome_with_nul_and_an_endless_id_is_recorded(core: CoreParts) -> None:
    await core.inbound("Hello")

    def answer(attempt: OutboundMessage) -> AttemptOutcome:
        response = sender_pb.DeliverMessageResponse(
            outcome=sender_pb.OUTCOME_ACCEPTED,
            code="c\x00" * 200,
            explanation="e\x00" * 5000,
            external_message_id="i\x00" * 5000,
            receipts=[sender_pb.ImmediateReceipt(kind="no such kind")],
        )
        return outcome_from(response)

    core.senders.answer = answer
    answered = await core.reply(timeout=2.0)
    assert answered.message is not None
    assert answered.message.state is MessageState.ACCEPTED
    assert answered.message.external_message_id == "i" * 300


def test_what_an_endpoint_answered_can_be_kept() -> None:
    result = post_result_from(sender_pb.PostEventResponse(explanation="a\x00b" + "c" * 5000))
    assert result.explanation.startswith("abc")
    assert len(result.explanation) <= 1000


async def test_a_key_with_nul_fails_only_its_own_request(core: CoreParts) -> None:
    if not core.database.is_postgres:
        return
    await core.inbound("Hello")
    good = [core.reply(f"Text {n}", timeout=2.0) for n in range(5)]
    answers = await asyncio.gather(*good, core.reply(key="k\x00", body_digest=b"b"), return_exceptions=True)
    assert isinstance(answers[-1], Malformed)
    reasons = [getattr(answer, "decision", answer) for answer in answers[:-1]]
    assert [getattr(decision, "reason", decision) for decision in reasons] == [ReasonCode.ALLOWED] * 5


async def test_a_poisoned_report_behind_the_wire_fails_alone(core: CoreParts) -> None:
    if not core.database.is_postgres:
        return
    bad = Report("ins_1", (InboundEvent("bad", Message("\x00", 1), PersonRef(PHONE)),), core.clock())
    good = [core.inbound("Hello", event_key=f"g-{n}") for n in range(3)]
    answers = await asyncio.gather(*good, core.recorder.record(bad), return_exceptions=True)
    assert isinstance(answers[-1], Malformed)
    assert all(isinstance(answer, Recorded) for answer in answers[:-1])


# --- lists --------------------------------------------------------------------------------------------------


async def first_page(core: CoreParts, key: tuple[int, str]) -> int:
    async with SqlRegistryStore(core.database, lambda: None).reading() as rows:
        return len((await rows.accounts.page(page_request(0, write_token(key), (int, str)), Filter())).rows)


@pytest.mark.parametrize("moment", [2**62, -(2**62), 2**63 - 1])
async def test_a_page_token_of_no_calendar_is_the_callers_mistake(core: CoreParts, moment: int) -> None:
    with pytest.raises(Malformed):
        await first_page(core, (moment, "acc"))


async def test_a_page_token_with_nul_is_the_callers_mistake_where_it_cannot_be_compared(
    core: CoreParts,
) -> None:
    if core.database.is_postgres:
        with pytest.raises(Malformed):
            await first_page(core, (1, "a\x00"))
    else:
        assert await first_page(core, (1, "a\x00")) == 1


async def test_pages_show_every_row_once_while_rows_are_added(core: CoreParts) -> None:
    for number in range(20):
        await core.inbound("Hello", phone=f"+9665000004{number:02}")
    log = SqlLogReader(core.database)
    before = {row.message_id for row in (await log.messages(Filter(), page_request(1000, "", ()))).rows}
    seen: list[str] = []
    token = ""
    for number in range(40):
        page = await log.messages(Filter(), page_request(3, token, (int, str)))
        seen.extend(row.message_id for row in page.rows)
        await core.inbound("Hello", phone=f"+9665000005{number:02}")
        token = page.next_token
        if not token:
            break
    assert len(seen) == len(set(seen))
    assert before <= set(seen)

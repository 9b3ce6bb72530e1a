"""A reply from decision to outcome, on both databases."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from policycore.ledger import MessageState
from policycore.model import Action, EventType
from policycore.ports import AttemptOutcome, OutboundMessage, Outcome
from policycore.reasons import ReasonCode
from policycore.store import tables
from support.core_parts import PHONE, CoreParts


async def test_refused_before_the_person_has_written_and_delivered_after(core: CoreParts) -> None:
    refused = await core.reply()
    assert refused.decision.action is Action.BLOCK
    assert refused.decision.reason is ReasonCode.WINDOW_NEVER_OPENED
    assert refused.log_id > 0 and refused.message is None
    await core.inbound("Hello, where is my ticket?")
    delivered = await core.reply()
    assert delivered.decision.reason is ReasonCode.ALLOWED
    assert delivered.message is not None and delivered.message.state is MessageState.ACCEPTED
    assert delivered.log_id > refused.log_id
    assert [message.phone for message in core.senders.sent] == [PHONE]


async def test_every_decision_is_a_row_with_its_inputs(core: CoreParts) -> None:
    await core.reply()
    await core.inbound("hi")
    await core.reply()
    rows = await core.rows(tables.decisions)
    assert len(rows) == 2
    assert all('"facts"' in row.inputs_json for row in rows)
    assert PHONE not in "".join(row.inputs_json + row.findings_json for row in rows)
    assert rows[0].phone_masked == "+9665•••••000"


async def test_an_expired_window_is_named_with_the_time_it_closed(core: CoreParts) -> None:
    await core.inbound("hi", provider_time=core.clock() - timedelta(hours=25))
    refused = await core.reply()
    assert refused.decision.reason is ReasonCode.WINDOW_EXPIRED


async def test_a_refusal_by_the_instance_gives_the_quota_back(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.answer = lambda message: AttemptOutcome(Outcome.REJECTED, "evolution_401", "No.")
    answer = await core.reply()
    assert answer.message is not None and answer.message.state is MessageState.REJECTED
    assert [row.used for row in await core.rows(tables.quota_usage)] == [0, 0]


async def test_an_unknown_outcome_keeps_the_quota_and_is_visible(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.answer = lambda message: AttemptOutcome(Outcome.UNKNOWN, "timeout", "No answer.")
    answer = await core.reply()
    assert answer.message is not None and answer.message.state is MessageState.UNKNOWN
    assert [row.used for row in await core.rows(tables.quota_usage)] == [1, 1]


async def test_one_unit_of_quota_lets_one_of_two_pass(core: CoreParts) -> None:
    await core.change(tables.accounts.update().values(plan=4, daily_limit=1, monthly_limit=100))
    await core.inbound("hi")
    answers = await asyncio.gather(*(core.reply(f"Reply number {n}.") for n in range(5)))
    reasons = sorted(answer.decision.reason.name for answer in answers)
    assert reasons == ["ALLOWED"] + ["DAILY_QUOTA_SPENT"] * 4
    assert len(core.senders.sent) == 1


async def test_a_key_is_answered_again_and_never_sends_twice(core: CoreParts) -> None:
    await core.inbound("hi")
    first = await core.reply(key="k1", body_digest=b"a")
    again = await core.reply(key="k1", body_digest=b"a")
    other = await core.reply(key="k1", body_digest=b"b")
    assert again.duplicate and again.log_id == first.log_id
    assert again.message is not None and first.message is not None
    assert again.message.message_id == first.message.message_id
    assert other.decision.reason is ReasonCode.IDEMPOTENCY_KEY_REUSED
    assert len(core.senders.sent) == 1


async def test_concurrent_repeats_of_a_key_send_once_and_wait_for_the_first(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.gate = asyncio.Event()
    waiting = [asyncio.create_task(core.reply(key="k2", body_digest=b"a", timeout=3.0)) for _ in range(6)]
    await asyncio.sleep(0.1)
    core.senders.gate.set()
    answers = await asyncio.gather(*waiting)
    assert len(core.senders.sent) == 1
    states = {answer.message.state for answer in answers if answer.message}
    assert states == {MessageState.ACCEPTED}
    assert [answer.duplicate for answer in answers].count(False) == 1


async def test_a_refusal_binds_no_key(core: CoreParts) -> None:
    refused = await core.reply(key="k3", body_digest=b"a")
    assert refused.decision.action is Action.BLOCK
    await core.inbound("hi")
    assert (await core.reply(key="k3", body_digest=b"a")).decision.action is Action.SEND


async def test_a_signature_is_accepted_once(core: CoreParts) -> None:
    await core.inbound("hi")
    assert (await core.reply(claim=b"s" * 32)).decision.action is Action.SEND
    again = await core.reply(claim=b"s" * 32)
    assert again.decision.reason is ReasonCode.SIGNATURE_REPLAYED and again.log_id == 0


async def test_a_signed_repeat_with_a_key_is_answered_as_the_repeat_it_is(core: CoreParts) -> None:
    await core.inbound("hi")
    first = await core.reply(claim=b"u" * 32, key="k9", body_digest=b"a")
    again = await core.reply(claim=b"u" * 32, key="k9", body_digest=b"a")
    assert again.duplicate and again.log_id == first.log_id
    assert (await core.reply(claim=b"u" * 32)).decision.reason is ReasonCode.SIGNATURE_REPLAYED


async def test_a_503_frees_the_signature(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.up = False
    refused = await core.reply(claim=b"t" * 32)
    assert refused.decision.reason is ReasonCode.FACTS_UNREADABLE
    core.senders.up = True
    assert (await core.reply(claim=b"t" * 32)).decision.action is Action.SEND


async def test_an_answer_that_takes_long_is_pending_and_settles_later(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.gate = asyncio.Event()
    answer = await core.reply(timeout=0.1)
    assert answer.message is not None and answer.message.state is MessageState.HANDED_OUT
    core.senders.gate.set()
    await asyncio.sleep(0.1)
    view = await core.events.read_message(answer.message.message_id)
    assert view is not None and view.state is MessageState.ACCEPTED


async def test_validate_only_leaves_no_trace(core: CoreParts) -> None:
    await core.inbound("hi")
    answer = await core.reply(validate_only=True)
    assert answer.decision.action is Action.SEND and answer.log_id == 0 and answer.message is None
    assert not await core.rows(tables.decisions) and not core.senders.sent


async def test_every_reason_that_refuses_is_found(core: CoreParts) -> None:
    refused = await core.reply("", purpose_text="marketing")
    names = [finding.reason.name for finding in refused.decision.findings if finding.verdict.name != "ALLOW"]
    assert names[:3] == ["MISSING_MESSAGE_TEXT", "PURPOSE_NOT_ALLOWED", "WINDOW_NEVER_OPENED"]


async def test_a_call_event_renders_its_template_and_cools_down(core: CoreParts) -> None:
    await core.inbound("hi")
    sent = await core.reply("", event_type=EventType.MISSED_CALL, purpose_text="")
    assert sent.decision.action is Action.SEND
    assert core.senders.sent[0].text == f"Sorry we missed your call, {PHONE}."
    skipped = await core.reply("", event_type=EventType.MISSED_CALL, purpose_text="")
    assert skipped.decision.action is Action.SKIP
    assert 0 < (skipped.decision.retry_after_seconds or 0) <= 900


async def test_a_cool_down_is_given_back_when_the_instance_refuses(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.answer = lambda message: AttemptOutcome(Outcome.REJECTED, "x", "No.")
    await core.reply("", event_type=EventType.MISSED_CALL)
    assert not await core.rows(tables.cool_downs)


async def test_events_that_send_nothing_are_recorded(core: CoreParts) -> None:
    for event_type in (EventType.TEST, EventType.CALL_STARTED, EventType.QUEUE_EVENT, EventType.VOICEMAIL):
        answer = await core.reply("", event_type=event_type, phone_text="")
        assert (answer.decision.action, answer.log_id > 0) == (Action.RECORD, True)


async def test_pace_is_smoothed_and_only_a_long_wait_refused(core: CoreParts) -> None:
    await core.change(tables.instances.update().values(backend="evolution", messages_per_second=1.0, burst=1))
    await core.inbound("hi")
    first = await core.reply()
    assert first.message is not None and first.message.state is MessageState.ACCEPTED
    second = await core.reply(timeout=0.05)
    assert second.message is not None and second.message.state is MessageState.WAITING
    for _ in range(29):
        await core.reply(timeout=0.0)
    late = await core.reply(timeout=0.0)
    assert late.decision.reason is ReasonCode.INSTANCE_RATE_LIMITED
    assert (await core.rows(tables.quota_usage))[0].used == 31


async def test_a_paused_account_refuses_at_once(core: CoreParts) -> None:
    await core.inbound("hi")
    row = {
        "id": "pau_1",
        "scope": "account",
        "scope_id": "acc_1",
        "author": "admin",
        "created_at": core.clock(),
    }
    await core.change(tables.pauses.insert().values(row))
    assert (await core.reply()).decision.reason is ReasonCode.ACCOUNT_PAUSED


async def test_a_message_of_a_dead_process_is_unknown(core: CoreParts) -> None:
    await core.inbound("hi")
    core.senders.gate = asyncio.Event()
    answer = await core.reply(timeout=0.05)
    core.dispatcher._open.clear()
    await core.change(
        tables.messages.update()
        .where(tables.messages.c.outbound)
        .values(handed_out_at=core.clock() - timedelta(minutes=5))
    )
    assert await core.dispatcher.sweep() == 1
    assert answer.message is not None
    view = await core.events.read_message(answer.message.message_id)
    assert view is not None and view.state is MessageState.UNKNOWN
    core.senders.gate.set()


async def test_an_outcome_is_recorded_when_the_ledger_can_be_written_again(
    core: CoreParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await core.inbound("hi")
    real, failures = core.events.record_accepted, iter([True, True, True])

    async def record_accepted(*told: Any) -> Any:
        if next(failures, False):
            raise OSError("the database is away")
        return await real(*told)

    def after_the_decision(message: OutboundMessage) -> AttemptOutcome:
        monkeypatch.setattr(core.events, "record_accepted", record_accepted)
        return core.senders.accept(message)

    core.senders.answer = after_the_decision
    answer = await core.reply(timeout=3.0)
    assert answer.message is not None and answer.message.state is MessageState.ACCEPTED
    assert next(failures, None) is None

"""Agents are told once that a conversation window ends while they owe an answer, on both databases."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from policycore.inbound import IdentityLink, InboundEvent, Message, PersonRef
from policycore.ports import AttemptOutcome, Consequence, Outcome
from policycore.store import tables
from policycore.store.window_notices import SqlWindowNotices
from policycore.usecases.announce_windows import WindowAnnouncer
from support.core_parts import PHONE, CoreParts

LATE = timedelta(hours=23, minutes=20)
EARLY = timedelta(hours=22)


def announcer(core: CoreParts) -> WindowAnnouncer:
    """A process's own."""

    def wake() -> None:
        core.outbox_wakes += 1

    notices = SqlWindowNotices(core.database, core.config.at)
    return WindowAnnouncer(notices, core.config.current, core.random_bytes, wake)


async def told(core: CoreParts) -> list[dict[str, Any]]:
    rows = await core.rows(tables.outbox)
    return [json.loads(row.body) for row in rows if row.event_name == "conversation.window_closing"]


async def wrote(core: CoreParts, ago: timedelta = LATE, **more: Any) -> None:
    """The person wrote so long ago, and everything that is in the record is as old."""
    await core.inbound("hi", provider_time=core.clock() - ago, **more)


async def test_who_owes_an_answer_is_told_once_over_looks_replicas_and_restarts(core: CoreParts) -> None:
    await wrote(core)
    one, other = announcer(core), announcer(core)
    await asyncio.gather(one.look(), other.look(), one.look(), other.look())
    await announcer(core).look()
    (body,) = await told(core)
    (window,) = await core.rows(tables.windows)
    assert body["customer_phone"] == PHONE and body["conversation_id"] == window.conversation_id
    assert "Sara waits for an answer" in body["agent_text"] and "in 40 minutes" in body["agent_text"]
    assert core.outbox_wakes == 1


async def test_the_line_is_in_the_integrations_language(core: CoreParts) -> None:
    await core.change(update(tables.integrations).values(language="ar"))
    await wrote(core)
    await announcer(core).look()
    assert (await told(core))[0]["agent_text"].startswith("[البوابة] Sara بانتظار الرد")


async def test_nobody_is_told_before_the_time_or_after_the_end(core: CoreParts) -> None:
    await wrote(core, EARLY)
    await wrote(core, timedelta(hours=23, minutes=59, seconds=30), phone="+966500000002")
    await wrote(core, timedelta(hours=25), phone="+966500000003")
    assert await announcer(core).look() == 0


async def test_who_answered_owes_nothing(core: CoreParts) -> None:
    await wrote(core)
    await core.reply()
    await core.dispatcher.drain(1.0)
    assert await announcer(core).look() == 0


async def test_what_is_typed_on_the_phone_counts_as_an_answer(core: CoreParts) -> None:
    await wrote(core)
    await core.inbound("answered from the phone", from_business=True)
    assert await announcer(core).look() == 0


async def test_an_answer_that_did_not_leave_is_none(core: CoreParts) -> None:
    await wrote(core)
    core.senders.answer = lambda _: AttemptOutcome(Outcome.REJECTED, consequence=Consequence.NONE)
    await core.reply()
    await core.dispatcher.drain(1.0)
    assert await announcer(core).look() == 1


async def test_the_gateways_own_question_is_no_answer(core: CoreParts) -> None:
    """An ambiguous word is asked back by the gateway; the agent still owes an answer."""
    await core.inbound("remove", provider_time=core.clock() - LATE)
    await core.dispatcher.drain(1.0)
    sent = [row for row in await core.rows(tables.messages) if row.outbound]
    assert len(sent) == 1, "the word is not asked back any more; take another"
    assert await announcer(core).look() == 1


async def test_a_new_message_starts_anew(core: CoreParts) -> None:
    await wrote(core)
    await announcer(core).look()
    await wrote(core, timedelta(hours=23, minutes=10))
    await announcer(core).look()
    assert len(await told(core)) == 2
    await wrote(core, timedelta(hours=1))
    await announcer(core).look()
    assert len(await told(core)) == 2


async def test_a_message_that_was_held_back_for_hours_is_found_within_minutes(core: CoreParts) -> None:
    mine = announcer(core)
    assert await mine.look() == 0
    await wrote(core)
    assert await mine.look() == 0
    reached = mine.reached["int_1"]
    mine.reached["int_1"] = replace(reached, looked_at_all=reached.looked_at_all - timedelta(minutes=5))
    assert await mine.look() == 1


async def test_who_opted_out_is_not_announced(core: CoreParts) -> None:
    await wrote(core)
    await core.inbound("STOP", provider_time=core.clock() - LATE)
    await core.dispatcher.drain(1.0)
    assert await announcer(core).look() == 0


@pytest.mark.parametrize(
    "values",
    [
        {"window_notice_seconds": 0},
        {"enabled": False},
        {"inbound_enabled": False},
        {"destination_kind": "none"},
        {"window_notice_seconds": 600},
        {"window_notice_seconds": 86_400},
    ],
)
async def test_settings_under_which_nobody_is_told_now(core: CoreParts, values: dict[str, Any]) -> None:
    await core.change(update(tables.integrations).values(values))
    await core.config.refresh()
    await wrote(core)
    assert await announcer(core).look() == 0


async def test_a_longer_notice_is_taken_up_at_once(core: CoreParts) -> None:
    await wrote(core, EARLY)
    mine = announcer(core)
    assert await mine.look() == 0
    await core.change(update(tables.integrations).values(window_notice_seconds=3 * 3600))
    await core.config.refresh()
    assert await mine.look() == 1


async def test_a_closed_window_is_not_announced(core: CoreParts) -> None:
    await wrote(core)
    async with core.database.transaction() as connection:
        await connection.execute(update(tables.windows).values(closed_by_backend_at=core.clock()))
    assert await announcer(core).look() == 0


async def test_a_person_without_a_phone_is_named_by_their_number(core: CoreParts) -> None:
    await wrote(core, person=PersonRef(lid="120363000000001"))
    await announcer(core).look()
    (body,) = await told(core)
    assert body["customer_hidden"] and body["customer_phone"].startswith("+89")


async def test_two_who_turn_out_to_be_one_are_not_announced_again(core: CoreParts) -> None:
    lid = PersonRef(lid="120363000000002")
    await wrote(core)
    await wrote(core, person=lid)
    mine = announcer(core)
    assert await mine.look() == 2
    await core.record(InboundEvent("link", IdentityLink(PersonRef(PHONE), lid), lid))
    assert await announcer(core).look() == 0
    async with core.database.reading() as connection:
        rows = (await connection.execute(select(tables.window_notices))).all()
    assert len(rows) == 1


async def test_hundreds_at_once_are_all_told(core: CoreParts) -> None:
    events = [
        InboundEvent(
            f"k{number}",
            Message(f"m{number}", 1, "hi", contact_name="\u202eSa\nra"),
            PersonRef(f"+9665100{number:05d}"),
            provider_time=core.clock() - LATE,
        )
        for number in range(450)
    ]
    await core.record(*events)
    assert await announcer(core).look() == 450
    assert await announcer(core).look() == 0
    assert all(
        "\n" not in body["agent_text"] and "\u202e" not in body["agent_text"] for body in await told(core)
    )

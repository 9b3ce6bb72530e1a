"""Chats that arrive while a business is closed: answered once per person and closure, decided like a call event."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from policycore.business_hours import DAYS
from policycore.errors import Malformed, Overloaded
from policycore.inbound import InboundEvent, Message, PersonRef
from policycore.model import EventType
from policycore.reasons import ReasonCode
from policycore.store import tables
from policycore.store.calendars import SqlChats
from policycore.usecases.after_hours import AfterHours
from policycore.usecases.command import Decided, SubmitCommand
from support.core_parts import CoreParts, open_core

TEXT = "We are closed; we saw your message of {{call_time}}."
SARA, OMAR = "+966500000081", "+966500000082"


@pytest.fixture
async def lasting(tmp_path: Path) -> AsyncIterator[CoreParts]:
    """A core whose time the test moves."""
    parts = await open_core(f"sqlite+aiosqlite:///{tmp_path}/core.db")
    yield parts
    await parts.close()


def hours(begin: datetime, end: datetime) -> str:
    """A calendar in UTC with one opening a week."""
    span = [f"{begin:%H:%M}", f"{end:%H:%M}"]
    return json.dumps({"time_zone": "UTC", "week": {DAYS[begin.weekday()]: [span]}})


async def keep(core: CoreParts, calendar: str, *, template: bool = True) -> None:
    """Keeps a calendar and a template."""
    row = {
        "integration_id": "int_1",
        "account_id": "acc_1",
        "calendar_json": calendar,
        "updated_at": core.clock(),
    }
    await core.change(delete(tables.business_calendars))
    await core.change(insert(tables.business_calendars).values(row))
    await core.change(
        insert(tables.templates).values(
            integration_id="int_1",
            event_type=int(EventType.AFTER_HOURS),
            enabled=template,
            language="en",
            text=TEXT,
            purpose="support",
        )
    )
    await fresh(core)


async def fresh(core: CoreParts) -> None:
    """Returns when the configuration of this process is the newest."""
    async with core.database.reading() as connection:
        await core.config.at(connection)


def watch(core: CoreParts) -> AfterHours:
    return AfterHours(SqlChats(core.database), core.submitter, core.config.current, core.clock)


async def closed(core: CoreParts) -> None:
    """The business closed an hour ago."""
    await keep(core, hours(core.clock() - timedelta(hours=4), core.clock() - timedelta(hours=1)))


def sent(core: CoreParts) -> list[tuple[str, str]]:
    return [(each.phone, each.text) for each in core.senders.sent]


async def test_one_answer_for_a_person_and_closure(core: CoreParts) -> None:
    await closed(core)
    following = watch(core)
    await core.inbound("Are you there?", phone=SARA)
    await core.inbound("Hello?", phone=SARA)
    await core.inbound("Where is my order?", phone=OMAR)
    assert await following.look() == 3
    await core.senders.given(2)
    await core.inbound("Please!", phone=SARA)
    assert await following.look() == 1
    assert await following.look() == 0
    # Another process that looks at everything again sends nothing either.
    await core.change(update(tables.business_calendars).values(seen_sequence=0))
    assert await watch(core).look() == 4
    await asyncio.sleep(0)
    assert sorted(phone for phone, _ in sent(core)) == [SARA, OMAR]
    assert all(text.startswith("We are closed; we saw your message of 20") for _, text in sent(core))
    rows = [row for row in await core.rows(tables.decisions) if row.event_type == int(EventType.AFTER_HOURS)]
    assert {row.caller for row in rows} == {"business_hours"}


async def test_nothing_while_it_is_open(core: CoreParts) -> None:
    await keep(core, hours(core.clock() - timedelta(hours=1), core.clock() + timedelta(hours=2)))
    await core.inbound("Hello")
    assert await watch(core).look() == 0
    [row] = await core.rows(tables.business_calendars)
    assert row.seen_sequence > 0


@pytest.mark.parametrize("off", ["template", "call_events", "integration"])
async def test_what_is_switched_off_stays_silent_and_leaves_no_decisions(core: CoreParts, off: str) -> None:
    await closed(core)
    table = tables.integrations
    statement: Any = update(table).values(call_events_enabled=False)
    if off == "template":
        statement = update(tables.templates).values(enabled=False)
    elif off == "integration":
        statement = update(table).values(enabled=False)
    await core.change(statement)
    await fresh(core)
    await core.inbound("Hello")
    assert await watch(core).look() == 0
    assert not await core.rows(tables.decisions)


async def test_whoever_opted_out_gets_nothing(core: CoreParts) -> None:
    await closed(core)
    await core.inbound("STOP", phone=SARA)
    await core.senders.given(1)
    await watch(core).look()
    rows = [row for row in await core.rows(tables.decisions) if row.event_type == int(EventType.AFTER_HOURS)]
    assert {row.reason for row in rows} <= {int(ReasonCode.RECIPIENT_SUPPRESSED)}
    assert len(core.senders.sent) == 1


async def test_somebody_whose_phone_nobody_sees_is_answered_too(core: CoreParts) -> None:
    await closed(core)
    hidden = PersonRef(lid="123456789")
    await core.inbound("Hello", person=hidden)
    await core.inbound("Anybody there?", person=hidden)
    assert await watch(core).look() == 2
    await core.senders.given(1)
    [one] = core.senders.sent
    assert (one.lid, one.phone) == ("123456789", "")
    assert one.text.startswith("We are closed;")


async def test_somebody_who_turns_out_to_be_another_is_answered_there(core: CoreParts) -> None:
    await closed(core)
    hidden = PersonRef(lid="123456789")
    await core.inbound("Hello", phone=SARA)
    await core.inbound("Hello", person=hidden)
    await core.inbound("It is me", person=PersonRef(phone=SARA, lid="123456789"))
    assert await watch(core).look() == 3
    await core.senders.given(1)
    assert {each.phone for each in core.senders.sent} == {SARA}


async def test_the_answer_comes_from_the_number_that_was_written_to(core: CoreParts) -> None:
    await closed(core)
    second = {
        "id": "ins_2",
        "account_id": "acc_1",
        "name": "second",
        "backend": "sandbox",
        "secrets_sealed": b'{"api_token": "t", "webhook_secret": "w", "verify_token": ""}',
        "state": "open",
        "state_changed_at": core.clock(),
        "created_at": core.clock(),
    }
    await core.change(insert(tables.instances).values(second))
    link = {"integration_id": "int_1", "instance_id": "ins_2"}
    await core.change(insert(tables.integration_instances).values(link))
    await fresh(core)
    hello = Message("in-second", text="Hello", kind=1)
    earlier = core.clock() - timedelta(minutes=5)
    event = InboundEvent(event_key="second", report=hello, person=PersonRef(SARA), provider_time=earlier)
    await core.record(event, instance_id="ins_2")
    await core.inbound("And here?", phone=SARA)
    await watch(core).look()
    await core.senders.given(1)
    rows = [row for row in await core.rows(tables.decisions) if row.event_type == int(EventType.AFTER_HOURS)]
    assert {row.instance_id for row in rows} == {"ins_2"}


async def test_what_the_business_wrote_itself_is_passed_over(core: CoreParts) -> None:
    await closed(core)
    await core.inbound("Good evening", phone=SARA, from_business=True)
    assert await watch(core).look() == 0


async def test_what_came_before_closing_is_not_answered(lasting: CoreParts) -> None:
    core = lasting
    await keep(core, hours(core.clock() - timedelta(hours=1), core.clock() + timedelta(minutes=30)))
    await core.inbound("Before", phone=SARA)
    core.clock.forward(minutes=31)
    await core.inbound("After", phone=OMAR)
    assert await watch(core).look() == 1
    await core.senders.given(1)
    assert [phone for phone, _ in sent(core)] == [OMAR]


async def test_the_next_closure_is_another_one(lasting: CoreParts) -> None:
    core = lasting
    week = {day: [["08:00", "10:00"]] for day in DAYS}
    await keep(core, json.dumps({"time_zone": "UTC", "week": week}))
    following = watch(core)
    for number in (1, 2):
        core.clock.forward(days=1, hours=number)
        await core.inbound("Hello", phone=SARA)
        assert await following.look() == 1
        await core.senders.given(number)
    assert len(core.senders.sent) == 2


async def test_a_round_that_could_not_submit_goes_on_where_it_was(core: CoreParts) -> None:
    await closed(core)
    await core.inbound("One", phone=SARA)
    await core.inbound("Two", phone=OMAR)
    working, calls = core.submitter.submit, 0

    async def failing(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Overloaded
        return await working(*arguments, **more)

    core.submitter.submit = failing  # type: ignore[method-assign]
    following = watch(core)
    await following.look()
    await following.look()
    await core.senders.given(2)
    assert sorted(phone for phone, _ in sent(core)) == [SARA, OMAR]


async def test_a_calendar_that_cannot_be_read_holds_up_no_other(core: CoreParts) -> None:
    await closed(core)
    broken = {
        "integration_id": "int_0",
        "account_id": "acc_1",
        "calendar_json": "{",
        "updated_at": core.clock(),
    }
    await core.change(insert(tables.business_calendars).values(broken))
    await fresh(core)
    await core.inbound("Hello", phone=SARA)
    assert await watch(core).look() == 1


async def test_a_chat_that_can_never_be_decided_holds_up_nobody_after_it(
    core: CoreParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closed(core)
    decide = core.submitter.submit

    async def submit(command: SubmitCommand, **more: Any) -> Decided:
        if command.intent.phone_text == SARA:
            raise Malformed("phone", "cannot be kept.")
        return await decide(command, **more)

    monkeypatch.setattr(core.submitter, "submit", submit)
    await core.inbound("Are you there?", phone=SARA)
    await core.inbound("Where is my order?", phone=OMAR)
    following = watch(core)
    assert await following.look() == 1
    assert await following.look() == 0
    await core.senders.given(1)
    assert [phone for phone, _ in sent(core)] == [OMAR]

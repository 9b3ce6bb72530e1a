"""Reports of CRM templates on two policy cores with one database: a call is one event, whoever reports it and when."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from policycore.crm_identity import CrmReport, ReportedCall
from policycore.errors import PolicyCoreError
from policycore.model import Action, EventType, Intent, Source
from policycore.ports import AttemptOutcome, OutboundMessage, Outcome
from policycore.reasons import ReasonCode
from policycore.store import tables
from policycore.store.call_folds import LIFE, SqlCallFolds
from policycore.store.contact_queries import SqlContacts
from policycore.store.engine import open_database
from policycore.store.expiry import remove_expired
from policycore.usecases.command import Decided, SubmitCommand
from policycore.usecases.crm_reports import CrmReports
from policycore.usecases.look_up_contact import ContactLookUp
from support.core_parts import PHONE, CoreParts, TestClock, open_core

MISSED: dict[str, Any] = {"event_type": EventType.MISSED_CALL, "call": ReportedCall.MISSED}
INBOUND: dict[str, Any] = {"event_type": EventType.CALL_ENDED, "call": ReportedCall.INBOUND}


class LiveClock(TestClock):
    """The machine's clock, which PostgreSQL on the same machine shares."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def seconds(self) -> float:
        return self().timestamp()


@pytest.fixture(params=["sqlite", "postgresql"])
async def cores(
    request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[CoreParts]]:
    """On PostgreSQL two cores, which share nothing but the database; SQLite has one."""
    monkeypatch.setattr("support.core_parts._random", lambda: os.urandom)
    postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if postgres else f"sqlite+aiosqlite:///{tmp_path}/core.db"
    made = [await open_core(url)]
    if postgres:
        clock = LiveClock()
        made.append(CoreParts(open_database(url, clock), clock))
        await made[1].config.start()
    # Cool-downs would hide a second message.
    await made[0].change(update(tables.integrations).values(cool_down_seconds=0))
    for parts in made:
        await parts.config.refresh()
    numbers = iter(range(10**6))

    def accept(message: OutboundMessage) -> AttemptOutcome:
        return AttemptOutcome(Outcome.ACCEPTED, external_message_id=f"wamid-{next(numbers)}")

    for parts in made:
        parts.senders.answer = accept
    yield made
    for parts in made:
        await parts.close()


async def report(
    core: CoreParts, *, agent: str = "101", start: datetime | None = None, **more: Any
) -> Decided:
    """One report, decided; keyword arguments are fields of the intent, and `call`."""
    reports = CrmReports(core.submitter, SqlCallFolds(core.database), core.config.current, core.clock)
    call = more.pop("call", ReportedCall.NONE)
    intent = Intent(
        **{
            "account_id": "acc_1",
            "source": Source.THREECX,
            "caller": "edge",
            "integration_id": "int_1",
            "phone_text": PHONE,
            "agent_extension": agent,
            **more,
        }
    )
    return await reports.submit(SubmitCommand(intent), CrmReport(call, start), 5.0)


def sent(cores: list[CoreParts]) -> int:
    return sum(len(core.senders.sent) for core in cores)


async def test_agents_of_a_ring_group_report_one_missed_call_at_once(cores: list[CoreParts]) -> None:
    await cores[0].inbound("Hello")
    start = cores[0].clock()
    for number in range(8):
        began = start - timedelta(minutes=10 * (8 - number))
        answers = await asyncio.gather(
            *(
                report(
                    cores[each % len(cores)],
                    agent=f"1{each:02d}",
                    start=began + timedelta(seconds=each),
                    **MISSED,
                )
                for each in range(10)
            )
        )
        assert len({answer.log_id for answer in answers}) == 1
        assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 9
        assert sent(cores) == number + 1


async def test_reports_without_a_start_are_told_apart_by_their_receipt(cores: list[CoreParts]) -> None:
    await cores[0].inbound("Hello")
    answers = await asyncio.gather(
        *(report(core, agent=agent, **MISSED) for core in cores for agent in "abc")
    )
    assert len({answer.log_id for answer in answers}) == 1
    assert sent(cores) == 1


async def test_a_policy_core_that_starts_again_knows_the_call(cores: list[CoreParts]) -> None:
    await cores[0].inbound("Hello")
    start = cores[0].clock() - timedelta(minutes=1)
    first = await report(cores[0], start=start, **MISSED)
    again = CoreParts(cores[0].database, cores[0].clock)
    await again.config.start()
    second = await report(again, agent="102", start=start + timedelta(seconds=30), **MISSED)
    await again.config.stop()
    assert second.duplicate and second.log_id == first.log_id
    assert sent([cores[0], again]) == 1


async def test_a_call_that_was_named_and_not_decided_is_decided_under_that_name(
    cores: list[CoreParts],
) -> None:
    await cores[0].inbound("Hello")
    start = cores[0].clock() - timedelta(minutes=1)
    cores[0].senders.up = False
    nothing = await report(cores[0], start=start, **MISSED)
    assert nothing.decision.reason is ReasonCode.FACTS_UNREADABLE
    cores[0].senders.up = True
    first = await report(cores[0], agent="102", start=start, **MISSED)
    assert first.decision.action is Action.SEND and not first.duplicate
    assert (await report(cores[0], agent="103", start=start, **MISSED)).duplicate
    assert sent(cores) == 1


async def test_calls_further_apart_are_several(cores: list[CoreParts]) -> None:
    await cores[0].inbound("Hello")
    start = cores[0].clock() - timedelta(hours=1)
    for minutes in (0, 3, 6):
        answer = await report(cores[0], start=start + timedelta(minutes=minutes), **MISSED)
        assert answer.decision.action is Action.SEND and not answer.duplicate
    late = await report(cores[0], agent="102", start=start + timedelta(seconds=200), **MISSED)
    assert late.duplicate
    assert sent(cores) == 3


async def test_ended_calls_are_told_apart_by_agent_and_second(cores: list[CoreParts]) -> None:
    start = cores[0].clock() - timedelta(minutes=1)
    answers = [
        await report(cores[-1], agent=agent, start=start + timedelta(seconds=seconds), **INBOUND)
        for agent, seconds in (("101", 0), ("102", 0), ("101", 1), ("101", 0))
    ]
    assert [answer.duplicate for answer in answers] == [False, False, False, True]
    assert await cores[0].rows(tables.call_folds) == []


async def test_numbers_that_are_the_same_are_one_caller(cores: list[CoreParts]) -> None:
    start = cores[0].clock() - timedelta(minutes=1)
    written = [PHONE, "0500000000", "00966500000000", "966 50 000 0000"]
    answers = [await report(cores[0], start=start, phone_text=text, **MISSED) for text in written]
    # Nobody has written yet: each is decided afresh, under one name.
    assert {answer.decision.reason for answer in answers} == {ReasonCode.WINDOW_NEVER_OPENED}
    assert len(await cores[0].rows(tables.call_folds)) == 1
    withheld = await report(cores[0], start=start, phone_text="anonymous", **MISSED)
    assert withheld.decision.reason is ReasonCode.INVALID_PHONE


async def test_the_time_of_the_call_is_the_customers(cores: list[CoreParts]) -> None:
    template = {"text": "Sorry, you called at {{call_time}}."}
    missed = tables.templates.c.event_type == int(EventType.MISSED_CALL)
    await cores[0].change(update(tables.templates).where(missed).values(**template))
    await cores[0].config.refresh()
    await cores[0].inbound("Hello")
    start = cores[0].clock() - timedelta(minutes=30)
    await report(cores[0], start=start, **MISSED)
    local = (start + timedelta(hours=3)).strftime("%Y-%m-%d %H:%M")
    assert [message.text for message in cores[0].senders.sent] == [f"Sorry, you called at {local}."]


async def test_an_unanswered_call_sends_only_if_that_was_asked_for(cores: list[CoreParts]) -> None:
    core = cores[0]
    row: dict[str, Any] = {
        "integration_id": "int_1",
        "event_type": int(EventType.CALL_ENDED),
        "enabled": True,
    }
    row |= {"language": "en", "text": "We tried to reach you.", "purpose": "support"}
    await core.change(insert(tables.templates).values(**row))
    await core.config.refresh()
    await core.inbound("Hello")
    start = core.clock() - timedelta(minutes=5)
    call: dict[str, Any] = {"event_type": EventType.CALL_ENDED, "call": ReportedCall.NOT_ANSWERED}
    assert (await report(core, start=start, **call)).decision.action is Action.RECORD
    await core.change(update(tables.integrations).values(crm_unanswered_sends=True))
    await core.config.refresh()
    later = await report(core, start=start + timedelta(minutes=1), **call)
    assert later.decision.action is Action.SEND
    assert len(core.senders.sent) == 1


async def test_reports_are_counted_by_themselves(cores: list[CoreParts]) -> None:
    core = cores[0]
    await core.change(update(tables.integrations).values(crm_requests_per_minute=2, requests_per_minute=1))
    await core.config.refresh()
    start = core.clock() - timedelta(hours=1)
    answers = [await report(core, start=start + timedelta(minutes=n), **INBOUND) for n in range(3)]
    assert answers[2].decision.reason is ReasonCode.WEBHOOK_RATE_LIMITED and answers[2].log_id == 0
    assert (answers[2].decision.retry_after_seconds or 0) > 0
    assert (await core.reply("", event_type=EventType.TEST, limit=1)).decision.action is Action.RECORD


async def test_a_repeat_of_the_callers_own_naming_is_the_callers(cores: list[CoreParts]) -> None:
    reports = CrmReports(
        cores[0].submitter, SqlCallFolds(cores[0].database), cores[0].config.current, cores[0].clock
    )
    intent = Intent(
        "acc_1", Source.THREECX, "edge", EventType.CALL_ENDED, integration_id="int_1", phone_text=PHONE
    )
    command = SubmitCommand(intent, key_scope="int:int_1", key="mine", body_digest=b"a")
    first = await reports.submit(command, CrmReport(ReportedCall.INBOUND), 5.0)
    again = await reports.submit(command, CrmReport(ReportedCall.MISSED), 5.0)
    assert again.duplicate and again.log_id == first.log_id
    assert await cores[0].rows(tables.call_folds) == []


async def test_what_is_only_validated_leaves_no_trace(cores: list[CoreParts]) -> None:
    reports = CrmReports(
        cores[0].submitter, SqlCallFolds(cores[0].database), cores[0].config.current, cores[0].clock
    )
    intent = Intent(
        "acc_1", Source.THREECX, "edge", EventType.MISSED_CALL, integration_id="int_1", phone_text=PHONE
    )
    answer = await reports.submit(
        SubmitCommand(intent, validate_only=True), CrmReport(ReportedCall.MISSED), 5.0
    )
    assert answer.log_id == 0
    assert await cores[0].rows(tables.call_folds) == []


async def test_calls_are_forgotten_when_their_names_no_longer_bind(cores: list[CoreParts]) -> None:
    core = cores[0]
    await report(core, **MISSED)
    await remove_expired(core.database)
    assert len(await core.rows(tables.call_folds)) == 1
    past = core.clock() - LIFE
    await core.change(update(tables.call_folds).values(expires_at=past))
    await remove_expired(core.database)
    assert await core.rows(tables.call_folds) == []


async def test_a_lookup_knows_only_who_wrote(cores: list[CoreParts]) -> None:
    core = cores[0]
    look = ContactLookUp(core.submitter, SqlContacts(core.database), core.config.current)
    assert (await look.look_up("int_1", PHONE, b"", None)).contact is None
    await core.inbound("Hello", from_business=True)
    assert (await look.look_up("int_1", PHONE, b"", None)).contact is None
    await core.inbound("Hello", contact_name="Sara")
    found = (await look.look_up("int_1", "0500000000", b"", None)).contact
    assert found is not None and (found.name, found.phone) == ("Sara", PHONE)
    claim = bytes(32)
    assert (await look.look_up("int_1", PHONE, claim, None)).reason is ReasonCode.ALLOWED
    assert (await look.look_up("int_1", PHONE, claim, None)).reason is ReasonCode.SIGNATURE_REPLAYED
    await core.change(update(tables.accounts).values(threecx_module_enabled=False))
    await core.config.refresh()
    assert (await look.look_up("int_1", PHONE, b"", None)).reason is ReasonCode.MODULE_NOT_ENABLED
    with pytest.raises(PolicyCoreError):
        await look.look_up("int_of_nobody", PHONE, b"", None)

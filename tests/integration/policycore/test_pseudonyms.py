"""Persons whose phone nobody sees are shown, answered and blocked by a number that stands for them."""

import json

import pytest
from sqlalchemy import insert, select

from policycore.inbound import IdentityLink, InboundEvent, PersonRef
from policycore.model import Action, EventType, Source
from policycore.pseudonym import is_pseudonym, make_pseudonym
from policycore.reasons import ReasonCode
from policycore.store import tables
from policycore.store.persons import find_or_create_person, give_pseudonym, identities_of
from support.core_parts import CoreParts

LID = PersonRef(lid="120363111111111")
BSUID = PersonRef(bsuid="US.13491208655302741918")
PHONE = "+966500000777"


async def _shown(core: CoreParts) -> list[str]:
    rows = await core.rows(tables.outbox)
    return [json.loads(row.body)["from"] for row in sorted(rows, key=lambda row: row.created_at)]


@pytest.mark.parametrize("hidden", [LID, BSUID])
async def test_the_agent_sees_one_number_and_an_answer_to_it_finds_the_person(
    core: CoreParts, hidden: PersonRef
) -> None:
    await core.inbound("hi", person=hidden)
    await core.inbound("anyone?", person=hidden)
    first, second = await _shown(core)
    assert first == second and is_pseudonym(first)
    assert (await core.reply(phone_text=first)).decision.action is Action.SEND
    (sent,) = core.senders.sent
    assert (sent.phone, sent.lid, sent.bsuid) == ("", hidden.lid, hidden.bsuid)


async def test_two_persons_have_two_numbers(core: CoreParts) -> None:
    await core.inbound("hi", person=LID)
    await core.inbound("hi", person=BSUID)
    assert len(set(await _shown(core))) == 2


async def test_once_the_phone_is_known_both_numbers_find_the_person(core: CoreParts) -> None:
    await core.inbound("hi", person=LID)
    (shown,) = await _shown(core)
    await core.inbound("it is me", person=PersonRef(PHONE, LID.lid))
    assert (await _shown(core))[-1] == PHONE
    for number in (shown, PHONE):
        assert (await core.reply(phone_text=number)).decision.action is Action.SEND
    by_alias, by_phone = core.senders.sent
    assert by_alias.phone == by_phone.phone == PHONE
    assert by_alias.person_id == by_phone.person_id


async def test_two_who_turn_out_to_be_one_keep_both_numbers(core: CoreParts) -> None:
    await core.inbound("hi", person=LID)
    await core.inbound("hi", person=BSUID)
    before = await _shown(core)
    await core.record(InboundEvent("link", IdentityLink(LID, BSUID), LID))
    await core.inbound("again", person=BSUID)
    assert (await _shown(core))[-1] == before[0]
    for number in before:
        assert (await core.reply(phone_text=number)).decision.action is Action.SEND
    assert len({message.person_id for message in core.senders.sent}) == 1


async def test_an_opt_out_holds_for_the_person_under_every_number(core: CoreParts) -> None:
    await core.inbound("hi", person=LID)
    (shown,) = await _shown(core)
    await core.inbound("STOP", person=LID)
    assert (await core.reply(phone_text=shown)).decision.reason is ReasonCode.RECIPIENT_SUPPRESSED
    await core.record(InboundEvent("link", IdentityLink(LID, PersonRef(PHONE)), LID))
    assert (await core.reply(phone_text=PHONE)).decision.reason is ReasonCode.RECIPIENT_SUPPRESSED


async def test_a_number_that_stands_for_nobody_is_refused(core: CoreParts) -> None:
    await core.inbound("hi", person=LID)
    (shown,) = await _shown(core)
    nobody = make_pseudonym("acc_1", "per_nobody", 0)
    assert (await core.reply(phone_text=nobody)).decision.reason is ReasonCode.WINDOW_NEVER_OPENED
    wrong = shown[:-1] + str((int(shown[-1]) + 1) % 10)
    assert (await core.reply(phone_text=wrong)).decision.reason is ReasonCode.INVALID_PHONE
    assert not core.senders.sent


async def test_a_phone_that_looks_like_one_is_not_answered_as_one(core: CoreParts) -> None:
    """A back end that calls somebody +89… does not make them whom the number stands for."""
    await core.inbound("hi", person=LID)
    (shown,) = await _shown(core)
    async with core.database.transaction() as connection:
        person = await find_or_create_person(connection, "acc_1", "phone", shown, core.clock())
    await core.reply(phone_text=shown)
    (sent,) = core.senders.sent
    assert sent.person_id != person and sent.lid == LID.lid


async def test_a_number_that_is_taken_is_not_given_again(core: CoreParts) -> None:
    taken = make_pseudonym("acc_1", "per_b", 0)
    row = {
        "account_id": "acc_1",
        "kind": "alias",
        "value": taken,
        "person_id": "per_a",
        "created_at": core.clock(),
    }
    async with core.database.transaction() as connection:
        await connection.execute(insert(tables.identities), [row])
        given = await give_pseudonym(connection, "acc_1", "per_b", core.clock())
        assert given == make_pseudonym("acc_1", "per_b", 1)
        assert (await identities_of(connection, ["per_a", "per_b"])) == {
            "per_a": {"alias": taken},
            "per_b": {"alias": given},
        }


async def test_the_policy_log_masks_it_like_a_phone(core: CoreParts) -> None:
    await core.inbound("hi", person=LID)
    (shown,) = await _shown(core)
    await core.reply(phone_text=shown)
    async with core.database.reading() as connection:
        masked = (await connection.execute(select(tables.decisions.c.phone_masked))).scalars().all()
    assert masked and all("•" in each for each in masked)


async def test_customer_systems_may_answer_it_too(core: CoreParts) -> None:
    await core.inbound("hi", person=BSUID)
    (shown,) = await _shown(core)
    answer = await core.reply(phone_text=shown, source=Source.SEND_API, integration_id=None)
    assert answer.decision.action is Action.SEND
    assert core.senders.sent[0].bsuid == BSUID.bsuid


async def test_a_template_does_not_tell_the_person_the_number(core: CoreParts) -> None:
    await core.inbound("hi", person=LID)
    (shown,) = await _shown(core)
    await core.reply(phone_text=shown, event_type=EventType.MISSED_CALL, text="", purpose_text="")
    (sent,) = core.senders.sent
    assert sent.text == "Sorry we missed your call, ."


async def test_a_number_of_another_account_is_nobodys_here(core: CoreParts) -> None:
    row = {
        "account_id": "acc_2",
        "kind": "alias",
        "value": make_pseudonym("acc_2", "per_x", 0),
        "person_id": "per_x",
        "created_at": core.clock(),
    }
    async with core.database.transaction() as connection:
        await connection.execute(insert(tables.identities), [row])
    answer = await core.reply(phone_text=row["value"])
    assert answer.decision.reason is ReasonCode.WINDOW_NEVER_OPENED

"""What agents get beside chats: lines in their language, changes, and what was typed on the business's own phone."""

import json
from typing import Any

from sqlalchemy import insert, update

from policycore.inbound import ChatKind, InboundEvent, Message, MessageChange, PersonRef
from policycore.reasons import ReasonCode
from policycore.store import tables
from support.core_parts import PHONE, CoreParts

PERSON = PersonRef(PHONE)


async def _told(core: CoreParts, *, webhooks: bool = False) -> list[dict[str, Any]]:
    rows = [row for row in await core.rows(tables.outbox) if (row.webhook_id is not None) == webhooks]
    return [json.loads(row.body) for row in sorted(rows, key=lambda row: (row.created_at, row.id))]


async def test_a_message_has_a_line_in_the_integrations_language_and_its_text_stays(core: CoreParts) -> None:
    await core.change(update(tables.integrations).values(language="ar"))
    await core.inbound("Location: Shop, 24.7,46.6", kind=7)
    (body,) = await _told(core)
    assert body["message_text"] == "Location: Shop, 24.7,46.6"
    assert body["agent_text"] == "[موقع] Shop https://maps.google.com/?q=24.700000,46.600000"


async def test_an_answer_quotes_what_the_agent_wrote(core: CoreParts) -> None:
    await core.inbound("hi")
    await core.reply("Your order leaves today.")
    await core.dispatcher.drain(1.0)
    reply = Message("in-q", 1, "Great", quoted_external_message_id="ext-1")
    await core.record(InboundEvent("q", reply, PERSON, provider_time=core.clock()))
    assert [body["agent_text"] for body in await _told(core)].count(
        "[Reply to “Your order leaves today.”] Great"
    ) == 1


async def test_reactions_edits_and_deletions_reach_agents_and_open_no_window(core: CoreParts) -> None:
    for number, change in enumerate(
        (
            MessageChange(1, "in-1", "👍"),
            MessageChange(2, "in-1"),
            MessageChange(3, "in-1", "the invoice, please"),
            MessageChange(4, "in-1"),
        )
    ):
        await core.record(InboundEvent(f"c{number}", change, PERSON, provider_time=core.clock()))
    bodies = await _told(core)
    assert {body["change"] for body in bodies} == {"reaction", "reaction_removed", "edited", "deleted"}
    assert {body["event"] for body in bodies} == {"message.changed"}
    assert all(body["customer_phone"] == PHONE and body["agent_text"] for body in bodies)
    assert not await core.rows(tables.windows)
    assert (await core.reply()).decision.reason is ReasonCode.WINDOW_NEVER_OPENED


async def test_a_change_names_the_message_it_changes(core: CoreParts) -> None:
    await core.inbound("the receipt")
    (message,) = await core.rows(tables.messages)
    change = MessageChange(3, "in-1", "the invoice")
    await core.record(InboundEvent("edit", change, PERSON, provider_time=core.clock()))
    (body,) = [each for each in await _told(core) if each["event"] == "message.changed"]
    assert body["agent_text"] == "[Edited “the receipt”] the invoice"
    assert (body["message_id"], body["conversation_id"]) == (message.id, message.conversation_id)
    assert body["window_expires_at"] is not None


async def test_changes_in_groups_and_of_nobody_and_of_no_known_kind_are_not_told(core: CoreParts) -> None:
    change = MessageChange(1, "in-1", "👍")
    await core.record(
        InboundEvent("g", change, PERSON, ChatKind.GROUP),
        InboundEvent("n", change, PersonRef()),
        InboundEvent("k", MessageChange(99, "in-1"), PERSON),
    )
    assert not await _told(core)


async def test_what_is_typed_on_the_phone_is_shown_as_outside_policy(core: CoreParts) -> None:
    await core.inbound("hi")
    await core.inbound("I answer from my phone", from_business=True)
    (body,) = [each for each in await _told(core) if each["event"] == "message.sent_on_phone"]
    assert body["outside_policy"] is True and body["customer_phone"] == PHONE
    assert body["agent_text"] == "[On the business's phone] I answer from my phone"
    assert not [row for row in await core.rows(tables.decisions) if row.message_id == body["message_id"]]


async def test_a_send_of_the_gateways_own_told_back_as_typed_is_not_shown(core: CoreParts) -> None:
    await core.inbound("hi")
    await core.reply("Hello")
    await core.dispatcher.drain(1.0)
    echo = Message("ext-1", 1, "Hello", from_business=True)
    await core.record(InboundEvent("echo", echo, PERSON, provider_time=core.clock()))
    assert {body["event"] for body in await _told(core)} == {"message.received"}


async def test_customer_webhooks_get_the_three_events_they_were_promised(core: CoreParts) -> None:
    row = {
        "id": "whk_1",
        "account_id": "acc_1",
        "url": "https://example.test/hook",
        "signing_secret_sealed": b"s",
        "created_at": core.clock(),
    }
    await core.change(insert(tables.customer_webhooks).values(row))
    await core.inbound("hi")
    await core.inbound("typed", from_business=True)
    await core.record(InboundEvent("c", MessageChange(1, "in-1", "👍"), PERSON))
    assert [body["event"] for body in await _told(core, webhooks=True)] == ["message.received"]
    assert len(await _told(core)) == 3


async def test_a_redelivered_change_is_told_once(core: CoreParts) -> None:
    event = InboundEvent("same", MessageChange(1, "in-1", "👍"), PERSON)
    await core.record(event)
    await core.record(event, event)
    assert len(await _told(core)) == 1

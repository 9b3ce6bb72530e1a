"""Agents chat with WhatsApp customers in 3CX, which takes the gateway for its provider of text messages."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from peers.peer import Script
from support.desk import fresh_phone
from support.gateway import CoreClient, Gateway
from support.sms_desk import SmsDesk, open_sms_desk


@pytest.fixture(params=["sandbox", "evolution"])
async def desk(request: pytest.FixtureRequest, gateway: Gateway) -> AsyncIterator[SmsDesk]:
    """A desk on each store and each of two back ends."""
    async with (
        CoreClient(gateway.core_address, gateway.admin_token) as core,
        httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=15) as http,
    ):
        opened = await open_sms_desk(gateway, core, http, backend=request.param)
        yield opened
        await opened.close()


async def test_customer_and_agent_talk(desk: SmsDesk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone, "Where is my order? 😀")
    await desk.customer_writes(phone, "أين طلبي؟")
    chat = await desk.pbx.wait_chat(desk.number, phone, 2)
    assert [(each.who, each.text) for each in chat] == [
        ("customer", "Where is my order? 😀"),
        ("customer", "أين طلبي؟"),
    ]
    [first, *_] = [each for each in desk.pbx.accepted if each.to == phone]
    payload = first.json["data"]["payload"]
    assert payload["to"] == [{"phone_number": desk.number, "status": "webhook_delivered"}]
    assert "X-WhatsApp-Gateway-Signature".lower() not in first.headers

    typed = await desk.pbx.type(desk.number, phone, "On its way. في الطريق 🚚")
    assert typed.status == 200 and typed.ticked, typed.body
    data = typed.json["data"]
    assert data["id"] == data["payload"]["id"] and data["id"].startswith("msg_")
    assert data["to"] == [{"phone_number": phone, "status": "queued"}]
    assert await desk.customer_got(phone) == ["On its way. في الطريق 🚚"]


async def test_the_same_text_twice_is_two_messages(desk: SmsDesk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone, "Hello?")
    answers = [await desk.pbx.type(desk.number, phone, "One moment please") for _ in range(2)]
    assert [each.status for each in answers] == [200, 200]
    assert answers[0].json["data"]["id"] != answers[1].json["data"]["id"]
    assert await desk.customer_got(phone) == ["One moment please"] * 2


async def test_a_refusal_is_a_failed_tick_and_one_line_in_the_chat(desk: SmsDesk) -> None:
    phone = fresh_phone()
    for _ in range(3):
        refused = await desk.pbx.type(desk.number, phone, "Hello, are you there?")
        assert (refused.status, refused.error, refused.ticked) == (409, "conversation_window_closed", False)
    [line] = await desk.pbx.wait_chat(desk.number, phone, 1)
    assert line.who == "gateway" and "must write first" in line.text
    assert await desk.customer_got(phone) == []
    # What comes after it shows that no second line was under way.
    await desk.customer_writes(phone, "Yes?")
    chat = await desk.pbx.wait_chat(desk.number, phone, 2)
    assert [each.who for each in chat] == ["gateway", "customer"]


async def test_an_auto_answer_makes_no_loop(desk: SmsDesk) -> None:
    phone = fresh_phone()
    desk.pbx.auto_answer = "Thank you for your message. We will answer soon."
    refused = await desk.pbx.type(desk.number, phone, "Hello")
    assert refused.status == 409
    await desk.pbx.wait_chat(desk.number, phone, 1)
    await desk.pbx.auto_answered()
    # The auto answer to the line was refused as well; had that made another line, it would be answered, and so on.
    chat = desk.pbx.chat(desk.number, phone)
    assert [(each.who, each.ticked) for each in chat] == [
        ("agent", False),
        ("gateway", True),
        ("agent", False),
    ]
    desk.pbx.auto_answer = ""
    await desk.customer_writes(phone, "Hi")
    assert [each.who for each in await desk.pbx.wait_chat(desk.number, phone, 2)] == ["gateway", "customer"]


async def test_a_phone_system_that_was_down_gets_everything_once_and_in_order(desk: SmsDesk) -> None:
    phone = fresh_phone()
    page = Script(500, b"<html>oops</html>", headers={"Content-Type": "text/html"}, times=1)
    desk.pbx.script(phone, page, Script(200, b""))
    for number in range(3):
        await desk.customer_writes(phone, f"message {number}")
    chat = await desk.pbx.wait_chat(desk.number, phone, 3, seconds=60)
    assert [each.text for each in chat] == ["message 0", "message 1", "message 2"]
    assert [each.text for each in desk.pbx.received if each.to == phone] == [
        "message 0",
        *(e.text for e in chat),
    ]


async def test_whoever_hides_their_number_is_answered_and_every_shape_is_a_line(gateway: Gateway) -> None:
    async with (
        CoreClient(gateway.core_address, gateway.admin_token) as core,
        httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=15) as http,
    ):
        desk = await open_sms_desk(gateway, core, http, backend="evolution")
        try:
            hook = f"{gateway.base_url}/webhooks/whatsapp/evolution/{desk.instance.instance_id}"
            assert desk.backend is not None
            peer, hidden = desk.backend, {"remoteJid": "77112233445566@lid", "fromMe": False}
            for message_id, key, message in (
                ("M1", hidden, {"conversation": "Is it ready?"}),
                ("M2", hidden, {"audioMessage": {"ptt": True, "seconds": 5, "mimetype": "audio/ogg"}}),
                ("M3", hidden, {"reactionMessage": {"key": {**hidden, "id": "M1"}, "text": "👍"}}),
                ("M4", {**hidden, "fromMe": True}, {"conversation": "One moment"}),
            ):
                record = {"key": {**key, "id": message_id}, "pushName": "Noura", "message": message}
                assert await peer.post_event(hook, "messages.upsert", record) == 200
            async with asyncio.timeout(20):
                while len(desk.pbx.accepted) < 4:  # noqa: ASYNC110 - the stand-in tells of one chat only
                    await asyncio.sleep(0.05)
            [number] = {each.to for each in desk.pbx.accepted}
            assert number.startswith("+89")
            lines = [each.text for each in desk.pbx.chat(desk.number, number)]
            assert lines[0] == "Is it ready?"
            assert "0:05" in lines[1] and "👍" in lines[2] and "One moment" in lines[3]
            typed = await desk.pbx.type(desk.number, number, "Yes, 2*3*4 cm, and *not* 5")
            assert typed.ticked, typed.body
            [sent] = peer.accepted
            assert sent.to == "77112233445566@lid"
            assert "*not*" not in sent.text and "not" in sent.text, (
                "nothing an agent types becomes formatting"
            )
            assert "2*3*4" in sent.text
        finally:
            await desk.close()

"""What goes wrong between 3CX and its provider of text messages: each wrong thing, and what both sides see."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import policy_service_pb2, records_pb2
from peers.peer import Script
from support.desk import fresh_phone
from support.gateway import CoreClient, Gateway
from support.sms_desk import SmsDesk, open_sms_desk

GENERIC = {"success": False, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}


@pytest.fixture
async def desk(running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient) -> AsyncIterator[SmsDesk]:
    opened = await open_sms_desk(running_gateway, core, http)
    yield opened
    await opened.close()


async def in_window(desk: SmsDesk, phone: str) -> str:
    """Somebody who has written."""
    await desk.customer_writes(phone, "Hello")
    await desk.pbx.wait_chat(desk.number, phone, 1)
    return phone


def body(desk: SmsDesk, **fields: Any) -> bytes:
    return json.dumps({"from": desk.number, "to": "+966500000000", "text": "Hi"} | fields).encode()


async def test_whoever_proves_nothing_hears_the_same_401(
    desk: SmsDesk, running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient
) -> None:
    other = await open_sms_desk(running_gateway, core, http)
    answers = [
        await desk.pbx.post_raw(body(desk), Authorization=value)
        for value in (
            "",
            "Bearer ",
            "Bearer nonsense",
            f"Basic {desk.pbx.api_key}",
            f"Bearer {desk.pbx.api_key}x",
            f"Bearer {other.pbx.api_key}",
            "Bearer مفتاح",
        )
    ]
    good = desk.pbx.provider_url
    for wrong in ("int_unknown", desk.integration.integration_id.upper(), "%00", "x" * 500):
        desk.pbx.provider_url = f"{running_gateway.base_url}/integrations/3cx/sms/{wrong}"
        answers.append(await desk.pbx.post_raw(body(desk)))
    desk.pbx.provider_url = good
    assert [each.status for each in answers] == [401] * len(answers)
    assert all(each.json == GENERIC for each in answers)
    assert len({tuple(sorted(set(each.headers) - {"date"})) for each in answers}) == 1
    await other.close()


async def test_a_switched_off_integration_and_a_strange_address_are_401_too(desk: SmsDesk) -> None:
    await desk.update(["allowed_addresses"], allowed_addresses=["10.9.9.9"])
    await _answers(desk, 401)
    await desk.update(["allowed_addresses"], allowed_addresses=["127.0.0.1"])
    await _answers(desk, 400)
    await desk.update(["enabled"], enabled=False)
    await _answers(desk, 401)


async def _answers(desk: SmsDesk, status: int) -> None:
    """Waits until an unreadable body is answered so: a change holds everywhere within a second."""
    for _ in range(100):
        if (await desk.pbx.post_raw(b"no JSON")).status == status:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never answered with {status}")


async def test_two_keys_count_during_an_overlap_and_none_after_it(desk: SmsDesk) -> None:
    old = desk.pbx.api_key
    new = await desk.rotate_key()
    desk.pbx.api_key = new
    await desk.known_to_the_edge()
    assert (await desk.pbx.post_raw(b"no JSON", Authorization=f"Bearer {old}")).status == 400
    desk.pbx.api_key = await desk.rotate_key(0)
    await desk.known_to_the_edge()
    for former in (old, new):
        assert (await desk.pbx.post_raw(b"no JSON", Authorization=f"Bearer {former}")).status == 401


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"from=1&to=2&text=3", 400, "invalid_json"),
        (b'["+966"]', 400, "invalid_json"),
        (b"{" * 5_000, 400, "invalid_json"),
        (b'{"text":"' + b"x" * 262_144 + b'"}', 413, "payload_too_large"),
    ],
)
async def test_bodies_that_are_none(desk: SmsDesk, raw: bytes, status: int, code: str) -> None:
    answer = await desk.pbx.post_raw(raw)
    assert (answer.status, answer.error) == (status, code)


async def test_numbers_however_a_phone_system_writes_them(desk: SmsDesk) -> None:
    phone = await in_window(desk, fresh_phone())
    national = "0" + phone.removeprefix("+966")
    arabic = national.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    ways = [phone, f" {phone[1:]}", phone[1:], f"00{phone[1:]}", national, arabic]
    for written in ways:
        typed = await desk.pbx.type(desk.number, written, f"to {written.strip()}")
        assert typed.status == 200, (written, typed.body)
    for number in ("0110000000", " 966110000000", "966110000000", "٠١١٠٠٠٠٠٠٠"):
        assert (await desk.pbx.type(number, phone, "Hi")).status == 200, number
    assert len(await desk.customer_got(phone)) == len(ways) + 4


async def test_what_is_refused_and_what_the_agent_reads(desk: SmsDesk) -> None:
    phone = await in_window(desk, fresh_phone())
    wrong = [
        (await desk.pbx.type("+966119999999", phone, "Hi"), 422, "unknown_business_number"),
        (await desk.pbx.type("", phone, "Hi"), 422, "unknown_business_number"),
        (await desk.pbx.type("Office", phone, "Hi"), 422, "unknown_business_number"),
        (await desk.pbx.type(desk.number, phone, "x" * 10_000), 422, "message_too_long"),
        (await desk.pbx.type(desk.number, phone, " \u200b"), 422, "missing_message_text"),
        (
            await desk.pbx.type(desk.number, phone, "Hi", media_urls=["https://x"]),
            422,
            "attachments_not_supported",
        ),
        (await desk.pbx.type(desk.number, phone, "", attachments=[{}]), 422, "attachments_not_supported"),
        (await desk.pbx.type(desk.number, "12", "Hi"), 422, "invalid_phone"),
        (await desk.pbx.type(desk.number, "", "Hi"), 422, "missing_phone"),
    ]
    for typed, status, code in wrong:
        assert (typed.status, typed.error, typed.ticked) == (status, code, False), typed.body
    assert await desk.customer_got(phone) == []
    chat = await desk.pbx.wait_chat(desk.number, phone, 4)
    told = sorted(each.text for each in chat if each.who == "gateway")
    assert [text.partition(":")[2][:22] for text in told] == [
        " files and pictures ca",
        " the message has no te",
        " the message is too lo",
    ]
    # A line to a number that the phone system does not have is not taken; nobody waits behind it.
    await desk.customer_writes(phone, "Still here")
    assert (await desk.pbx.wait_chat(desk.number, phone, 5))[-1].text == "Still here"


async def test_emoji_and_4096_characters_pass_unchanged(desk: SmsDesk) -> None:
    phone = await in_window(desk, fresh_phone())
    for text in ("👩‍👩‍👧‍👦🇸🇦 مرحبا\nبكم", "ب" * 4_096):
        assert (await desk.pbx.type(desk.number, phone, text)).status == 200
    assert await desk.customer_got(phone) == ["👩‍👩‍👧‍👦🇸🇦 مرحبا\nبكم", "ب" * 4_096]


async def test_an_unknown_outcome_is_a_tick(desk: SmsDesk) -> None:
    phone = await in_window(desk, "+966581110001")
    typed = await desk.pbx.type(desk.number, phone, "Did it leave?")
    assert typed.status == 200 and typed.ticked


async def test_what_the_instance_refuses_or_loses_later_comes_back_in_the_chat(desk: SmsDesk) -> None:
    await desk.update(["language"], language="ar")
    refused, lost = await in_window(desk, "+966581110002"), await in_window(desk, "+966581110004")
    typed = await desk.pbx.type(desk.number, refused, "One")
    assert (typed.status, typed.error) == (422, "gateway_send_failed")
    assert (await desk.pbx.type(desk.number, lost, "Two")).status == 200
    for phone, text in ((refused, "One"), (lost, "Two")):
        *_, line = await desk.pbx.wait_chat(desk.number, phone, 2)
        assert line.who == "gateway" and line.text.startswith("[Gateway] لم تصل") and text in line.text


async def test_an_auto_answer_that_fails_each_time_makes_no_loop_either(desk: SmsDesk) -> None:
    """The window is open, so the auto answer to a line is sent, and fails later, as all to this number do."""
    phone = "+966581120004"
    desk.pbx.auto_answer = "We will answer soon."
    await desk.customer_writes(phone, "Hello")
    chat = await desk.pbx.wait_chat(desk.number, phone, 2)
    assert [each.who for each in chat] == ["customer", "gateway"]
    await desk.pbx.auto_answered()
    desk.pbx.auto_answer = ""
    # Both auto answers have failed by the time that the next message is there; only the first one made a line.
    await asyncio.sleep(1.0)
    await desk.customer_writes(phone, "Anybody?")
    chat = await desk.pbx.wait_chat(desk.number, phone, 3)
    assert [each.who for each in chat] == ["customer", "gateway", "customer"]
    assert await desk.customer_got(phone) == ["We will answer soon."] * 2


async def test_lines_can_be_switched_off(desk: SmsDesk) -> None:
    await desk.settings(["gateway_lines"], gateway_lines=False)
    phone = fresh_phone()
    await desk.known_to_the_edge()
    await asyncio.sleep(0.5)
    assert (await desk.pbx.type(desk.number, phone, "Hello")).status == 409
    await desk.customer_writes(phone, "Yes?")
    assert [each.who for each in await desk.pbx.wait_chat(desk.number, phone, 1)] == ["customer"]


async def test_an_opt_out_is_no_chat_and_replies_to_it_say_so(desk: SmsDesk) -> None:
    phone = await in_window(desk, fresh_phone())
    await desk.customer_writes(phone, "STOP")
    typed = await desk.pbx.type(desk.number, phone, "But…")
    assert (typed.status, typed.error) == (403, "recipient_suppressed")
    chat = await desk.pbx.wait_chat(desk.number, phone, 2)
    assert [each.who for each in chat] == ["customer", "gateway"] and "START" in chat[1].text


async def test_the_limit_is_the_connectors_own(desk: SmsDesk) -> None:
    await desk.settings(["requests_per_minute"], requests_per_minute=20)
    await desk.update(["requests_per_minute"], requests_per_minute=5)
    await asyncio.sleep(1.0)
    answers = [await desk.pbx.post_raw(b"no JSON") for _ in range(30)]
    assert [each.status for each in answers[:8]] == [400] * 8
    last = answers[-1]
    assert (last.status, last.error) == (429, "webhook_rate_limited") and int(last.headers["retry-after"]) > 0


async def test_the_log_says_where_it_came_from_and_that_the_purpose_was_not_stated(desk: SmsDesk) -> None:
    await desk.settings(["default_purpose"], default_purpose="operational")
    await asyncio.sleep(1.0)
    phone = await in_window(desk, fresh_phone())
    assert (await desk.pbx.type(desk.number, phone, "Hi")).status == 200
    listed = await desk.core.call(
        desk.core.admin.ListDecisions, records_pb2.ListDecisionsRequest(account_id=desk.account.account_id)
    )
    [newest] = [each for each in listed.records if each.integration_id][:1]
    request = policy_service_pb2.ExplainRequest(log_id=newest.decision.log_id)
    record = (await desk.core.call(desk.core.policy.Explain, request)).record
    intent = json.loads(record.inputs_json)["intent"]
    assert (intent["source"], intent["purpose_text"], intent["purpose_defaulted"]) == (
        "threecx_sms",
        "operational",
        True,
    )
    assert record.purpose == "operational"


async def test_receipts_name_the_reply_once_they_are_switched_on(desk: SmsDesk) -> None:
    phone = await in_window(desk, fresh_phone())
    assert (await desk.pbx.type(desk.number, phone, "Without")).status == 200
    await asyncio.sleep(1.5)
    assert desk.pbx.receipts == []
    await desk.settings(["receipts"], receipts=True)
    await asyncio.sleep(1.0)
    typed = await desk.pbx.type(desk.number, phone, "With")
    seen = len(desk.pbx.received)
    await desk.pbx.wait_received(seen + 2, timeout_seconds=15)
    assert [each["to"][0]["status"] for each in desk.pbx.receipts] == ["sent", "delivered"]
    assert {each["id"] for each in desk.pbx.receipts} == {typed.json["data"]["id"]}


async def test_an_answer_that_was_lost_is_asked_for_again_and_the_reply_sent_once(desk: SmsDesk) -> None:
    phone = await in_window(desk, fresh_phone())
    posting = asyncio.create_task(desk.pbx.type(desk.number, phone, "Through a restart"))
    await asyncio.sleep(0.01)
    core = desk.gateway.processes["policycore"]
    core.kill()
    core.wait()
    desk.gateway.start_part("policycore")
    typed = await posting
    assert typed.status in (200, 503), typed.body
    await desk.gateway.wait_ready()
    await desk.known_to_the_edge()
    got = await desk.customer_got(phone)
    assert got == (["Through a restart"] if typed.status == 200 else got[:1])


async def test_no_key_is_in_any_log(desk: SmsDesk) -> None:
    phone = await in_window(desk, fresh_phone())
    desk.pbx.script(phone, Script(500, b"<html>", times=1))
    await desk.customer_writes(phone, "Hello again")
    await desk.pbx.wait_chat(desk.number, phone, 2, seconds=20)
    await desk.pbx.type(desk.number, phone, "x", media=1)
    logs = "".join(desk.gateway.log(name) for name in ("edge", "policycore", "sender"))
    assert logs and desk.pbx.key not in logs and desk.pbx.api_key not in logs
    assert phone not in logs and "Hello again" not in logs

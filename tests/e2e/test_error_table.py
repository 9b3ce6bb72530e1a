"""Every row of the contract's error table, through the whole product."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import (
    accounts_pb2,
    controls_pb2,
    instances_pb2,
    integrations_pb2,
    policy_service_pb2,
)
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import CoreClient, Gateway


def _is(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json().get("error")) == (status, code), answer.text
    body: dict[str, Any] = answer.json()
    assert body["success"] is False and body["message"]
    return body


async def _update_account(desk: Desk, fields: list[str], **values: Any) -> None:
    account = accounts_pb2.Account(account_id=desk.account.account_id, **values)
    request = accounts_pb2.UpdateAccountRequest(account=account, fields=fields)
    await desk.core.call(desk.core.admin.UpdateAccount, request)


async def _update_instance(desk: Desk, fields: list[str], **values: Any) -> None:
    instance = instances_pb2.Instance(instance_id=desk.instance.instance_id, **values)
    request = instances_pb2.UpdateInstanceRequest(instance=instance, fields=fields)
    await desk.core.call(desk.core.admin.UpdateInstance, request)


async def test_payload_too_large_whatever_content_length_says(desk: Desk) -> None:
    big = json.dumps({"event_type": "test", "message_text": "x" * 300_000}).encode()
    _is(await desk.post(big), 413, "payload_too_large")

    async def chunks() -> Any:
        for _ in range(40):
            yield b"x" * 8_192

    headers = {"X-WhatsApp-Gateway-3CX-Secret": desk.secret}
    chunked = await desk.http.post(desk.url, content=chunks(), headers=headers)
    _is(chunked, 413, "payload_too_large")


async def test_webhook_rate_limited(
    running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient
) -> None:
    desk = await open_desk(running_gateway, core, http, integration={"requests_per_minute": 60})
    answers = [await desk.post(b'{"event_type":"test"}') for _ in range(62)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 2 <= len(refused) <= 5
    _is(refused[0], 429, "webhook_rate_limited")
    assert 1 <= int(refused[0].headers["Retry-After"]) <= 60
    # Malformed bodies count as well, so that nobody can go on for nothing.
    assert (await desk.post(b"{")).status_code == 429


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"event_type":"test"',
        b'\xff\xfe{"event_type":"test"}',
        '{"event_type":"test"}'.encode("utf-16"),
        b'{"to":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"event_type":"test","event_type":"outbound_message"}',
        b'{"event_type":"test","to":NaN}',
    ],
)
async def test_invalid_json(desk: Desk, raw: bytes) -> None:
    _is(await desk.post(raw), 400, "invalid_json")


async def test_module_not_enabled(desk: Desk) -> None:
    await _update_account(desk, ["threecx_module_enabled"], threecx_module_enabled=False)
    _is(await desk.reply(fresh_phone()), 403, "module_not_enabled")


@pytest.mark.parametrize("event_type", ["party", None, ""])
async def test_unsupported_event_type(desk: Desk, event_type: str | None) -> None:
    _is(await desk.reply(fresh_phone(), event_type=event_type), 422, "unsupported_event_type")


async def test_outbound_disabled(desk: Desk) -> None:
    await desk.update(["outbound_enabled"], outbound_enabled=False)
    _is(await desk.reply(fresh_phone()), 403, "outbound_disabled")


async def test_call_events_disabled(desk: Desk) -> None:
    await desk.update(["call_events_enabled"], call_events_enabled=False)
    _is(await desk.reply(fresh_phone(), event_type="missed_call"), 403, "call_events_disabled")


async def test_missing_phone(desk: Desk) -> None:
    _is(await desk.reply("", to=None), 422, "missing_phone")


@pytest.mark.parametrize("phone", ["hello", "12", "+966", "+9665000000001234567", "0500"])
async def test_invalid_phone(desk: Desk, phone: str) -> None:
    _is(await desk.reply(phone), 422, "invalid_phone")


async def test_missing_message_text(desk: Desk) -> None:
    _is(await desk.reply(fresh_phone(), message_text=None), 422, "missing_message_text")


async def test_message_too_long(desk: Desk) -> None:
    _is(await desk.reply(fresh_phone(), message_text="ا" * 4_097), 422, "message_too_long")


@pytest.mark.parametrize("purpose", ["marketing", "promotion", "cold_outreach", "unknown", "party", None])
async def test_message_purpose_not_allowed(desk: Desk, purpose: str | None) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    _is(await desk.reply(phone, message_purpose=purpose), 422, "message_purpose_not_allowed")


async def test_conversation_window_closed(desk: Desk) -> None:
    body = _is(await desk.reply(fresh_phone()), 409, "conversation_window_closed")
    assert body["details"]["action"] == "block" and isinstance(body["log_id"], int)
    assert body["details"]["findings"]


async def test_recipient_suppressed_by_the_persons_own_word(desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone, "STOP")
    _is(await desk.reply(phone), 403, "recipient_suppressed")
    texts = [message["text"] for message in await desk.phone_shows(phone)]
    assert len(texts) == 2 and "START" in texts[1]
    await desk.customer_writes(phone, "START")
    assert (await desk.reply(phone)).json()["status"] == "sent"


@pytest.mark.parametrize("scope", ["PLATFORM", "ACCOUNT", "INSTANCE", "INTEGRATION"])
async def test_sending_paused(desk: Desk, scope: str) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    ids = {
        "PLATFORM": "",
        "ACCOUNT": desk.account.account_id,
        "INSTANCE": desk.instance.instance_id,
        "INTEGRATION": desk.integration.integration_id,
    }
    request = controls_pb2.CreatePauseRequest(
        scope=controls_pb2.PauseScope.Value(f"PAUSE_SCOPE_{scope}"), scope_id=ids[scope], reason="a test"
    )
    created = await desk.core.call(desk.core.admin.CreatePause, request)
    try:
        assert created.senders_confirmed == 1
        _is(await desk.reply(phone), 403, "sending_paused")
    finally:
        lift = controls_pb2.LiftPauseRequest(pause_id=created.pause.pause_id)
        await desk.core.call(desk.core.admin.LiftPause, lift)
    assert (await desk.reply(phone)).json()["status"] == "sent"


async def test_sending_throttled(desk: Desk) -> None:
    await _update_instance(desk, ["messages_per_second", "burst"], messages_per_second=0.01, burst=1)
    phone = fresh_phone()
    await desk.customer_writes(phone)
    assert (await desk.reply(phone)).json()["status"] == "sent"
    refused = await desk.reply(phone)
    _is(refused, 429, "sending_throttled")
    assert 1 <= int(refused.headers["Retry-After"]) <= 100


async def test_quota_exceeded(running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient) -> None:
    limits = {"plan": accounts_pb2.PLAN_CUSTOM, "daily_limit": 1, "monthly_limit": 10}
    desk = await open_desk(running_gateway, core, http, account=limits)
    phone = fresh_phone()
    await desk.customer_writes(phone)
    assert (await desk.reply(phone)).json()["status"] == "sent"
    refused = await desk.reply(phone)
    details = _is(refused, 429, "quota_exceeded")["details"]
    assert (details["limit"], details["used"]) == (1, 1) and details["resets_at"]
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400


async def test_policy_violation(desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    text = "MEGA SALE! 50% OFF everything, use code SAVE50, buy now at bit.ly/x1 — today only! Reply STOP to opt out"
    body = _is(await desk.reply(phone, message_text=text), 403, "policy_violation")
    assert body["details"]["risk_score"] >= 80


async def test_instance_not_connected(desk: Desk) -> None:
    instance = await desk.core.instance(
        desk.account.account_id, "evolution", base_url="http://127.0.0.1:9", external_name="x", api_token="t"
    )
    await desk.update(
        ["instance_ids", "default_instance_id"],
        instance_ids=[instance.instance_id],
        default_instance_id=instance.instance_id,
    )
    refused = await desk.reply(fresh_phone())
    names = [finding["reason"] for finding in refused.json()["details"]["findings"]]
    assert refused.status_code == 409 and any("instance_not_connected" in name for name in names)


async def test_gateway_send_failed_gives_the_quota_back(desk: Desk) -> None:
    phone = "+966550000002"
    await desk.customer_writes(phone)
    _is(await desk.reply(phone), 502, "gateway_send_failed")


async def test_an_unknown_outcome_is_pending(desk: Desk) -> None:
    phone = "+966550000001"
    await desk.customer_writes(phone)
    answer = await desk.reply(phone)
    assert answer.status_code == 202 and answer.json()["status"] == "pending"


async def test_a_message_that_will_not_arrive_shows_as_failed(desk: Desk) -> None:
    phone = "+966550000004"
    await desk.customer_writes(phone)
    assert (await desk.reply(phone)).json()["status"] == "sent"
    for _ in range(50):
        shown = [message for message in await desk.phone_shows(phone) if message["direction"] == "outbound"]
        if shown and shown[-1]["state"] == "failed":
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no failure was shown")


async def test_idempotency_key_reused(desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    first = await desk.reply(phone, event_id="e1")
    again = await desk.reply(phone, event_id="e1")
    assert again.json() == first.json() | {"duplicate": True}
    _is(await desk.reply(phone, event_id="e1", message_text="other"), 409, "idempotency_key_reused")
    assert len([m for m in await desk.phone_shows(phone) if m["direction"] == "outbound"]) == 1


@pytest.mark.parametrize(
    "phone", ["0551234567", "00966551234567", "+966 55 123 4567", "٠٥٥١٢٣٤٥٦٧", "966551234567", 966551234567]
)
async def test_phone_forms_reach_one_person(desk: Desk, phone: Any) -> None:
    await desk.customer_writes("+966551234567")
    assert (await desk.reply(phone)).json().get("status") == "sent"


async def test_a_skipped_call_event_says_when(desk: Desk) -> None:
    request = integrations_pb2.UpdateTemplateRequest(
        template=integrations_pb2.Template(
            integration_id=desk.integration.integration_id,
            event_type=policy_service_pb2.EVENT_TYPE_MISSED_CALL,
            enabled=True,
            language="ar",
            text="فاتتنا مكالمتك {{customer_phone}}",
            purpose="support",
        )
    )
    await desk.core.call(desk.core.admin.UpdateTemplate, request)
    await desk.update(["call_events_enabled"], call_events_enabled=True)
    phone = fresh_phone()
    await desk.customer_writes(phone)
    call = {
        "event_type": "missed_call",
        "to": None,
        "message_text": None,
        "message_purpose": None,
        "caller": phone,
    }
    assert (await desk.reply(phone, **call)).json()["status"] == "sent"
    skipped = await desk.reply(phone, **call)
    assert skipped.status_code == 200 and skipped.json()["status"] == "skipped"
    assert 0 < skipped.json()["details"]["retry_after"] <= 900
    assert [m["text"] for m in await desk.phone_shows(phone)][-1] == f"فاتتنا مكالمتك {phone}"

"""Customers' systems, administrators and the sandbox under odd input, on each kind of store."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import accounts_pb2
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import Gateway

LONG = "x" * 5_000
ODD_PATHS = (
    "%00",
    "%ff",
    "%F0%9F%98%80",
    "..%2f..%2fetc",
    "'%20OR%201=1--",
    LONG,
    "%E2%80%AE",
    "msg_%00",
    "%ED%A0%80",
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1.5, 10**400, "", " ", "\x00", "a\x00b", "\ud800", "\u202e", LONG, "😀" * 5_000),
    *([], [[]], {}, {"a": 1}),
)


@pytest.fixture
async def desk(gateway: Gateway) -> AsyncIterator[Desk]:
    """A support desk on each kind of store in turn."""
    async with (
        gateway.channel(gateway.admin_token) as core,
        httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=20) as http,
    ):
        yield await open_desk(gateway, core, http)


async def api_key(desk: Desk, **fields: Any) -> dict[str, str]:
    """The header of a new API key that the edge knows."""
    request = accounts_pb2.CreateApiKeyRequest(account_id=desk.account.account_id, name="api", **fields)
    key = (await desk.core.call(desk.core.admin.CreateApiKey, request)).key
    header = {"Authorization": f"Bearer {key}"}
    for _ in range(100):
        if (await desk.http.get("/api/messages/msg_1", headers=header)).status_code == 404:
            return header
        await asyncio.sleep(0.05)
    raise AssertionError("the edge never learned of the key")


async def test_odd_ids_are_not_found(desk: Desk) -> None:
    key = await api_key(desk)
    admin = {"Authorization": f"Bearer {desk.gateway.admin_token}"}
    for tail in ODD_PATHS:
        message = await desk.http.get(f"/api/messages/{tail}", headers=key)
        assert message.status_code == 404, (tail, message.text)
        decision = await desk.http.get(f"/admin/decisions/{tail}", headers=admin)
        assert decision.status_code == 404, (tail, decision.text)
        phone = await desk.http.get(f"/sandbox/{tail}/messages")
        assert phone.status_code == 404, (tail, phone.text)
        hook = await desk.http.post(f"/webhooks/whatsapp/waha/{tail}", content=b"{}")
        assert hook.status_code in {401, 404}, (tail, hook.text)
    for number in ("0", "-1", "9" * 18, "9" * 19, "9" * 400, "1e3", "0x1", "٣"):
        assert (await desk.http.get(f"/admin/decisions/{number}", headers=admin)).status_code == 404, number


@pytest.mark.parametrize("field", ["instance_id", "phone", "message", "message_purpose"])
async def test_any_value_in_any_field_of_the_send_api(desk: Desk, field: str) -> None:
    key = await api_key(desk)
    body = {
        "instance_id": desk.instance.instance_id,
        "phone": fresh_phone(),
        "message": "Your order has left.",
        "message_purpose": "transactional",
    }
    for value in ODD_VALUES:
        raw = json.dumps({**body, field: value}).encode()
        answer = await desk.http.post("/api/send-message", content=raw, headers=key)
        assert answer.status_code in {400, 404, 409, 422}, (value, answer.text)
        assert answer.json()["success"] is False


async def test_any_value_of_a_sandbox_person(desk: Desk) -> None:
    address = f"/sandbox/{desk.instance.instance_id}/messages"
    for value in ODD_VALUES:
        for body in ({"from": value, "text": "hello"}, {"from": fresh_phone(), "text": value}):
            answer = await desk.http.post(address, content=json.dumps(body).encode())
            assert answer.status_code in {200, 400, 413, 422}, (value, answer.text)
    for person in ("%00", "%ff", "x" * 2_000, "%2B1", "%F0%9F%98%80", "+966500000000%00"):
        answer = await desk.http.get(f"{address}?person={person}")
        assert answer.status_code in {200, 422}, (person, answer.text)


async def test_odd_fields_of_the_webhook_reach_the_store_or_are_refused(desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    names = (
        "conversation_id",
        "agent_extension",
        "queue",
        "call_time",
        "event_id",
        "message_purpose",
        "event_type",
    )
    for name in names:
        for value in ODD_VALUES:
            answer = await desk.reply(phone, **{name: value})
            assert answer.status_code in {200, 202, 400, 403, 409, 422, 429}, (name, value, answer.text)


async def test_a_key_of_another_account_reaches_nothing(desk: Desk) -> None:
    other = await open_desk(desk.gateway, desk.core, desk.http)
    phone = fresh_phone()
    await other.customer_writes(phone)
    sent = (await other.reply(phone)).json()["message_id"]
    key = await api_key(desk)
    assert (await desk.http.get(f"/api/messages/{sent}", headers=key)).status_code == 404
    body = {
        "instance_id": other.instance.instance_id,
        "phone": phone,
        "message": "Hi",
        "message_purpose": "support",
    }
    answer = await desk.http.post("/api/send-message", json=body, headers=key)
    assert (answer.status_code, answer.json()["error"]) == (404, "invalid_instance")
    # The same id posted to the 3CX webhook of one's own: a conversation of others is not entered.
    mine = fresh_phone()
    conversation = (await other.phone_shows(phone))[0]["conversation_id"]
    crossed = await desk.reply(mine, conversation_id=conversation)
    assert (crossed.status_code, crossed.json()["error"]) == (409, "conversation_window_closed")


async def test_a_service_token_without_the_right_sees_nothing(desk: Desk) -> None:
    other = await open_desk(desk.gateway, desk.core, desk.http)
    made: dict[str, str] = {}
    for name, rights, accounts in (
        ("submits", ["submit"], ["*"]),
        ("reads one account", ["read"], [other.account.account_id]),
    ):
        request = accounts_pb2.CreateServiceTokenRequest(name=name, rights=rights, account_ids=accounts)
        made[name] = (await desk.core.call(desk.core.admin.CreateServiceToken, request)).token
    log_id = (await desk.post(b'{"event_type":"test"}')).json()["log_id"]

    async def get(path: str, name: str) -> tuple[int, Any]:
        answer = await desk.http.get(path, headers={"Authorization": f"Bearer {made[name]}"})
        return answer.status_code, answer.json()

    assert (await get("/admin/decisions", "submits"))[0] == 403
    assert (await get(f"/admin/decisions/{log_id}", "submits"))[0] == 403
    assert (await get(f"/admin/decisions/{log_id}", "reads one account"))[0] in {403, 404}
    status, listed = await get("/admin/decisions?limit=1000", "reads one account")
    assert {row["account_id"] for row in listed.get("decisions", [])} <= {other.account.account_id}
    assert status in {200, 403}

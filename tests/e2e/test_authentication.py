"""Who may post to the 3CX webhook, through the whole product: one answer to everyone else."""

import asyncio
import json
import time

import httpx

from hubgate.policy.v1 import accounts_pb2, integrations_pb2, records_pb2
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import CoreClient, Gateway

GENERIC = b'{"success": false, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}'
TEST = b'{"event_type":"test"}'


async def _generic(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.content) == (401, GENERIC)


async def test_every_failure_looks_the_same(
    desk: Desk, running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient
) -> None:
    disabled = await open_desk(running_gateway, core, http)
    await disabled.update(["enabled"], enabled=False)
    elsewhere = await open_desk(running_gateway, core, http)
    await elsewhere.update(["allowed_addresses"], allowed_addresses=["203.0.113.0/24", "2001:db8::/32"])
    await asyncio.sleep(1.0)
    now = time.time()
    answers = [
        await http.post("/integrations/3cx/webhook/int_nobody", content=TEST),
        await http.post(desk.url, content=TEST),
        await desk.post(TEST, X_WhatsApp_Gateway_3CX_Secret="wrong"),
        await disabled.post(TEST),
        await elsewhere.post(TEST),
        await desk.post(TEST, **desk.signed(TEST, at=now - 400)),
        await desk.post(TEST, **desk.signed(TEST, at=now + 86_400)),
        await desk.post(TEST, **desk.signed(b"other")),
        await desk.post(TEST, **{**desk.signed(TEST), "X_WhatsApp_Gateway_Timestamp": "soon"}),
    ]
    signed = desk.signed(TEST)
    assert (await desk.post(TEST, **signed)).status_code == 200
    answers.append(await desk.post(TEST, **signed))
    for answer in answers:
        await _generic(answer)
    headers = {tuple(sorted(k for k in answer.headers if k != "date")) for answer in answers}
    assert len(headers) == 1


async def test_hmac_mode_requires_a_signature(desk: Desk) -> None:
    await desk.update(["auth_mode"], auth_mode=integrations_pb2.AUTH_MODE_SECRET_HMAC)
    for _ in range(100):
        if (await desk.post(TEST)).status_code == 401:
            break
        await asyncio.sleep(0.05)
    await _generic(await desk.post(TEST))
    assert (await desk.post(TEST, **desk.signed(TEST))).status_code == 200


async def test_a_signed_repeat_with_a_key_is_answered_as_the_repeat_it_is(desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    raw = json.dumps(
        {
            "event_type": "outbound_message",
            "to": phone,
            "message_text": "Your ticket is closed.",
            "message_purpose": "support",
        }
    ).encode()
    headers = {**desk.signed(raw), "Idempotency_Key": "once"}
    first, again = await desk.post(raw, **headers), await desk.post(raw, **headers)
    assert first.status_code == again.status_code == 200
    assert again.json()["duplicate"] is True and again.json()["message_id"] == first.json()["message_id"]
    keyless = {name: value for name, value in headers.items() if name != "Idempotency_Key"}
    await _generic(await desk.post(raw, **keyless))


async def test_rotation_overlaps_and_ends(desk: Desk) -> None:
    old = desk.secret
    request = integrations_pb2.RotateSecretRequest(integration_id=desk.integration.integration_id)
    request.overlap.FromSeconds(1)
    rotated = await desk.core.call(desk.core.admin.RotateSecret, request)
    desk.secret = rotated.secret
    await desk.known_to_the_edge()
    assert (await desk.post(TEST)).status_code == 200
    await asyncio.sleep(1.2)
    await _generic(await desk.post(TEST, X_WhatsApp_Gateway_3CX_Secret=old))
    assert (await desk.post(TEST)).status_code == 200


async def test_the_real_reason_is_in_the_security_log(desk: Desk) -> None:
    await desk.post(TEST, X_WhatsApp_Gateway_3CX_Secret="wrong")
    request = records_pb2.ListRefusalsRequest(target=desk.integration.integration_id)
    for _ in range(60):
        found = (await desk.core.call(desk.core.admin.ListRefusals, request)).refusals
        if found and any(each.reason == "wrong_secret" for each in found):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the refusal was not logged")


async def test_send_api_keys(desk: Desk) -> None:
    create = accounts_pb2.CreateApiKeyRequest(account_id=desk.account.account_id, name="crm")
    created = await desk.core.call(desk.core.admin.CreateApiKey, create)
    assert created.key.startswith("wg_live_")
    phone = fresh_phone()
    await desk.customer_writes(phone)
    body = {
        "instance_id": "sandbox",
        "phone": phone[1:],
        "message": "Your order is ready.",
        "message_purpose": "transactional",
    }

    async def send(key: str) -> httpx.Response:
        return await desk.http.post(
            "/api/send-message", json=body, headers={"Authorization": f"Bearer {key}"}
        )

    answer = await send(created.key)
    for _ in range(40):
        if answer.status_code != 401:
            break
        await asyncio.sleep(0.05)
        answer = await send(created.key)
    assert answer.status_code == 200, answer.text
    found = await desk.http.get(
        f"/api/messages/{answer.json()['message_id']}", headers={"Authorization": f"Bearer {created.key}"}
    )
    assert found.status_code == 200 and found.json()["message_id"] == answer.json()["message_id"]
    revoke = accounts_pb2.RevokeApiKeyRequest(api_key_id=created.api_key.api_key_id)
    await desk.core.call(desk.core.admin.RevokeApiKey, revoke)
    await asyncio.sleep(1.0)
    refused = await send(created.key)
    assert (refused.status_code, refused.json()["error"]) == (401, "revoked_api_key")
    unknown = await send("wg_live_nobody")
    assert (unknown.status_code, unknown.json()["error"]) == (401, "invalid_api_key")

"""Secrets that the store keeps are rotated while traffic flows: nothing is refused, and the old ones end."""

import asyncio
import hashlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest

from hubgate.policy.v1 import accounts_pb2, instances_pb2, integrations_pb2
from hubgate.policy.v1 import policy_service_pb2 as pb
from peers.evolution import EvolutionPeer
from peers.peer import Received
from peers.threecx import ThreecxPeer
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import CoreClient, Gateway
from support.traffic import flowing

HOURS = 3600


@pytest.fixture
async def evolution() -> AsyncIterator[EvolutionPeer]:
    """An instance whose key and webhook token the test changes."""
    peer = await EvolutionPeer.start(webhook_headers={"X-Webhook-Token": "hook-token-of-before"})
    yield peer
    await peer.stop()


async def _instance_desk(desk: Desk, peer: EvolutionPeer) -> tuple[Desk, str]:
    """The same desk over an Evolution instance, and where that posts its webhooks."""
    fields = {
        "base_url": peer.base_url,
        "external_name": peer.instance,
        "api_token": peer.api_key,
        "webhook_secret": "hook-token-of-before",
        "messages_per_second": 0.0,
        "name": f"evolution-{uuid.uuid4().hex[:6]}",
    }
    instance = await desk.core.instance(desk.account.account_id, "evolution", **fields)
    await desk.core.probe(instance.instance_id)
    integration, secret, _ = await desk.core.integration(desk.account.account_id, [instance.instance_id])
    found = Desk(desk.gateway, desk.core, desk.http, desk.account, instance, integration, secret)
    await found.known_to_the_edge()
    return found, f"{desk.gateway.base_url}{instance.webhook_path}"


async def _large_desk(gateway: Gateway, core: CoreClient, http: httpx.AsyncClient, **fields: Any) -> Desk:
    plan = {"plan": accounts_pb2.PLAN_CUSTOM, "daily_limit": 1_000_000, "monthly_limit": 1_000_000}
    return await open_desk(gateway, core, http, account=plan, **fields)


async def _until(check: Any) -> None:
    async with asyncio.timeout(10):
        while not await check():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.05)


async def test_a_webhook_secret_is_rotated(
    running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient
) -> None:
    desk = await _large_desk(running_gateway, core, http)
    phones = [fresh_phone() for _ in range(4)]
    for phone in phones:
        await desk.customer_writes(phone)
    held = {"secret": desk.secret}

    async def ask(number: int) -> str:
        headers = {"X-WhatsApp-Gateway-3CX-Secret": held["secret"]}
        body = {"event_type": "outbound_message", "to": phones[number % 4], "message_purpose": "support"}
        answer = await http.post(desk.url, json={**body, "message_text": f"Answer {number}"}, headers=headers)
        return str(answer.json().get("status") or answer.json()["error"])

    async def rotate(seconds: int) -> str:
        request = integrations_pb2.RotateSecretRequest(integration_id=desk.integration.integration_id)
        request.overlap.FromSeconds(seconds)
        return str((await core.call(core.admin.RotateSecret, request)).secret)

    async with flowing(ask) as traffic:
        await traffic.more(10)
        fresh = await rotate(HOURS)
        await traffic.more(10)

        async def known() -> bool:
            answer = await http.post(
                desk.url, json={"event_type": "test"}, headers={"X-WhatsApp-Gateway-3CX-Secret": fresh}
            )
            return answer.status_code == 200

        await _until(known)
        held["secret"] = fresh
        await traffic.more(10)
    assert set(traffic.answers) <= {"sent", "pending"}
    assert (await desk.post(b'{"event_type":"test"}')).status_code == 200
    await rotate(0)

    async def ended() -> bool:
        return (await desk.post(b'{"event_type":"test"}')).status_code == 401

    await _until(ended)


async def test_an_instances_key_and_webhook_token_are_rotated(desk: Desk, evolution: EvolutionPeer) -> None:
    desk, hook = await _instance_desk(desk, evolution)
    plan = accounts_pb2.UpdateAccountRequest(fields=["plan", "daily_limit", "monthly_limit"])
    plan.account.account_id, plan.account.plan = desk.account.account_id, accounts_pb2.PLAN_CUSTOM
    plan.account.daily_limit = plan.account.monthly_limit = 1_000_000
    await desk.core.call(desk.core.admin.UpdateAccount, plan)
    phones = [fresh_phone() for _ in range(4)]

    async def ask(number: int) -> str:
        phone = phones[number % 4]
        if number % 8 < 4:
            return f"inbound {await evolution.post_message(hook, phone, f'Question {number}')}"
        answer = (await desk.reply(phone, message_text=f"Answer {number}")).json()
        return str(answer.get("status") or answer["error"])

    async def update(overlap: int, **secrets: Any) -> None:
        instance = instances_pb2.Instance(instance_id=desk.instance.instance_id, **secrets)
        request = instances_pb2.UpdateInstanceRequest(instance=instance, fields=sorted(secrets))
        request.secret_overlap.FromSeconds(overlap)
        await desk.core.call(desk.core.admin.UpdateInstance, request)

    for phone in phones:
        assert await evolution.post_message(hook, phone, "Hello") == 200
    async with flowing(ask) as traffic:
        await traffic.more(16)
        await update(HOURS, api_token="key-of-now", webhook_secret="hook-token-of-now")
        # The back end still has the old ones: both sides never change at the same moment.
        await traffic.more(24)
        await asyncio.sleep(1.0)
        await traffic.more(16)
        evolution.api_key = "key-of-now"
        evolution.webhook_headers = {"X-Webhook-Token": "hook-token-of-now"}
        await traffic.more(24)
    assert set(traffic.answers) <= {"sent", "pending", "inbound 200"}, traffic.answers
    evolution.webhook_headers = {"X-Webhook-Token": "hook-token-of-before"}
    assert await evolution.post_message(hook, phones[0], "Late") == 200
    await update(0, webhook_secret="hook-token-of-next")

    async def ended() -> bool:
        return await evolution.post_message(hook, phones[0], "Too late") == 401

    await _until(ended)


def _signed_by(event: Received, secrets: dict[str, str]) -> str:
    stamp = event.headers["x-whatsapp-gateway-timestamp"]
    for name, secret in secrets.items():
        mac = hmac.new(secret.encode(), f"{stamp}.".encode() + event.body, hashlib.sha256).hexdigest()
        if event.headers["x-whatsapp-gateway-signature"] == f"sha256={mac}":
            return name
    return "nobody"


async def test_a_signing_secret_is_rotated(
    running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient
) -> None:
    threecx = await ThreecxPeer.start()
    try:
        desk = await open_desk(running_gateway, core, http)
        integration, _, old = await core.integration(
            desk.account.account_id,
            [desk.instance.instance_id],
            name="Signed",
            destination_kind=integrations_pb2.DESTINATION_KIND_THREECX_JSON,
            destination_url=f"{threecx.base_url}/events",
        )

        async def ask(number: int) -> str:
            await desk.customer_writes(fresh_phone(), f"Hello {number}")
            return "written"

        async with flowing(ask, tasks=2) as traffic:
            await traffic.more(5)
            request = integrations_pb2.RotateSigningSecretRequest(integration_id=integration.integration_id)
            request.begins_after.FromSeconds(2)
            rotation = await core.call(core.admin.RotateSigningSecret, request)
            switch = rotation.signs_from.ToNanoseconds() / 1e9
            await asyncio.sleep(max(0.0, switch - time.time()))
            await traffic.more(10)
        async with asyncio.timeout(10):
            while len(threecx.received) < traffic.count:  # noqa: ASYNC110 - the stand-in signals nothing
                await asyncio.sleep(0.05)
        names = [_signed_by(each, {"old": old, "new": rotation.signing_secret}) for each in threecx.received]
        assert traffic.answers == {"written": traffic.count}
        assert set(names) == {"old", "new"}
        assert names[0] == "old" and names[-1] == "new"
        again = await core.call(core.admin.RotateSigningSecret, request)
        assert again.signing_secret not in {old, rotation.signing_secret}
    finally:
        await threecx.stop()


async def test_api_keys_and_service_tokens_are_rotated(desk: Desk) -> None:
    core, http = desk.core, desk.http
    phone = fresh_phone()
    await desk.customer_writes(phone)

    async def key() -> Any:
        request = accounts_pb2.CreateApiKeyRequest(account_id=desk.account.account_id, name="crm", test=True)
        return await core.call(core.admin.CreateApiKey, request)

    async def send(api_key: str, number: int) -> int:
        body = {
            "instance_id": desk.instance.instance_id,
            "phone": phone,
            "message": f"Answer {number}",
            "message_purpose": "support",
        }
        headers = {"Authorization": f"Bearer {api_key}"}
        return (await http.post("/api/send-message", json=body, headers=headers)).status_code

    first, second = await key(), await key()
    held = {"key": first.key}

    async def known() -> bool:
        return await send(second.key, 0) == 200 and await send(first.key, 0) == 200

    await _until(known)
    async with flowing(
        lambda number: _word(send(held["key"], number)), tasks=2, pause_seconds=0.1
    ) as traffic:
        await traffic.more(4)
        held["key"] = second.key
        await traffic.more(4)
        revoke = accounts_pb2.RevokeApiKeyRequest(api_key_id=first.api_key.api_key_id)
        await core.call(core.admin.RevokeApiKey, revoke)
        await traffic.more(4)
    assert set(traffic.answers) <= {"200", "202"}

    async def ended() -> bool:
        return await send(first.key, 1) == 401

    await _until(ended)
    await _rotate_service_token(desk)


async def _word(answer: Any) -> str:
    return str(await answer)


async def _rotate_service_token(desk: Desk) -> None:
    core, account = desk.core, desk.account.account_id

    async def make() -> Any:
        request = accounts_pb2.CreateServiceTokenRequest(
            name=f"billing-{uuid.uuid4().hex[:8]}", rights=["read"], account_ids=[account]
        )
        return await core.call(core.admin.CreateServiceToken, request)

    async def asked(token: str) -> str:
        async with CoreClient(desk.gateway.core_address, token) as service:
            try:
                await service.call(
                    service.policy.GetMessage, pb.GetMessageRequest(message_id="msg_x", account_id=account)
                )
            except grpc.aio.AioRpcError as error:
                return error.code().name
        return "OK"

    first, second = await make(), await make()

    async def both() -> bool:
        return [await asked(first.token), await asked(second.token)] == ["NOT_FOUND", "NOT_FOUND"]

    await _until(both)
    revoke = accounts_pb2.RevokeServiceTokenRequest(token_id=first.service_token.token_id)
    await core.call(core.admin.RevokeServiceToken, revoke)

    async def ended() -> bool:
        return await asked(first.token) == "UNAUTHENTICATED"

    await _until(ended)
    assert await asked(second.token) == "NOT_FOUND"

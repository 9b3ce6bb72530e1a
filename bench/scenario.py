"""Prepares a running gateway for load: raises limits by configuration, switches no check off, opens windows."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator

import httpx

from bench.requests import Door
from hubgate.policy.v1 import accounts_pb2, controls_pb2, integrations_pb2
from support.gateway import CoreClient, Gateway

INSTANCES = 10
INTEGRATIONS = 20
PERSONS = 2_000
_WRITERS = 32
_FEED_SECONDS = 1.2
_WEBHOOK_TOKEN = "bench-webhook-token"


async def prepare(gateway: Gateway, instance_url: str) -> list[Door]:
    """One account with 10 instances, 20 signed integrations and 2,000 persons who have just written."""
    async with CoreClient(gateway.core_address, gateway.admin_token) as core:
        account = await core.account(
            plan=accounts_pb2.PLAN_CUSTOM, daily_limit=100_000_000, monthly_limit=1_000_000_000
        )
        rules = controls_pb2.Rules(pair_messages_per_minute=6_000, pair_burst=10_000)
        await core.call(
            core.admin.UpdateRules,
            controls_pb2.UpdateRulesRequest(account_id=account.account_id, rules=rules),
        )
        instance_ids = [await _instance(core, account.account_id, n, instance_url) for n in range(INSTANCES)]
        doors = [
            await _door(core, account.account_id, instance_ids[n % INSTANCES], n) for n in range(INTEGRATIONS)
        ]
    # The edge learns of new credentials within a second.
    await asyncio.sleep(_FEED_SECONDS)
    await _open_windows(gateway, doors, instance_ids)
    return doors


async def _instance(core: CoreClient, account_id: str, number: int, url: str) -> str:
    instance = await core.instance(
        account_id,
        "evolution",
        name=f"bench-{number}",
        base_url=url,
        external_name=f"bench-{number}",
        api_token="bench-key",
        webhook_secret=_WEBHOOK_TOKEN,
        messages_per_second=1_000,
        burst=10_000,
    )
    await core.probe(instance.instance_id)
    instance_id: str = instance.instance_id
    return instance_id


async def _door(core: CoreClient, account_id: str, instance_id: str, number: int) -> Door:
    integration, secret, _ = await core.integration(
        account_id,
        [instance_id],
        name=f"bench-{number}",
        auth_mode=integrations_pb2.AUTH_MODE_SECRET_HMAC,
        requests_per_minute=1_000_000,
        inbound_enabled=False,
        destination_kind=integrations_pb2.DESTINATION_KIND_NONE,
    )
    share = PERSONS // INTEGRATIONS
    phones = tuple(f"+96650{number * share + n:07d}" for n in range(share))
    return Door(f"/integrations/3cx/webhook/{integration.integration_id}", secret, phones)


async def _open_windows(gateway: Gateway, doors: list[Door], instance_ids: list[str]) -> None:
    """Every person writes once, through the back end's own webhook."""
    posts = _first_messages(doors, instance_ids)
    async with httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=30) as client:

        async def write() -> None:
            for path, body in posts:
                headers = {"X-Webhook-Token": _WEBHOOK_TOKEN, "Content-Type": "application/json"}
                answer = await client.post(path, content=body, headers=headers)
                if answer.status_code != 200 or answer.json()["recorded"] == 0:
                    raise RuntimeError(f"a first message was answered {answer.status_code}: {answer.text}")

        await asyncio.gather(*(write() for _ in range(_WRITERS)))


def _first_messages(doors: list[Door], instance_ids: list[str]) -> Iterator[tuple[str, bytes]]:
    """Path and body of `messages.upsert` for each person, as Evolution API posts it."""
    numbers = itertools.count(1)
    for place, door in enumerate(doors):
        instance = place % len(instance_ids)
        path = f"/webhooks/whatsapp/evolution/{instance_ids[instance]}"
        for phone in door.phones:
            record = {
                "key": {
                    "remoteJid": f"{phone[1:]}@s.whatsapp.net",
                    "fromMe": False,
                    "id": f"3EB1{next(numbers):016X}",
                },
                "pushName": "Customer",
                "message": {"conversation": "Hello, I have a question about my ticket."},
                "messageType": "conversation",
                "messageTimestamp": int(time.time()),
            }
            yield (
                path,
                json.dumps(
                    {"event": "messages.upsert", "instance": f"bench-{instance}", "data": record}
                ).encode(),
            )

"""Prepares customers of a running gateway: an account with a number, an integration, and persons who wrote."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from bench.requests import Door
from hubgate.policy.v1 import accounts_pb2, controls_pb2, integrations_pb2
from support.gateway import CoreClient, Gateway

PERSONS = 200
_FEED_SECONDS = 1.2
_TOKEN = "bench-webhook-token"


@dataclass(frozen=True, slots=True)
class Customer:
    """One account, and how its persons write and are written to."""

    account_id: str
    instance_id: str
    instance_name: str
    webhook_id: str
    door: Door

    @property
    def phones(self) -> Sequence[str]:
        """Its persons."""
        return self.door.phones

    @property
    def headers(self) -> dict[str, str]:
        """What its back end shows with every webhook."""
        return {"X-Webhook-Token": _TOKEN, "Content-Type": "application/json"}

    def inbound(self, person: int, message_id: str) -> tuple[str, bytes]:
        """Path and body of `messages.upsert` for a message of a person, as Evolution API posts it."""
        record = {
            "key": {
                "remoteJid": f"{self.phones[person][1:]}@s.whatsapp.net",
                "fromMe": False,
                "id": message_id,
            },
            "pushName": "Customer",
            "message": {"conversation": "Hello, I have a question about my ticket."},
            "messageType": "conversation",
            "messageTimestamp": int(time.time()),
        }
        body = {"event": "messages.upsert", "instance": self.instance_name, "data": record}
        return f"/webhooks/whatsapp/evolution/{self.instance_id}", json.dumps(body).encode()


async def prepare_customer(
    gateway: Gateway,
    client: httpx.AsyncClient,
    instance_url: str,
    name: str,
    forwards: tuple[str, str] | None,
) -> Customer:
    """Makes a customer without bounds on its quotas; `forwards` are the addresses of its 3CX and its webhook."""
    async with CoreClient(gateway.core_address, gateway.admin_token) as core:
        account = await core.account(
            name=name, plan=accounts_pb2.PLAN_CUSTOM, daily_limit=100_000_000, monthly_limit=1_000_000_000
        )
        rules = controls_pb2.Rules(pair_messages_per_minute=6_000, pair_burst=10_000)
        update = controls_pb2.UpdateRulesRequest(account_id=account.account_id, rules=rules)
        await core.call(core.admin.UpdateRules, update)
        instance_name = f"bench-{name}"
        instance = await core.instance(
            account.account_id,
            "evolution",
            name=instance_name,
            base_url=instance_url,
            external_name=instance_name,
            api_token="bench-key",
            webhook_secret=_TOKEN,
            messages_per_second=1_000,
            burst=10_000,
        )
        await core.probe(instance.instance_id)
        door = await _door(core, account.account_id, instance.instance_id, name, forwards)
        webhook_id = ""
        if forwards is not None:
            webhook = integrations_pb2.CustomerWebhook(
                account_id=account.account_id, url=forwards[1], event_names=["message.received"], enabled=True
            )
            request = integrations_pb2.CreateCustomerWebhookRequest(webhook=webhook)
            webhook_id = (await core.call(core.admin.CreateCustomerWebhook, request)).webhook.webhook_id
    made = Customer(account.account_id, instance.instance_id, instance_name, webhook_id, door)
    await asyncio.sleep(_FEED_SECONDS)
    if forwards is None:
        for person in range(PERSONS):
            path, body = made.inbound(person, f"first-{name}-{person}")
            (await client.post(path, content=body, headers=made.headers)).raise_for_status()
    return made


async def _door(
    core: CoreClient, account_id: str, instance_id: str, name: str, forwards: tuple[str, str] | None
) -> Door:
    kind = (
        integrations_pb2.DESTINATION_KIND_NONE
        if forwards is None
        else integrations_pb2.DESTINATION_KIND_THREECX_JSON
    )
    integration, secret, _ = await core.integration(
        account_id,
        [instance_id],
        name=f"bench-{name}",
        auth_mode=integrations_pb2.AUTH_MODE_SECRET_HMAC,
        requests_per_minute=1_000_000,
        inbound_enabled=forwards is not None,
        destination_kind=kind,
        destination_url=forwards[0] if forwards is not None else "",
    )
    first = {"well": 0, "ill": 1, "calm": 2, "hot": 3}[name] * PERSONS
    phones = tuple(f"+96651{first + n:07d}" for n in range(PERSONS))
    return Door(f"/integrations/3cx/webhook/{integration.integration_id}", secret, phones)

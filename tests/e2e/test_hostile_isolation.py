"""A service token of one account against everything of another; and whether any process or list tells a secret."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message_factory import GetMessageClass

from hubgate.policy.v1 import (
    accounts_pb2,
    admin_service_pb2,
    controls_pb2,
    events_pb2,
    integrations_pb2,
    policy_service_pb2,
    records_pb2,
)
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import CoreClient, Gateway

_CLOSED = {
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
}
_TEXT = "zebra-marker-text"


@dataclass
class Victim:
    """An account with one of everything; `ids` by the field names that requests have for them."""

    desk: Desk
    phone: str
    ids: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)


async def furnish(desk: Desk) -> Victim:
    """Gives a desk a key, a token, a webhook, a conversation, a suppression and a pause."""
    core, admin, account_id = desk.core, desk.core.admin, desk.account.account_id
    victim = Victim(desk, fresh_phone())
    suppressed = fresh_phone()
    await desk.customer_writes(victim.phone, _TEXT)
    answer = (await desk.reply(victim.phone, message_text=f"{_TEXT} back")).json()
    assert answer["success"], answer
    key = await core.call(
        admin.CreateApiKey, accounts_pb2.CreateApiKeyRequest(account_id=account_id, name="k")
    )
    webhook = integrations_pb2.CustomerWebhook(account_id=account_id, url="https://hooks.example/x")
    hooked = await core.call(
        admin.CreateCustomerWebhook, integrations_pb2.CreateCustomerWebhookRequest(webhook=webhook)
    )
    entry = await core.call(
        admin.CreateSuppression,
        controls_pb2.CreateSuppressionRequest(
            account_id=account_id,
            person=events_pb2.PersonRef(phone=suppressed),
            source=controls_pb2.SUPPRESSION_SOURCE_ADMINISTRATOR,
        ),
    )
    pause = controls_pb2.CreatePauseRequest(
        scope=controls_pb2.PAUSE_SCOPE_PERSON,
        account_id=account_id,
        person=events_pb2.PersonRef(phone=suppressed),
    )
    paused = await core.call(admin.CreatePause, pause)
    explained = await core.call(
        core.policy.Explain, policy_service_pb2.ExplainRequest(log_id=answer["log_id"])
    )
    listed = await core.call(admin.ListMessages, records_pb2.ListMessagesRequest(account_id=account_id))
    delivered = await core.call(
        admin.ListDeliveries, records_pb2.ListDeliveriesRequest(account_id=account_id)
    )
    instance_id, integration_id = desk.instance.instance_id, desk.integration.integration_id
    victim.ids = {
        "account_id": account_id,
        "account_ids": [account_id],
        "instance_id": instance_id,
        "instance": instance_id,
        "instance_ids": [instance_id],
        "default_instance_id": instance_id,
        "integration_id": integration_id,
        "target": integration_id,
        "api_key_id": key.api_key.api_key_id,
        "webhook_id": hooked.webhook.webhook_id,
        "suppression_id": entry.suppression.suppression_id,
        "pause_id": paused.pause.pause_id,
        "scope_id": paused.pause.scope_id,
        "delivery_id": delivered.deliveries[0].delivery_id,
        "message_id": listed.messages[0].message_id,
        "external_message_id": listed.messages[0].external_message_id,
        "log_id": answer["log_id"],
        "decision_id": explained.record.decision.decision_id,
        "phone": victim.phone,
    }
    victim.secrets = {
        "webhook secret": desk.secret,
        "API key": key.key,
        "signing secret": hooked.signing_secret,
    }
    return victim


@pytest.fixture
async def two_desks(
    gateway: Gateway,
) -> AsyncIterator[tuple[Desk, Victim]]:
    """An attacker's desk and a victim's, on the same gateway."""
    async with (
        CoreClient(gateway.core_address, gateway.admin_token) as core,
        httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=15) as http,
    ):
        mine = await open_desk(gateway, core, http, account={"name": "Mallory"})
        theirs = await open_desk(gateway, core, http, account={"name": "Victim"})
        yield mine, await furnish(theirs)


def fill(message: Any, values: dict[str, Any]) -> Any:
    """Sets every field for which there is a value, in nested messages too, and what requests cannot do without."""
    for each in message.DESCRIPTOR.fields:
        if each.name in values:
            _set(message, each, values[each.name])
        elif each.name == "fields":
            message.fields.append("name")
        elif each.name == "name":
            message.name = "taken over"
        elif each.type == FieldDescriptor.TYPE_MESSAGE and not each.is_repeated:
            if each.message_type.full_name.startswith("hubgate."):
                fill(getattr(message, each.name), values)
                getattr(message, each.name).SetInParent()
        elif each.type == FieldDescriptor.TYPE_ENUM and not each.is_repeated and each.name != "action":
            setattr(message, each.name, 2)
    return message


def _set(message: Any, each: FieldDescriptor, value: Any) -> None:
    if each.is_repeated:
        getattr(message, each.name).extend(value if isinstance(value, list) else [value])
    elif each.type != FieldDescriptor.TYPE_MESSAGE:
        setattr(message, each.name, value if not isinstance(value, list) else value[0])


def unary_methods() -> list[tuple[str, str, Descriptor]]:
    services = (
        ("admin", admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]),
        ("policy", policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]),
    )
    return [
        (stub, method.name, method.input_type)
        for stub, service in services
        for method in service.methods
        if not method.server_streaming
    ]


async def token_for(desk: Desk, rights: list[str]) -> str:
    name = f"tok {desk.account.account_id} {len(rights)}"
    request = accounts_pb2.CreateServiceTokenRequest(
        name=name, rights=rights, account_ids=[desk.account.account_id]
    )
    token: str = (await desk.core.call(desk.core.admin.CreateServiceToken, request)).token
    # Another replica would know it half a second later, too.
    await asyncio.sleep(0.6)
    return token


async def seen_by_admin(victim: Victim) -> dict[str, str]:
    """Everything lists say about the victim's configuration."""
    core = victim.desk.core
    found = {}
    for stub, name, wanted in unary_methods():
        fields = wanted.fields_by_name
        if stub == "admin" and name.startswith("List") and "account_id" in fields:
            request = GetMessageClass(wanted)(account_id=victim.ids["account_id"])
            found[name] = MessageToJson(await core.call(getattr(core.admin, name), request))
    return found


async def test_a_token_of_one_account_gets_nowhere_with_another(
    two_desks: tuple[Desk, Victim], gateway: Gateway
) -> None:
    mine, victim = two_desks
    token = await token_for(mine, ["admin", "read", "submit", "reveal"])
    before = await seen_by_admin(victim)
    # A number is nobody's alone: the attacker may well suppress it for an account of his own.
    marks = [value for name, value in victim.ids.items() if isinstance(value, str) and name != "phone"]
    mixed = {**victim.ids, "account_id": mine.account.account_id}
    problems = []
    async with CoreClient(gateway.core_address, token) as client:
        for stub, name, wanted in unary_methods():
            for values in (victim.ids, mixed):
                request = fill(GetMessageClass(wanted)(), values)
                try:
                    answer = await client.call(getattr(getattr(client, stub), name), request)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in _CLOSED:
                        problems.append(f"{name}: {error.code().name}: {error.details()}")
                    continue
                told = [mark for mark in marks if mark in MessageToJson(answer)]
                told = [
                    mark for mark in told if mark not in MessageToJson(request) or name.startswith("List")
                ]
                if told or (_TEXT in MessageToJson(answer)):
                    problems.append(f"{name} told {told}")
    assert problems == []
    after = await seen_by_admin(victim)
    for moving in ("ListMessages", "ListDecisions", "ListDeliveries"):
        # Receipts of the sandbox move these on by themselves; none may be added or lost.
        assert after.pop(moving).count("accountId") == before.pop(moving).count("accountId")
    assert after == before


async def test_a_stream_of_another_accounts_events_is_refused(
    two_desks: tuple[Desk, Victim], gateway: Gateway
) -> None:
    mine, victim = two_desks
    token = await token_for(mine, ["read"])
    async with CoreClient(gateway.core_address, token) as client:
        request = policy_service_pb2.WatchEventsRequest(account_id=victim.ids["account_id"])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in client.policy.WatchEvents(request, metadata=client.metadata, timeout=5):
                pass
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_no_process_and_no_list_tells_a_secret(
    two_desks: tuple[Desk, Victim], gateway: Gateway
) -> None:
    mine, victim = two_desks
    desk = victim.desk
    token = await token_for(mine, ["read", "submit"])
    wrong = {"X-WhatsApp-Gateway-3CX-Secret": f"{desk.secret}x"}
    await desk.http.post(desk.url, content=b'{"event_type":"test"}', headers=wrong)
    await desk.post(b'{"event_type":"outbound_message","to":"\xff')
    key = victim.secrets["API key"]
    for credential in (key, f"{key}x"):
        body = {"instance_id": desk.instance.instance_id, "phone": victim.phone, "message": _TEXT}
        headers = {"Authorization": f"Bearer {credential}"}
        await desk.http.post(
            "/api/send-message", json={**body, "message_purpose": "support"}, headers=headers
        )
    async with CoreClient(gateway.core_address, f"{token}x") as stranger:
        with pytest.raises(grpc.aio.AioRpcError):
            await stranger.account()
    await asyncio.sleep(1.5)
    secrets = {
        **victim.secrets,
        "service token": token,
        "admin token": gateway.admin_token,
        "edge token": gateway.edge_token,
        **{name: gateway.environment[f"HUBGATE_{name}"] for name in ("SENDER_TOKEN", "MASTER_KEY")},
        "permit key": gateway.environment["HUBGATE_PERMIT_KEY"].partition(":")[2],
    }
    private = {**secrets, "text": _TEXT, "phone": victim.phone, "bare phone": victim.phone.lstrip("+")}
    for part in gateway.processes:
        written = gateway.log(part)
        assert not [name for name, value in private.items() if value in written], part
    lists = json.dumps(await seen_by_admin(victim), ensure_ascii=False)
    assert not [name for name, value in secrets.items() if value in lists]

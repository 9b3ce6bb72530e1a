"""Webhook generators through the whole product: a missed call of each dialect becomes one WhatsApp message."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from hubgate.policy.v1 import integrations_pb2, policy_service_pb2, records_pb2
from peers.evolution import EvolutionPeer
from support.back_ends import on_evolution, open_evolution
from support.gateway import CoreClient, Gateway

PHONE = "+966500000061"
TEXT = "نعتذر، فاتتنا مكالمتك من {{customer_phone}}"


async def _desk(gateway: Gateway, core: CoreClient, peer: EvolutionPeer, **fields: Any) -> tuple[str, str]:
    """An integration with a missed-call template, whose customer has written; its id and secret."""
    account = await core.account()
    instance = await core.instance(
        account.account_id,
        "evolution",
        **on_evolution(peer),
    )
    integration, secret, _ = await core.integration(
        account.account_id, [instance.instance_id], call_events_enabled=True, **fields
    )
    for event_type in (
        policy_service_pb2.EVENT_TYPE_MISSED_CALL,
        policy_service_pb2.EVENT_TYPE_CALL_ENDED,
    ):
        template = integrations_pb2.Template(
            integration_id=integration.integration_id,
            event_type=event_type,
            enabled=True,
            language="ar",
            text=TEXT,
            purpose="support",
        )
        await core.call(core.admin.UpdateTemplate, integrations_pb2.UpdateTemplateRequest(template=template))
    await core.probe(instance.instance_id)
    url = f"{gateway.base_url}/webhooks/whatsapp/evolution/{instance.instance_id}"
    for _ in range(100):
        if await peer.post_message(url, PHONE, "Hello") == 200:
            return integration.integration_id, secret
        await asyncio.sleep(0.05)
    raise AssertionError("the edge never learned of the instance")


def _call(family: str, **changes: str) -> dict[str, str]:
    fields = {
        "event": "incoming",
        "callerid": PHONE.removeprefix("+"),
        "user": "801",
        "usertype": "queue",
        "finishtype": "Missed",
        "transfer": "False",
        "did": "Main line",
        "id": "260115093012_41-0",
        **changes,
    }
    return {name.capitalize(): value for name, value in fields.items()} if family == "k2m" else fields


@pytest.mark.parametrize("family", ["creomate", "k2m"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_missed_call_becomes_one_message(gateway: Gateway, family: str, method: str) -> None:
    peer = await open_evolution()
    try:
        async with (
            CoreClient(gateway.core_address, gateway.admin_token) as core,
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=10) as client,
        ):
            integration_id, secret = await _desk(gateway, core, peer, query_token_enabled=True)
            path = f"/integrations/3cx/dialect/{integration_id}?token={secret}"

            async def tell(**changes: str) -> httpx.Response:
                fields = _call(family, **changes)
                if method == "GET":
                    return await client.get(f"{path}&{urlencode(fields)}")
                return await client.post(path, json=fields)

            assert (await tell(event="ringing", finishtype="")).json()["status"] == "accepted"
            first = await tell()
            assert (first.status_code, first.json()["status"]) == (200, "sent"), first.text
            assert first.json()["event_type"] == "missed_call"
            repeat = await tell(id="260115093012_41-1", transfer="True")
            assert repeat.json() == first.json() | {"duplicate": True}
            outgoing = await tell(event="outgoing", id="260115093012_42-0")
            assert outgoing.json()["status"] == "accepted"
            unknown = await tell(event="parked", id="260115093012_43-0")
            assert (unknown.status_code, unknown.json()["error"]) == (422, "unsupported_event_type")
            expected = TEXT.replace("{{customer_phone}}", PHONE)
            assert [("".join(filter(str.isdigit, each.to)), each.text) for each in peer.accepted] == [
                (PHONE[1:], expected)
            ]
            again = await tell(id="260115093012_44-0")
            assert (again.status_code, again.json()["status"]) == (200, "skipped")
        logs = "".join(gateway.log(name) for name in ("edge", "policycore", "sender"))
        assert secret not in logs
    finally:
        await peer.stop()


async def test_the_switch_holds_within_a_second_and_is_off_at_first(running_gateway: Gateway) -> None:
    peer = await open_evolution()
    gateway = running_gateway
    try:
        async with (
            CoreClient(gateway.core_address, gateway.admin_token) as core,
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=10) as client,
        ):
            integration_id, secret = await _desk(gateway, core, peer)
            path = f"/integrations/3cx/dialect/{integration_id}"
            query = urlencode({**_call("creomate", event="ringing"), "token": secret})

            async def until(status: int) -> None:
                for _ in range(100):
                    if (await client.get(f"{path}?{query}")).status_code == status:
                        return
                    await asyncio.sleep(0.05)
                raise AssertionError(f"never {status}")

            by_header = {"X-WhatsApp-Gateway-3CX-Secret": secret}
            for _ in range(100):
                answer = await client.post(path, headers=by_header, json=_call("k2m", event="ringing"))
                if answer.status_code == 200:
                    break
                await asyncio.sleep(0.05)
            await until(401)
            for switch, status in ((True, 200), (False, 401)):
                changed = integrations_pb2.Integration(
                    integration_id=integration_id, query_token_enabled=switch
                )
                request = integrations_pb2.UpdateIntegrationRequest(
                    integration=changed, fields=["query_token_enabled"]
                )
                shown = (await core.call(core.admin.UpdateIntegration, request)).integration
                assert (shown.query_token_enabled, shown.dialect_path) == (switch, path)
                await until(status)
            for _ in range(100):
                listed = await core.call(core.admin.ListRefusals, records_pb2.ListRefusalsRequest())
                if any(each.reason == "query_token_off" for each in listed.refusals):
                    break
                await asyncio.sleep(0.05)
            else:
                raise AssertionError("the security log does not say why")
            assert secret not in str(listed)
    finally:
        await peer.stop()

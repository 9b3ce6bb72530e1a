"""`CheckIntegration` over the whole product: from a fresh connection, by what it says, to a test both ways."""

import asyncio
from typing import Any

import httpx

from hubgate.policy.v1 import connection_check_pb2 as pb
from hubgate.policy.v1 import integrations_pb2
from peers.threecx import ThreecxPeer
from support.back_ends import on_evolution, open_evolution
from support.gateway import CoreClient, Gateway

PHONE = "+966500000071"


def _failed(found: Any) -> set[str]:
    return {step.name for step in found.steps if step.state == pb.CHECK_STATE_FAILED}


async def test_following_what_it_says_leads_to_a_test_both_ways(gateway: Gateway) -> None:
    peer = await open_evolution()
    threecx = await ThreecxPeer.start()
    try:
        async with (
            CoreClient(gateway.core_address, gateway.admin_token) as core,
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=10) as client,
        ):
            account = await core.account()
            instance = await core.instance(
                account.account_id,
                "evolution",
                **on_evolution(peer),
            )
            integration, secret, signing = await core.integration(
                account.account_id,
                [instance.instance_id],
                destination_kind=integrations_pb2.DESTINATION_KIND_THREECX_JSON,
                destination_url=f"{threecx.base_url}/events",
            )
            threecx.signing_secret = signing

            async def walk(**fields: Any) -> Any:
                request = pb.CheckIntegrationRequest(
                    integration_id=integration.integration_id,
                    public_url=gateway.base_url,
                    test_phone=PHONE,
                    **fields,
                )
                return await core.admin.CheckIntegration(request, metadata=core.metadata, timeout=30)

            found = await walk(send_test=True)
            assert _failed(found) == {
                "webhook_secret", "default_instance", "open_window", "message_to_customer",
            }  # fmt: skip
            assert not peer.accepted

            await core.probe(instance.instance_id)
            url = f"{gateway.base_url}/webhooks/whatsapp/evolution/{instance.instance_id}"
            for _ in range(100):
                if await peer.post_message(url, PHONE, "Hello") == 200:
                    break
                await asyncio.sleep(0.05)
            path = f"/integrations/3cx/webhook/{integration.integration_id}"
            headers = {"X-WhatsApp-Gateway-3CX-Secret": secret}
            tested = await client.post(path, headers=headers, json={"event_type": "test"})
            assert tested.status_code == 200

            for _ in range(100):
                found = await walk()
                if found.healthy:
                    break
                # The use of a secret is written within a second.
                await asyncio.sleep(0.05)
            assert found.healthy, found
            assert not peer.accepted

            found = await walk(send_test=True, language="ar")
            assert found.healthy, found
            assert "تجربة" in peer.accepted[0].text and len(peer.accepted) == 1
            events = [each.json for each in threecx.accepted]
            assert "connection.test" in [event["event"] for event in events]
    finally:
        await peer.stop()
        await threecx.stop()

"""The public example, byte for byte, through the whole product against each back end's stand-in."""

import asyncio
from typing import Any

import httpx
import pytest

from peers.cloud_api import CloudApiPeer
from peers.evolution import EvolutionPeer
from peers.threecx import ThreecxPeer
from peers.waha import WahaPeer
from support.gateway import CoreClient, Gateway

EXAMPLE = b"""{
  "event_type": "outbound_message",
  "to": "+966500000000",
  "message_text": "Your support ticket has been updated.",
  "message_purpose": "support",
  "conversation_id": "3cx-chat-123",
  "agent_extension": "101"
}"""
PHONE = "+966500000000"
TEXT = "Your support ticket has been updated."


async def _post_example(client: httpx.AsyncClient, integration_id: str, secret: str) -> httpx.Response:
    for _ in range(40):
        answer = await client.post(
            f"/integrations/3cx/webhook/{integration_id}",
            content=EXAMPLE,
            headers={"X-WhatsApp-Gateway-3CX-Secret": secret, "Content-Type": "application/json"},
        )
        # A new integration is known everywhere within a second.
        if answer.status_code != 401:
            break
        await asyncio.sleep(0.05)
    return answer


async def _peer(backend: str) -> tuple[Any, dict[str, Any]]:
    """A stand-in and the fields of the instance that reaches it."""
    if backend == "evolution":
        headers = {"X-Webhook-Token": "evolution-hook-token"}
        peer: Any = await EvolutionPeer.start(webhook_headers=headers)
        return peer, {
            "external_name": peer.instance,
            "api_token": peer.api_key,
            "webhook_secret": "evolution-hook-token",
        }
    if backend == "cloud_api":
        peer = await CloudApiPeer.start()
        return peer, {
            "external_name": peer.phone_number_id,
            "api_token": peer.token,
            "webhook_secret": peer.app_secret,
            "verify_token": "verify-me",
        }
    peer = await WahaPeer.start()
    return peer, {"external_name": peer.session, "api_token": peer.api_key, "webhook_secret": peer.hmac_key}


@pytest.mark.parametrize("backend", ["evolution", "cloud_api", "waha"])
async def test_refused_before_the_person_has_written_and_delivered_after(
    gateway: Gateway, backend: str
) -> None:
    peer, fields = await _peer(backend)
    threecx = await ThreecxPeer.start()
    try:
        async with (
            CoreClient(gateway.core_address, gateway.admin_token) as core,
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=10) as client,
        ):
            account = await core.account()
            instance = await core.instance(account.account_id, backend, base_url=peer.base_url, **fields)
            integration, secret, signing = await core.integration(
                account.account_id,
                [instance.instance_id],
                destination_kind=2,
                destination_url=f"{threecx.base_url}/events",
            )
            threecx.signing_secret = signing
            await core.probe(instance.instance_id)
            refused = await _post_example(client, integration.integration_id, secret)
            assert refused.status_code == 409, refused.text
            assert refused.json()["error"] == "conversation_window_closed"
            assert isinstance(refused.json()["log_id"], int)
            assert not peer.accepted

            url = f"{gateway.base_url}/webhooks/whatsapp/{backend}/{instance.instance_id}"
            assert await peer.post_message(url, PHONE, "Hello, where is my ticket?") == 200
            delivered = await _post_example(client, integration.integration_id, secret)
            assert delivered.status_code == 200, delivered.text
            body = delivered.json()
            assert body["success"] is True and body["status"] == "sent"
            assert body["event_type"] == "outbound_message" and isinstance(body["log_id"], int)
            assert [("".join(filter(str.isdigit, each.to)), each.text) for each in peer.accepted] == [
                (PHONE[1:], TEXT)
            ]

            forwarded = await threecx.wait_received(1)
            assert forwarded[0].json["event"] == "message.received"
            assert forwarded[0].json["from"] == PHONE
            assert forwarded[0].json["message_text"] == "Hello, where is my ticket?"
    finally:
        await peer.stop()
        await threecx.stop()

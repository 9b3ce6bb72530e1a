"""One address for several numbers: what Meta posts for a number of the same app is not lost."""

import asyncio

import httpx

from hubgate.policy.v1 import records_pb2
from peers.cloud_api import CloudApiPeer
from support.gateway import CoreClient, Gateway


async def test_events_of_another_number_of_the_app_reach_its_instance(
    running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient
) -> None:
    account = await core.account()
    first_peer, second_peer = (
        await CloudApiPeer.start(),
        await CloudApiPeer.start(phone_number_id="998877665544332"),
    )
    try:
        fields = {"webhook_secret": first_peer.app_secret, "api_token": first_peer.token, "verify_token": "v"}
        first = await core.instance(
            account.account_id,
            "cloud_api",
            name="first",
            base_url=first_peer.base_url,
            external_name=first_peer.phone_number_id,
            **fields,
        )
        second = await core.instance(
            account.account_id,
            "cloud_api",
            name="second",
            base_url=second_peer.base_url,
            external_name=second_peer.phone_number_id,
            **fields,
        )
        url = f"{running_gateway.base_url}/webhooks/whatsapp/cloud_api/{first.instance_id}"
        await _known_to_the_edge(http, second.instance_id)
        status = await second_peer.post_message(url, "+966500000077", "Hello", message_id="wamid.N1")
        assert status == 200
        request = records_pb2.ListMessagesRequest(instance_id=second.instance_id, reveal=True)
        (message,) = (await core.call(core.admin.ListMessages, request)).messages
        assert message.text == "Hello"
        request = records_pb2.ListMessagesRequest(instance_id=first.instance_id, reveal=True)
        assert not (await core.call(core.admin.ListMessages, request)).messages
    finally:
        await first_peer.stop()
        await second_peer.stop()


async def _known_to_the_edge(http: httpx.AsyncClient, instance_id: str) -> None:
    """Waits until the edge knows the instance, and with it those made before: credentials travel within a second."""
    handshake = {"hub.mode": "subscribe", "hub.verify_token": "v", "hub.challenge": "1"}
    for _ in range(100):
        if (
            await http.get(f"/webhooks/whatsapp/cloud_api/{instance_id}", params=handshake)
        ).status_code == 200:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the edge never learned of the instance")

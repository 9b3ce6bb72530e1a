"""One address for several numbers: what Meta posts for a number of the same app is not lost."""

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
        status = 401
        for _ in range(40):
            status = await second_peer.post_message(url, "+966500000077", "Hello", message_id="wamid.N1")
            if status != 401:
                break
        assert status == 200
        request = records_pb2.ListMessagesRequest(instance_id=second.instance_id, reveal=True)
        (message,) = (await core.call(core.admin.ListMessages, request)).messages
        assert message.text == "Hello"
        request = records_pb2.ListMessagesRequest(instance_id=first.instance_id, reveal=True)
        assert not (await core.call(core.admin.ListMessages, request)).messages
    finally:
        await first_peer.stop()
        await second_peer.stop()

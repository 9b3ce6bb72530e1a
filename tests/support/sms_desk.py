"""A support desk whose agents sit at a phone system that takes the gateway for its provider of text messages."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from hubgate.policy.v1 import integrations_pb2, threecx_sms_pb2
from peers.pbx import PbxPeer
from support.back_ends import open_back_end
from support.gateway import CoreClient, Gateway


@dataclass
class SmsDesk:
    """One customer of the gateway, its phone system and its WhatsApp back end (None: the sandbox)."""

    gateway: Gateway
    core: CoreClient
    http: httpx.AsyncClient
    pbx: PbxPeer
    backend: Any | None
    account: Any
    instance: Any
    integration: Any
    number: str
    secret: str = ""

    async def customer_writes(self, phone: str, text: str) -> None:
        """A person writes on WhatsApp."""
        if self.backend is None:
            path = f"/sandbox/{self.instance.instance_id}/messages"
            answer = await self.http.post(path, json={"from": phone, "text": text})
            assert answer.status_code < 300, answer.text
            return
        url = f"{self.gateway.base_url}/webhooks/whatsapp/{self.instance.backend}/{self.instance.instance_id}"
        assert await self.backend.post_message(url, phone, text) == 200

    async def customer_got(self, phone: str) -> list[str]:
        """What reached the person, oldest first."""
        if self.backend is not None:
            digits = phone.removeprefix("+")
            return [
                each.text for each in self.backend.accepted if each.to.removeprefix("+").startswith(digits)
            ]
        path = f"/sandbox/{self.instance.instance_id}/messages"
        answer = await self.http.get(path, params={"person": phone})
        return [each["text"] for each in answer.json()["messages"] if each["direction"] == "outbound"]

    async def settings(self, fields: list[str], **values: Any) -> Any:
        """Changes the connector."""
        wire = threecx_sms_pb2.ThreecxSms(integration_id=self.integration.integration_id, **values)
        request = threecx_sms_pb2.SetThreecxSmsRequest(settings=wire, fields=fields)
        return (await self.core.call(self.core.admin.SetThreecxSms, request)).settings

    async def update(self, fields: list[str], **values: Any) -> None:
        """Changes the integration."""
        wire = integrations_pb2.Integration(integration_id=self.integration.integration_id, **values)
        request = integrations_pb2.UpdateIntegrationRequest(integration=wire, fields=fields)
        await self.core.call(self.core.admin.UpdateIntegration, request)

    async def rotate_key(self, overlap_seconds: int | None = None) -> str:
        """A new bearer key."""
        request = threecx_sms_pb2.RotateThreecxSmsKeyRequest(integration_id=self.integration.integration_id)
        if overlap_seconds is not None:
            request.overlap.FromSeconds(overlap_seconds)
        return str((await self.core.call(self.core.admin.RotateThreecxSmsKey, request)).key)

    async def known_to_the_edge(self) -> None:
        """Waits until the edge knows the bearer key: credentials travel within a second."""
        for _ in range(100):
            if (await self.pbx.post_raw(b"no JSON")).status != 401:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the edge never learned of the bearer key")

    async def close(self) -> None:
        """Stops the stand-ins."""
        await self.pbx.stop()
        if self.backend is not None:
            await self.backend.stop()


async def open_sms_desk(
    gateway: Gateway,
    core: CoreClient,
    http: httpx.AsyncClient,
    *,
    backend: str = "sandbox",
    number: str = "+966110000000",
    **fields: Any,
) -> SmsDesk:
    """A new desk with a phone system; `fields` are those of the integration."""
    account = await core.account()
    peer, how = (None, {}) if backend == "sandbox" else await open_back_end(backend)
    instance = await core.instance(account.account_id, backend, **how)
    if peer is not None:
        await core.probe(instance.instance_id)
    integration, secret, _ = await core.integration(account.account_id, [instance.instance_id], **fields)
    pbx = await PbxPeer.start(numbers=(number,))
    desk = SmsDesk(gateway, core, http, pbx, peer, account, instance, integration, number, secret)
    numbers = [threecx_sms_pb2.ThreecxSmsNumber(instance_id=instance.instance_id, number=number)]
    await desk.settings(["webhook_url", "numbers"], webhook_url=pbx.sms_url, numbers=numbers)
    pbx.provider_url = f"{gateway.base_url}/integrations/3cx/sms/{integration.integration_id}"
    pbx.api_key = await desk.rotate_key()
    await desk.known_to_the_edge()
    return desk

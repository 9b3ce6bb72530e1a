"""A support desk on a running gateway: account, sandbox instance, integration, and what people do there."""

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx

from support.gateway import CoreClient, Gateway

_numbers = count(1)


def fresh_phone() -> str:
    """A Saudi mobile number that no other test uses, and none of the sandbox's special ones (0001 to 0004)."""
    begins = int(time.time()) % 90_000 * 10
    number = next(begins + each for each in _numbers if (begins + each) % 10_000 > 4)
    return f"+96655{number:07d}"


@dataclass
class Desk:
    """One customer of the gateway. `post` is what 3CX does, `customer_writes` what a person does."""

    gateway: Gateway
    core: CoreClient
    http: httpx.AsyncClient
    account: Any
    instance: Any
    integration: Any
    secret: str

    @property
    def url(self) -> str:
        return f"/integrations/3cx/webhook/{self.integration.integration_id}"

    async def customer_writes(self, phone: str, text: str = "Hello") -> None:
        """The person writes on the sandbox's phone."""
        answer = await self.http.post(
            f"/sandbox/{self.instance.instance_id}/messages", json={"from": phone, "text": text}
        )
        assert answer.status_code < 300, answer.text

    async def reply(self, phone: str, **fields: Any) -> httpx.Response:
        """The agent's reply, as 3CX posts it; keyword arguments add, change or (None) remove fields."""
        body = {
            "event_type": "outbound_message",
            "to": phone,
            "message_text": "Your support ticket has been updated.",
            "message_purpose": "support",
            **fields,
        }
        return await self.post(json.dumps({k: v for k, v in body.items() if v is not None}).encode())

    async def post(self, raw: bytes, **headers: str) -> httpx.Response:
        """Posts a raw body with the secret; header names have `_` for `-`."""
        sent = {"X-WhatsApp-Gateway-3CX-Secret": self.secret, "Content-Type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        return await self.http.post(self.url, content=raw, headers=sent)

    def signed(self, raw: bytes, at: float | None = None) -> dict[str, str]:
        """Signature headers over a body."""
        stamp = str(int(time.time() if at is None else at))
        mac = hmac.new(self.secret.encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
        return {"X_WhatsApp_Gateway_Timestamp": stamp, "X_WhatsApp_Gateway_Signature": f"sha256={mac}"}

    async def phone_shows(self, phone: str) -> list[dict[str, Any]]:
        """What the person's phone shows, oldest first."""
        answer = await self.http.get(
            f"/sandbox/{self.instance.instance_id}/messages", params={"person": phone}
        )
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found

    async def known_to_the_edge(self) -> None:
        """Waits until the edge knows the integration: credentials travel within a second."""
        for _ in range(100):
            if (await self.post(b'{"event_type":"test"}')).status_code != 401:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the edge never learned of the integration")

    async def update(self, fields: list[str], **values: Any) -> None:
        """Changes the integration."""
        from hubgate.policy.v1 import integrations_pb2 as pb

        integration = pb.Integration(integration_id=self.integration.integration_id, **values)
        request = pb.UpdateIntegrationRequest(integration=integration, fields=fields)
        await self.core.call(self.core.admin.UpdateIntegration, request)


async def open_desk(gateway: Gateway, core: CoreClient, http: httpx.AsyncClient, **fields: Any) -> Desk:
    """A new desk; `account` and `integration` hold fields of those."""
    account = await core.account(**fields.pop("account", {}))
    instance = await core.instance(account.account_id, "sandbox")
    integration, secret, _ = await core.integration(
        account.account_id, [instance.instance_id], **fields.pop("integration", {})
    )
    desk = Desk(gateway, core, http, account, instance, integration, secret)
    if fields.pop("wait", True):
        await desk.known_to_the_edge()
    return desk

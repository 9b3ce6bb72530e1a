"""One company on one back end's stand-in, for end-to-end tests: its replies, its messages, and its rows on SQLite."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from hubgate.policy.v1 import events_pb2, policy_service_pb2, records_pb2
from support.back_ends import open_back_end
from support.gateway import CoreClient, Gateway

TEXT = "Your support ticket has been updated."
DAY = 24 * 3600 * 1_000_000


@dataclass
class Line:
    """One company on one back end's stand-in."""

    gateway: Gateway
    core: CoreClient
    http: httpx.AsyncClient
    peer: Any
    account_id: str
    instance_id: str
    webhook: str
    hook_url: str
    secret: str

    async def reply(self, phone: str, text: str = TEXT) -> dict[str, Any]:
        """The agent's reply, which is taken; the answer's body."""
        answer = await self.ask(phone, text)
        assert answer.status_code < 300, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def ask(self, phone: str, text: str = TEXT) -> httpx.Response:
        """The agent's reply, whatever is answered."""
        body = {
            "event_type": "outbound_message",
            "to": phone,
            "message_text": text,
            "message_purpose": "support",
        }
        return await self.http.post(
            self.hook_url,
            content=json.dumps(body),
            headers={"X-WhatsApp-Gateway-3CX-Secret": self.secret, "Content-Type": "application/json"},
        )

    async def message(self, message_id: str) -> Any:
        """The message as it is now."""
        request = policy_service_pb2.GetMessageRequest(account_id=self.account_id, message_id=message_id)
        return (await self.core.call(self.core.policy.GetMessage, request)).message

    async def state_once_not(self, message_id: str, *states: int) -> str:
        """The message's state, once it is none of these."""
        for _ in range(300):
            found = (await self.message(message_id)).state
            if found not in states:
                break
            await asyncio.sleep(0.05)
        return events_pb2.MessageState.Name(found).removeprefix("MESSAGE_STATE_")

    async def unknown(self, message_id: str) -> Any:
        """The row in the list of unknown messages, or None."""
        request = records_pb2.ListUnknownMessagesRequest(account_id=self.account_id)
        rows = (await self.core.call(self.core.admin.ListUnknownMessages, request)).messages
        return next((row for row in rows if row.message.message_id == message_id), None)

    def used(self) -> int:
        """Messages counted today."""
        with sqlite3.connect(self.gateway.folder / "hubgate.db") as database:
            query = "SELECT used FROM quota_usage WHERE account_id = ? AND length(period) = 10"
            return int(database.execute(query, (self.account_id,)).fetchone()[0])

    def execute(self, statement: str, *values: Any) -> int:
        """Changes rows behind the gateway's back; returns how many."""
        with sqlite3.connect(self.gateway.folder / "hubgate.db", timeout=30) as database:
            return database.execute(statement, values).rowcount

    def grow_older(self, message_id: str) -> None:
        """A day passes for this message."""
        query = "UPDATE unknown_messages SET unknown_since = unknown_since - ? WHERE message_id = ?"
        assert self.execute(query, DAY, message_id) == 1


@asynccontextmanager
async def open_line(gateway: Gateway, backend: str) -> AsyncIterator[Line]:
    """The company, its instance on the stand-in of a back end, and an integration."""
    peer, fields = await open_back_end(backend)
    try:
        async with (
            CoreClient(gateway.core_address, gateway.admin_token) as core,
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=15) as http,
        ):
            account = await core.account()
            instance = await core.instance(account.account_id, backend, **fields)
            integration, secret, _ = await core.integration(account.account_id, [instance.instance_id])
            await core.probe(instance.instance_id)
            url = f"/integrations/3cx/webhook/{integration.integration_id}"
            for _ in range(40):
                headers = {"X-WhatsApp-Gateway-3CX-Secret": secret}
                answer = await http.post(url, json={"event_type": "test"}, headers=headers)
                if answer.status_code != 401:
                    break
                await asyncio.sleep(0.05)
            hook = f"{gateway.base_url}/webhooks/whatsapp/{backend}/{instance.instance_id}"
            yield Line(gateway, core, http, peer, account.account_id, instance.instance_id, hook, url, secret)
    finally:
        await peer.stop()

"""A message whose answer is lost, through the whole product: settled by what the back end shows, by a receipt, or by a
person; never sent again, and holding up nobody.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest

from hubgate.policy.v1 import events_pb2, policy_service_pb2, records_pb2
from peers.cloud_api import CloudApiPeer
from peers.evolution import EvolutionPeer
from peers.peer import Script
from peers.waha import WahaPeer
from support.admin_core import error_info
from support.desk import fresh_phone
from support.gateway import CoreClient, Gateway

TEXT = "Your support ticket has been updated."
LOST_AFTER = Script(drop="before_answer", accepts=True, times=1)
LOST_BEFORE = Script(drop="before_answer", times=1)
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
        """The agent's reply; the answer's body."""
        body = {
            "event_type": "outbound_message",
            "to": phone,
            "message_text": text,
            "message_purpose": "support",
        }
        answer = await self.http.post(
            self.hook_url,
            content=json.dumps(body),
            headers={"X-WhatsApp-Gateway-3CX-Secret": self.secret, "Content-Type": "application/json"},
        )
        assert answer.status_code < 300, answer.text
        found: dict[str, Any] = answer.json()
        return found

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

    def grow_older(self, message_id: str) -> None:
        """A day passes for this message."""
        with sqlite3.connect(self.gateway.folder / "hubgate.db", timeout=30) as database:
            query = "UPDATE unknown_messages SET unknown_since = unknown_since - ? WHERE message_id = ?"
            assert database.execute(query, (DAY, message_id)).rowcount == 1


async def _peer(backend: str) -> tuple[Any, dict[str, str]]:
    if backend == "evolution":
        peer: Any = await EvolutionPeer.start(webhook_headers={"X-Webhook-Token": "evolution-hook-token"})
        return peer, {
            "external_name": peer.instance,
            "api_token": peer.api_key,
            "webhook_secret": "evolution-hook-token",
        }
    if backend == "waha":
        peer = await WahaPeer.start()
        return peer, {
            "external_name": peer.session,
            "api_token": peer.api_key,
            "webhook_secret": peer.hmac_key,
        }
    peer = await CloudApiPeer.start()
    return peer, {
        "external_name": peer.phone_number_id,
        "api_token": peer.token,
        "webhook_secret": peer.app_secret,
    }


@asynccontextmanager
async def _open(gateway: Gateway, backend: str) -> AsyncIterator[Line]:
    peer, fields = await _peer(backend)
    try:
        async with (
            CoreClient(gateway.core_address, gateway.admin_token) as core,
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=15) as http,
        ):
            account = await core.account()
            instance = await core.instance(account.account_id, backend, base_url=peer.base_url, **fields)
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


UNKNOWN = events_pb2.MESSAGE_STATE_UNKNOWN
HANDED_OUT = events_pb2.MESSAGE_STATE_HANDED_OUT


@pytest.mark.parametrize("backend", ["evolution", "waha"])
async def test_a_message_that_the_back_end_shows_is_settled_as_sent(
    running_gateway: Gateway, backend: str
) -> None:
    async with _open(running_gateway, backend) as line:
        phone = fresh_phone()
        assert await line.peer.post_message(line.webhook, phone, "Hello") == 200
        line.peer.script(phone, LOST_AFTER)
        answer = await line.reply(phone)
        assert answer["status"] == "pending"
        assert await line.state_once_not(answer["message_id"], HANDED_OUT, UNKNOWN) == "SENT"
        settled = await line.message(answer["message_id"])
        assert settled.external_message_id == line.peer.accepted[0].external_message_id
        assert len(line.peer.accepted) == 1, "nothing is sent again"
        assert line.used() == 1
        assert await line.unknown(answer["message_id"]) is None
        # The receipts that follow find it by the id that it has now.
        external_id = settled.external_message_id
        assert await line.peer.post_receipt(line.webhook, external_id, "delivered", phone) == 200
        assert await line.state_once_not(answer["message_id"], events_pb2.MESSAGE_STATE_SENT) == "DELIVERED"


async def test_a_status_with_our_own_id_settles_a_message_of_the_cloud_api(running_gateway: Gateway) -> None:
    async with _open(running_gateway, "cloud_api") as line:
        phone = fresh_phone()
        assert await line.peer.post_message(line.webhook, phone, "Hello") == 200
        line.peer.script(phone, LOST_AFTER)
        answer = await line.reply(phone)
        assert await line.state_once_not(answer["message_id"], HANDED_OUT) == "UNKNOWN"
        [sent] = line.peer.accepted
        assert sent.json["biz_opaque_callback_data"] == answer["message_id"]
        status = await line.peer.post_receipt(
            line.webhook, sent.external_message_id, "sent", phone, correlation_id=answer["message_id"]
        )
        assert status == 200
        assert await line.state_once_not(answer["message_id"], UNKNOWN) == "SENT"
        assert (await line.message(answer["message_id"])).external_message_id == sent.external_message_id
        assert line.used() == 1 and len(line.peer.accepted) == 1


@pytest.mark.parametrize("backend", ["evolution", "waha", "cloud_api"])
async def test_what_is_not_found_stays_unknown_until_a_person_settles_it(
    running_gateway: Gateway, backend: str
) -> None:
    async with _open(running_gateway, backend) as line:
        phone = fresh_phone()
        assert await line.peer.post_message(line.webhook, phone, "Hello") == 200
        line.peer.script(phone, LOST_BEFORE)
        lost = (await line.reply(phone))["message_id"]
        assert await line.state_once_not(lost, HANDED_OUT) == "UNKNOWN"
        following = await line.reply(phone, "And your invoice is attached to the ticket.")
        assert following["status"] == "sent", "it holds up nobody"
        assert line.used() == 2
        for _ in range(300):
            row = await line.unknown(lost)
            if row.last_look:
                break
            await asyncio.sleep(0.05)
        looked = {"cloud_api": "not_offered"}.get(backend, "not_found")
        assert (row.last_look, row.looks, row.message.text) == (looked, 1, "")
        assert (await line.message(lost)).state == UNKNOWN, "what is not shown may have been sent"

        settle = records_pb2.SettleMessageRequest(
            message_id=lost, finding=records_pb2.PERSONS_FINDING_NOT_SENT, reason="The chat has only one."
        )
        with pytest.raises(grpc.aio.AioRpcError) as early:
            await line.core.call(line.core.admin.SettleMessage, settle)
        assert error_info(early.value)[:2] == ("FAILED_PRECONDITION", "TOO_EARLY")
        line.grow_older(lost)
        await line.core.call(line.core.admin.SettleMessage, settle)
        assert (await line.message(lost)).state == events_pb2.MESSAGE_STATE_REJECTED
        assert line.used() == 1, "given back once"
        with pytest.raises(grpc.aio.AioRpcError) as again:
            await line.core.call(line.core.admin.SettleMessage, settle)
        assert error_info(again.value)[1] in {"NOT_FOUND", "NOT_UNKNOWN"}
        assert line.used() == 1
        assert TEXT not in [each.text for each in line.peer.accepted], "nothing was sent again"
        audit = await line.core.call(
            line.core.admin.ListAuditEntries,
            records_pb2.ListAuditEntriesRequest(account_id=line.account_id, page_size=1),
        )
        entry = audit.entries[0]
        assert (entry.actor, entry.act, entry.target) == ("admin", "SettleMessage", lost)
        assert json.loads(entry.detail_json) == {"finding": "not_sent", "reason": "The chat has only one."}

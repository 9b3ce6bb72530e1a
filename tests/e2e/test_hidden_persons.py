"""Persons whose phone nobody sees, through the whole product: agents get a number, and an answer to it goes to the
linked or business-scoped id. What is not text arrives as a line.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import integrations_pb2
from peers.threecx import ThreecxPeer
from peers.waha import sent
from support.back_ends import open_back_end
from support.desk import fresh_phone
from support.gateway import CoreClient, Gateway

LID = "77112233445566"
BSUID = "SA.13491208655302741918"


@dataclass
class Line:
    """One company: a back end's stand-in on one side, a phone system's on the other."""

    http: httpx.AsyncClient
    peer: Any
    pbx: ThreecxPeer
    webhook: str
    hook_url: str
    secret: str

    async def agents_see(self, number: int) -> list[dict[str, Any]]:
        """What the phone system got, once it is so much."""
        for _ in range(200):
            if len(self.pbx.received) >= number:
                break
            await asyncio.sleep(0.05)
        return [each.json for each in self.pbx.received]

    async def reply(self, to: str, text: str = "Your order is ready.") -> httpx.Response:
        """The agent's answer to a number as it was shown."""
        body = {
            "event_type": "outbound_message",
            "to": to,
            "message_text": text,
            "message_purpose": "support",
        }
        headers = {"X-WhatsApp-Gateway-3CX-Secret": self.secret}
        return await self.http.post(self.hook_url, json=body, headers=headers)


@asynccontextmanager
async def _open(gateway: Gateway, backend: str, language: str = "en") -> AsyncIterator[Line]:
    peer, fields = await open_back_end(backend)
    pbx = await ThreecxPeer.start()
    try:
        async with (
            CoreClient(gateway.core_address, gateway.admin_token) as core,
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=15) as http,
        ):
            account = await core.account()
            instance = await core.instance(account.account_id, backend, **fields)
            integration, secret, _ = await core.integration(
                account.account_id,
                [instance.instance_id],
                destination_kind=integrations_pb2.DESTINATION_KIND_THREECX_JSON,
                destination_url=f"{pbx.base_url}/events",
                language=language,
            )
            await core.probe(instance.instance_id)
            url = f"/integrations/3cx/webhook/{integration.integration_id}"
            headers = {"X-WhatsApp-Gateway-3CX-Secret": secret}
            for _ in range(100):
                if (await http.post(url, json={"event_type": "test"}, headers=headers)).status_code != 401:
                    break
                await asyncio.sleep(0.05)
            hook = f"{gateway.base_url}/webhooks/whatsapp/{backend}/{instance.instance_id}"
            yield Line(http, peer, pbx, hook, url, secret)
    finally:
        await peer.stop()
        await pbx.stop()


async def _evolution_writes(line: Line) -> None:
    assert await line.peer.post_message(line.webhook, "", "Is it ready?", remoteJid=f"{LID}@lid") == 200


async def _waha_writes(line: Line) -> None:
    chat = f"{LID}@lid"
    payload = {**sent(chat, "Is it ready?", f"false_{chat}_3EB0D1"), "fromMe": False, "source": "app"}
    assert await line.peer.post_event(line.webhook, "message", payload) == 200


async def _cloud_writes(line: Line) -> None:
    message = {
        "from_user_id": BSUID,
        "id": "wamid.HIDDEN01",
        "timestamp": str(int(time.time())),
        "type": "text",
        "text": {"body": "Is it ready?"},
    }
    contact = {"profile": {"name": "Noura"}, "user_id": BSUID}
    assert await line.peer.post_value(line.webhook, {"contacts": [contact], "messages": [message]}) == 200


@pytest.mark.parametrize(
    ("backend", "writes", "address"),
    [
        ("evolution", _evolution_writes, f"{LID}@lid"),
        ("waha", _waha_writes, f"{LID}@lid"),
        ("cloud_api", _cloud_writes, BSUID),
    ],
)
async def test_a_hidden_person_is_shown_by_a_number_and_answered_by_it(
    gateway: Gateway, backend: str, writes: Callable[[Line], Awaitable[None]], address: str
) -> None:
    async with _open(gateway, backend) as line:
        await writes(line)
        (seen,) = await line.agents_see(1)
        assert seen["from"].startswith("+89") and len(seen["from"]) == 14
        assert (seen["from_hidden"], seen["agent_text"]) == (True, "Is it ready?")
        # As the phone system writes it: without its plus sign, or with the prefix of a call abroad.
        for written in (seen["from"], seen["from"][1:], f"00{seen['from'][1:]}"):
            answer = await line.reply(written)
            assert answer.status_code == 200, answer.text
        assert [each.to for each in line.peer.accepted] == [address] * 3
        assert seen["from"][1:] not in json.dumps([each.json for each in line.peer.accepted])


async def test_nobody_is_reached_by_a_number_that_is_nobodys(gateway: Gateway) -> None:
    async with _open(gateway, "evolution") as line:
        await _evolution_writes(line)
        (seen,) = await line.agents_see(1)
        wrong = seen["from"][:-1] + str((int(seen["from"][-1]) + 1) % 10)
        assert (await line.reply(wrong)).json()["error"] == "invalid_phone"
        assert (await line.reply("+8912345678972")).status_code in {409, 422}
        assert not line.peer.accepted


async def test_an_opt_out_of_a_hidden_person_holds_for_the_number(gateway: Gateway) -> None:
    async with _open(gateway, "evolution") as line:
        await _evolution_writes(line)
        (seen,) = await line.agents_see(1)
        await line.peer.post_message(line.webhook, "", "STOP", remoteJid=f"{LID}@lid")
        assert (await line.reply(seen["from"])).json()["error"] == "recipient_suppressed"


async def test_what_is_not_text_arrives_as_a_line_in_the_agents_language(gateway: Gateway) -> None:
    async with _open(gateway, "evolution", "ar") as line:
        phone = fresh_phone()
        key = {"remoteJid": f"{phone[1:]}@s.whatsapp.net", "fromMe": False}
        await line.peer.post_message(line.webhook, phone, "Hello", message_id="FIRST1")
        shapes: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
            ("M2", key, {"locationMessage": {"degreesLatitude": 24.7, "degreesLongitude": 46.6}}),
            ("M3", key, {"audioMessage": {"ptt": True, "seconds": 5, "mimetype": "audio/ogg"}}),
            ("M4", key, {"reactionMessage": {"key": {"id": "FIRST1"}, "text": "👍"}}),
            ("M5", {**key, "fromMe": True}, {"conversation": "from the phone"}),
        ]
        for message_id, where, message in shapes:
            record = {"key": {**where, "id": message_id}, "pushName": "N", "message": message}
            assert await line.peer.post_event(line.webhook, "messages.upsert", record) == 200
        seen = await line.agents_see(5)
        assert [each["agent_text"] for each in seen] == [
            "Hello",
            "[موقع] https://maps.google.com/?q=24.700000,46.600000",
            "[رسالة صوتية، 0:05]",
            "[تفاعل بـ 👍 مع «Hello»]",
            "[من هاتف الشركة] from the phone",
        ]
        assert [each["event"] for each in seen][3:] == ["message.changed", "message.sent_on_phone"]
        # None of it was a message to the gateway but the first three, and the window is theirs.
        assert (await line.reply(phone)).status_code == 200

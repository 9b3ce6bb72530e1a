"""A missed call, seen through the phone system's API, becomes a WhatsApp message at the stand-in instance: once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import integrations_pb2, policy_service_pb2, threecx_api_pb2
from peers.evolution import EvolutionPeer
from peers.pbx_api import CLIENT_ID, CLIENT_SECRET, PbxApiPeer
from peers.peer import Script
from support.back_ends import on_evolution, open_evolution
from support.desk import fresh_phone
from support.gateway import CoreClient, Gateway
from support.replicas import Replicas

TEXT = "Sorry, we missed your call at {{call_time}}."


@dataclass
class Business:
    """A business with a phone system, an instance and customers who write first."""

    gateway: Gateway
    core: CoreClient
    pbx: PbxApiPeer
    peer: EvolutionPeer
    integration_id: str
    instance_id: str
    account_id: str
    secret: str

    async def customer(self) -> str:
        """Somebody who has written, and so may be answered."""
        phone = fresh_phone()
        url = f"{self.gateway.base_url}/webhooks/whatsapp/evolution/{self.instance_id}"
        for _ in range(100):
            # A new instance is known everywhere within a second.
            status = await self.peer.post_message(url, phone, "Hello")
            if status != 401:
                break
            await asyncio.sleep(0.05)
        assert status == 200
        return phone

    def told(self, phone: str) -> int:
        """How many messages the person got."""
        return sum(1 for each in self.peer.accepted if _digits(each.to) == phone[1:])

    async def until_told(self, phone: str) -> None:
        """Waits until the person got a message."""
        await until(lambda: self.told(phone) > 0)

    async def state(self) -> Any:
        """How watching goes."""
        request = threecx_api_pb2.GetThreecxApiStateRequest(integration_id=self.integration_id)
        return await self.core.call(self.core.admin.GetThreecxApiState, request)

    async def until_noted(self) -> None:
        """Waits until it is noted of every call what became of it, which is after the message has left."""
        async with asyncio.timeout(30):
            while (await self.state()).untold:  # noqa: ASYNC110 - it is seen from outside
                await asyncio.sleep(0.1)

    async def until_watched(self) -> None:
        """Waits until a sender watches and the policy core knows it."""
        deadline = time.monotonic() + 60
        while (await self.state()).state != "watching":
            assert time.monotonic() < deadline, await self.state()
            await asyncio.sleep(0.1)
        await self.pbx.wait_watched()


async def until(fits: Callable[[], bool]) -> None:
    """Waits until it fits. Raises TimeoutError."""
    async with asyncio.timeout(75):
        while not fits():  # noqa: ASYNC110 - it is seen from outside
            await asyncio.sleep(0.05)


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text.partition("@")[0]))


async def open_business(gateway: Gateway, core: CoreClient, pbx: PbxApiPeer, peer: EvolutionPeer) -> Business:
    """Everything set up, as an administrator would."""
    account = await core.account()
    instance = await core.instance(
        account.account_id,
        "evolution",
        **on_evolution(peer),
    )
    integration, secret, _ = await core.integration(
        account.account_id, [instance.instance_id], call_events_enabled=True
    )
    await core.probe(instance.instance_id)
    template = integrations_pb2.Template(
        integration_id=integration.integration_id,
        event_type=policy_service_pb2.EVENT_TYPE_MISSED_CALL,
        enabled=True,
        language="en",
        text=TEXT,
    )
    await core.call(core.admin.UpdateTemplate, integrations_pb2.UpdateTemplateRequest(template=template))
    business = Business(
        gateway, core, pbx, peer, integration.integration_id, instance.instance_id, account.account_id, secret
    )
    await set_api(business)
    return business


async def set_api(business: Business, **fields: Any) -> None:
    """Sets the phone system's API."""
    api = threecx_api_pb2.ThreecxApi(
        **{
            "integration_id": business.integration_id,
            "base_url": business.pbx.base_url,
            "client_id": CLIENT_ID,
            "missed_calls": True,
            "webhook_discovery": True,
            **fields,
        }
    )
    request = threecx_api_pb2.SetThreecxApiRequest(api=api, client_secret=CLIENT_SECRET)
    await business.core.call(business.core.admin.SetThreecxApi, request)


@pytest.fixture
async def pbx() -> AsyncIterator[PbxApiPeer]:
    peer = await PbxApiPeer.start()
    yield peer
    await peer.stop()


@pytest.fixture
async def peer() -> AsyncIterator[EvolutionPeer]:
    found = await open_evolution()
    yield found
    await found.stop()


async def test_missed_calls_become_messages_and_a_restart_of_the_phone_system_changes_nothing(
    gateway: Gateway, pbx: PbxApiPeer, peer: EvolutionPeer
) -> None:
    async with CoreClient(gateway.core_address, gateway.admin_token) as core:
        business = await open_business(gateway, core, pbx, peer)
        await business.until_watched()
        first, second, stranger = await business.customer(), await business.customer(), fresh_phone()
        answered = await pbx.ring(second, "150", "151")
        await asyncio.sleep(0.3)
        await pbx.answer(answered, "150")
        await pbx.miss(first, "150", "151")
        await pbx.miss(stranger)
        await pbx.hang_up(answered)
        await business.until_told(first)
        text = next(each.text for each in peer.accepted if _digits(each.to) == first[1:])
        assert text.startswith("Sorry, we missed your call at 20")

        third = await business.customer()
        pbx.script("socket", Script(status=503))
        await pbx.restart()
        await pbx.miss(third)
        assert not pbx.sockets
        pbx.forget_scripts()
        await business.until_told(third)
        await business.until_noted()
        assert (await business.state()).state == "watching"
        assert (business.told(first), business.told(second), business.told(third)) == (1, 0, 1)
        assert business.told(stranger) == 0

        # The same calls are in the history still; setting it anew reads them again.
        await set_api(business, every_extension_listed=True)
        await business.until_watched()
        fourth = await business.customer()
        await pbx.miss(fourth)
        await business.until_told(fourth)
        assert [business.told(each) for each in (first, second, third, fourth)] == [1, 0, 1, 1]
        for name in gateway.processes:
            assert CLIENT_SECRET not in gateway.log(name)
            assert pbx.token not in gateway.log(name)


async def test_who_wrote_a_reply_is_learnt_from_the_phone_systems_chat(
    gateway: Gateway, pbx: PbxApiPeer, peer: EvolutionPeer
) -> None:
    async with (
        CoreClient(gateway.core_address, gateway.admin_token) as core,
        httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=15) as http,
    ):
        business = await open_business(gateway, core, pbx, peer)
        await set_api(business, missed_calls=False, who_replied=True)
        phone = await business.customer()
        pbx.chat(phone, "Hello")
        pbx.chat(phone, "Your  parcel is on its way.", agent="150", name="Sara")
        pbx.chat(phone, "Your parcel is lost.", agent="151", name="Omar")
        answer = await http.post(
            f"/integrations/3cx/webhook/{business.integration_id}",
            json={
                "event_type": "inbound_reply",
                "to": phone,
                "message_text": "Your parcel is on its way.",
                "message_purpose": "support",
            },
            headers={"X-WhatsApp-Gateway-3CX-Secret": business.secret},
        )
        assert answer.status_code == 200, answer.text
        found = policy_service_pb2.GetMessageResponse()
        deadline = time.monotonic() + 75
        request = policy_service_pb2.GetMessageRequest(
            account_id=business.account_id, message_id=answer.json()["message_id"]
        )
        while not found.HasField("author"):
            assert time.monotonic() < deadline, await business.state()
            found = await core.call(core.policy.GetMessage, request)
            await asyncio.sleep(0.2)
        assert (found.author.extension, found.author.name) == ("150", "Sara")
        assert not pbx.sockets


async def test_another_sender_takes_over_from_a_killed_one_and_nothing_is_told_twice(
    postgres_url: str, tmp_path: Path, pbx: PbxApiPeer, peer: EvolutionPeer
) -> None:
    replicas = Replicas(tmp_path, postgres_url)
    await replicas.start()
    try:
        gateway = replicas.gateways[0]
        async with CoreClient(gateway.core_address, gateway.admin_token) as core:
            business = await open_business(gateway, core, pbx, peer)
            await business.until_watched()
            phones = [await business.customer() for _ in range(4)]
            await pbx.miss(phones[0])
            await business.until_told(phones[0])
            assert len(pbx.sockets) == 1

            # Whichever sender watches, its end is sudden, and a call is missed while nobody watches.
            ringing = await pbx.ring(phones[1], "150")
            watcher = next(each for each in replicas.gateways if _watches(each, pbx))
            watcher.processes["sender"].kill()
            await until(lambda: not pbx.sockets)
            await pbx.hang_up(ringing)
            await pbx.wait_watched()
            await business.until_told(phones[1])
            await pbx.miss(phones[2])
            await business.until_told(phones[2])

            # The policy core that holds the lease is killed, too: the other one goes on.
            watcher.processes["sender"].wait()
            watcher.start_part("sender")
            replicas.gateways[1].processes["policycore"].kill()
            await pbx.miss(phones[3])
            await business.until_told(phones[3])
            assert [business.told(each) for each in phones] == [1, 1, 1, 1]
    finally:
        replicas.stop()


def _watches(gateway: Gateway, pbx: PbxApiPeer) -> bool:
    """Whether the stand-in's socket leads to this gateway's sender."""
    pid = gateway.processes["sender"].pid
    ports = {transport.get_extra_info("peername")[1] for transport in pbx.sockets.values() if transport}
    return bool(ports & _ports_of(pid))


def _ports_of(pid: int) -> set[int]:
    """Local ports of a process's sockets."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = str(entry.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        if parts[9] in inodes:
            found.add(int(parts[1].rpartition(":")[2], 16))
    return found

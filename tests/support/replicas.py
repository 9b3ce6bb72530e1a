"""Two of each service over one database. Like behind a proxy, nobody new goes to a replica that is being changed."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx

from hubgate.policy.v1 import accounts_pb2
from policycore.store.migrate import upgrade
from support.desk import Desk, open_desk
from support.gateway import START_SECONDS, CoreClient, Gateway


class Replicas:
    """Two gateways: each edge has a policy core, and each policy core both senders. Both share every key."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.gateways: list[Gateway] = []
        for name in ("a", "b"):
            (folder / name).mkdir()
            self.gateways.append(Gateway(folder / name, database_url))
        first, second = self.gateways
        senders = ",".join(each.environment["HUBGATE_SENDER_LISTEN"] for each in self.gateways)
        for shared in _SHARED:
            second.environment[shared] = first.environment[shared]
        second.admin_token, second.edge_token = first.admin_token, first.edge_token
        for each in self.gateways:
            each.environment["HUBGATE_SENDER_ADDRESSES"] = senders
        self._under_way = {id(each): 0 for each in self.gateways}
        self._open = list(self.gateways)

    async def start(self) -> None:
        """Migrates the database and starts the six services."""
        await upgrade(self.gateways[0].database_url)
        for name in ("sender", "policycore", "edge"):
            for each in self.gateways:
                each.start_part(name)
        for each in self.gateways:
            await each.wait_ready()

    def stop(self) -> None:
        """Ends every service."""
        for each in self.gateways:
            each.stop()

    @asynccontextmanager
    async def chosen(self, number: int) -> AsyncIterator[Gateway]:
        """A gateway that takes requests now."""
        gateway = self._open[number % len(self._open)]
        self._under_way[id(gateway)] += 1
        try:
            yield gateway
        finally:
            self._under_way[id(gateway)] -= 1

    async def change(self, gateway: Gateway, parts: tuple[str, ...], **environment: str) -> None:
        """Stops these services of a gateway, in this order, and starts them again with other settings, the last first.

        Requests go to the other gateway meanwhile.
        """
        self._open.remove(gateway)
        while self._under_way[id(gateway)]:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
        gateway.environment.update(environment)
        for name in parts:
            await asyncio.to_thread(_end, gateway.processes[name])
        for name in reversed(parts):
            gateway.start_part(name)
        if "sender" in parts:
            await self._sender_serves(gateway)
        await gateway.wait_ready()
        self._open.append(gateway)

    async def _sender_serves(self, gateway: Gateway) -> None:
        """Waits until both policy cores speak to the sender: a second later every heartbeat has come."""
        address = gateway.environment["HUBGATE_SENDER_LISTEN"]
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(START_SECONDS):
            await channel.channel_ready()
        await asyncio.sleep(1.5)


_SHARED = (
    "HUBGATE_MASTER_KEY",
    "HUBGATE_PERMIT_KEY",
    "HUBGATE_PERMIT_PUBLIC_KEYS",
    "HUBGATE_EDGE_TOKEN",
    "HUBGATE_ADMIN_TOKEN",
    "HUBGATE_SENDER_TOKEN",
)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(20)


class BusyDesk:
    """A desk with many persons in conversation, whose agents write through whichever edge takes requests."""

    def __init__(self, replicas: Replicas, desk: Desk, http: httpx.AsyncClient, phones: list[str]) -> None:
        self.replicas = replicas
        self.desk = desk
        self.phones = phones
        self._http = http

    async def write(self, number: int) -> str:
        """One reply; returns what was answered."""
        async with self.replicas.chosen(number) as gateway:
            answer = await self._http.post(
                gateway.base_url + self.desk.url,
                json={
                    "event_type": "outbound_message",
                    "to": self.phones[number % len(self.phones)],
                    "message_text": f"Answer {number}",
                    "message_purpose": "support",
                },
                headers={"X-WhatsApp-Gateway-3CX-Secret": self.desk.secret},
            )
        return str(answer.json().get("status") or answer.json()["error"])


@asynccontextmanager
async def busy_desk(replicas: Replicas, persons: int = 60) -> AsyncIterator[BusyDesk]:
    """A desk that both edges know, without a quota that a test could reach."""
    first = replicas.gateways[0]
    plan = {"plan": accounts_pb2.PLAN_CUSTOM, "daily_limit": 10**6, "monthly_limit": 10**6}
    async with (
        CoreClient(first.core_address, first.admin_token) as core,
        httpx.AsyncClient(trust_env=False, timeout=15) as http,
        httpx.AsyncClient(base_url=first.base_url, trust_env=False, timeout=15) as own,
    ):
        desk = await open_desk(first, core, own, account=plan)
        # None of them ends like one of the sandbox's special numbers, 0001 to 0004.
        phones = [f"+9665{int(time.time()) % 10**5:05d}{500 + number}" for number in range(persons)]
        for phone in phones:
            await desk.customer_writes(phone)
        await asyncio.sleep(1.0)
        yield BusyDesk(replicas, desk, http, phones)

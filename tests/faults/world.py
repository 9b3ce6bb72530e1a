"""Everything one run needs: real servers, stand-ins, proxies, the six processes, and the company they work for."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from faults.clock import Clock, shift_statements
from faults.evidence import Evidence, Ledger, Record
from faults.ledger_reader import open_work, read_ledger
from faults.proxy import Proxy
from faults.replicas import NO_CHANGES, Services
from faults.stand_ins import API_KEY, WEBHOOK_TOKEN, Instances, Threecx
from hubgate.policy.v1 import accounts_pb2, controls_pb2, integrations_pb2
from policycore.store.migrate import upgrade
from servers.postgres import PostgresServer, running_postgres
from servers.redis import RedisServer, running_redis
from support.gateway import CoreClient, Gateway

_NO_LIMIT = 1_000_000
_NO_PACE = (1_000.0, 10_000)
_OUTSIDE = ("policycore-postgresql", "policycore-redis", "sender-instance", "sender-threecx")
REST_SECONDS = 150.0
"""Longer than a message may be handed out unsettled (90 s), than a lease, and than the second retry of an event."""


@dataclass(slots=True)
class Line:
    """One integration and its instance: where 3CX posts, and where persons write. Its secret may be rotated."""

    account_id: str
    integration_id: str
    instance_id: str
    name: str
    secret: str

    @property
    def path(self) -> str:
        """Where 3CX posts."""
        return f"/integrations/3cx/webhook/{self.integration_id}"

    @property
    def inbound_path(self) -> str:
        """Where the instance posts."""
        return f"/webhooks/whatsapp/evolution/{self.instance_id}"


@dataclass(slots=True)
class World:
    """A running world."""

    folder: Path
    postgres: PostgresServer
    redis: RedisServer
    database: str
    gateway: Gateway
    services: Services
    outside: dict[str, Proxy]
    instances: Instances
    threecx: Threecx
    clock: Clock
    record: Record = field(default_factory=Record)
    lines: list[Line] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        """libpq's address of the database, past the proxy."""
        return self.postgres.url(self.database).replace("+asyncpg", "")

    @property
    def proxies(self) -> dict[str, Proxy]:
        """Every proxy by the pair it stands between."""
        return {**self.outside, **self.services.proxies}

    def edge_urls(self) -> list[str]:
        """Where clients reach the edges."""
        return [f"http://127.0.0.1:{self.services.proxies[f'client-edge{n}'].port}" for n in (1, 2)]

    async def administer(self, work: Callable[[CoreClient], Awaitable[Any]], tries: int = 300) -> Any:
        """Has an administrator do something, again and again until a policy core has answered."""
        for attempt in range(tries):
            process = self.services.processes[f"policycore{attempt % 2 + 1}"]
            async with CoreClient(f"127.0.0.1:{process.port}", self.gateway.admin_token) as core:
                try:
                    return await work(core)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in _COMES_BACK or attempt == tries - 1:
                        raise
            await asyncio.sleep(0.1)
        raise RuntimeError("no policy core answered")

    async def open_line(
        self, name: str, *, daily_limit: int = _NO_LIMIT, pace: tuple[float, int] = _NO_PACE, **account: Any
    ) -> Line:
        """A new account with one instance and one integration. `pace` is messages a second, and so many at once."""

        async def make(core: CoreClient) -> Line:
            made = await core.account(
                name=name,
                plan=accounts_pb2.PLAN_CUSTOM,
                daily_limit=daily_limit,
                monthly_limit=_NO_LIMIT,
                **account,
            )
            rules = controls_pb2.Rules(pair_messages_per_minute=6_000, pair_burst=10_000)
            request = controls_pb2.UpdateRulesRequest(account_id=made.account_id, rules=rules)
            await core.call(core.admin.UpdateRules, request)
            instance = await core.instance(
                made.account_id,
                "evolution",
                name=name,
                base_url=f"http://127.0.0.1:{self.outside['sender-instance'].port}",
                external_name=name,
                api_token=API_KEY,
                webhook_secret=WEBHOOK_TOKEN,
                messages_per_second=pace[0],
                burst=pace[1],
            )
            await core.probe(instance.instance_id)
            integration, secret, _ = await core.integration(
                made.account_id,
                [instance.instance_id],
                name=name,
                requests_per_minute=1_000_000,
                destination_kind=integrations_pb2.DESTINATION_KIND_THREECX_JSON,
                destination_url=f"http://127.0.0.1:{self.outside['sender-threecx'].port}/events",
            )
            return Line(made.account_id, integration.integration_id, instance.instance_id, name, secret)

        line: Line = await self.administer(make)
        self.lines.append(line)
        self.instances.owner[name] = self.edge_urls()[0] + line.inbound_path
        return line

    async def heal(self) -> None:
        """Ends every fault: servers run, the network is good, the stand-ins behave, every process is up."""
        for proxy in self.proxies.values():
            proxy.clear()
        self.instances.forget_scripts()
        self.instances.half_answers = False
        self.instances.repeats_ids = False
        self.instances.tells_before_it_answers = False
        self.threecx.forget_scripts()
        for process in self.services.processes.values():
            process.control.shift(self.clock.shift_seconds)
        await self.services.ready()

    async def rest(self, seconds: float = REST_SECONDS) -> bool:
        """Waits until no work is left; False if some is when time is up."""
        deadline = time.monotonic() + seconds
        while any(await open_work(self.dsn)):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.5)
        return True

    def begin(self) -> tuple[Record, list[Line]]:
        """A new round: what is recorded and opened from now on belongs to it."""
        self.record, self.lines = Record(), []
        return self.record, self.lines

    async def ledger(self) -> Ledger:
        """The database as it is now."""
        return await read_ledger(self.dsn)

    def evidence(self, ledger: Ledger, record: Record, lines: list[Line]) -> Evidence:
        """What there is to judge of one round: its accounts' part of everything."""
        names = {line.instance_id: line.name for line in lines}
        own = set(names.values())
        said = {written.external_id for written in record.written}
        accounts = {line.account_id for line in lines}
        part = ledger.of(accounts, {line.integration_id for line in lines}, set(names))
        known = said | {row.external_id for row in part.messages}
        return Evidence(
            record,
            part,
            [arrival for arrival in self.instances.arrivals if arrival.instance in own],
            [event for event in self.threecx.forwarded if event.external_id in known],
            names,
        )


_COMES_BACK = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


@contextlib.asynccontextmanager
async def running_world(
    shift_seconds: float = 0.0, changes: Mapping[str, float | str] = NO_CHANGES
) -> AsyncIterator[World]:
    """A world that is ready, its clocks so far ahead; everything in it is ended on leaving."""
    clock = Clock(shift_seconds)
    with (
        tempfile.TemporaryDirectory(prefix="hubgate-faults-") as name,
        running_postgres() as postgres,
        running_redis() as redis,
    ):
        folder = Path(name)
        database = postgres.create_database()
        url = postgres.url(database)
        await upgrade(url)
        if shift_seconds:
            for statement in shift_statements(database, shift_seconds):
                postgres.execute(statement, database)
        gateway = Gateway(folder, url, redis.url)
        instances, threecx = Instances(clock.now), Threecx(clock.now)
        await instances.listen()
        await threecx.listen()
        ports = (postgres.port, redis.port, _port(instances.base_url), _port(threecx.base_url))
        outside = {pair: await Proxy(pair, port).start() for pair, port in zip(_OUTSIDE, ports, strict=True)}
        services = Services(folder, gateway, outside, shift_seconds, changes=changes)
        try:
            await services.start()
            yield World(
                folder, postgres, redis, database, gateway, services, outside, instances, threecx, clock
            )
        finally:
            await services.stop()
            for proxy in outside.values():
                await proxy.stop()
            await instances.stop()
            await threecx.stop()


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])

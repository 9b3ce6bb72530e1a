"""A policy core with nothing but the AdminService, over a migrated database, reached through real gRPC."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from hubgate.policy.v1 import (
    admin_service_pb2_grpc,
    policy_service_pb2_grpc,
)
from policycore.connection_facts import Reached
from policycore.dispatch.instance_gates import InstanceGates
from policycore.errors import Unavailable
from policycore.pbx import HeldWatch, MessagingTrunk, PbxNews, PbxTarget, SenderGone
from policycore.pbx_authors import WrittenInChat
from policycore.ports import Posting, PostOutcome, PostResult
from policycore.registry.registry import build_registry
from policycore.registry.sealing import Sealing
from policycore.registry.snapshot import InstanceConfig, ServiceTokenConfig, Snapshot
from policycore.registry.system_state import ComponentState, SystemState
from policycore.rpc.admin_service import AdminServicer
from policycore.rpc.identity import IdentityInterceptor, built_in_identities
from policycore.store import migrate
from policycore.store.config_reader import read_snapshot
from policycore.store.connection_reads import SqlConnectionReads
from policycore.store.decisions import SnapshotAt
from policycore.store.engine import Database, open_database
from policycore.store.log_queries import SqlDeliveryReplays, SqlLogReader
from policycore.store.registry_store import SqlRegistryStore
from policycore.store.unknowns import SqlUnknownLedger
from policycore.usecases.check_connection import ConnectionCheck, ConnectionParts
from policycore.usecases.command import Decided
from policycore.usecases.settle_unknown import UnknownMessages

EDGE_TOKEN = "edge-token-for-tests-0123456789"
ADMIN_TOKEN = "admin-token-for-tests-0123456789"
MASTER_KEY = bytes(range(32))


@dataclass
class RecordingGuards:
    """Guards that obey at once and remember what they were told."""

    guarded: list[str] = field(default_factory=list)
    lifted: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def opted_out(self, person_id: str, until: datetime) -> None:
        self.guarded.append(person_id)

    def opt_out_lifted(self, person_id: str) -> None:
        self.lifted.append(person_id)

    async def confirm(self, version: int, seconds: float) -> int:
        self.versions.append(version)
        return 2


@dataclass
class ScriptedProbe:
    """Answers with what the test put there, and remembers whom it asked how."""

    answer: tuple[str, str, str] = ("open", "", "")
    asked: list[InstanceConfig] = field(default_factory=list)

    async def probe(self, instance: InstanceConfig) -> tuple[str, str, str]:
        self.asked.append(instance)
        return self.answer


@dataclass
class ScriptedPbx:
    """Phone systems that show the trunks the test put there, and remember how they were asked."""

    trunks_there: list[MessagingTrunk] = field(default_factory=list)
    failure: str = ""
    asked: list[PbxTarget] = field(default_factory=list)

    async def watch(self, held: HeldWatch) -> AsyncGenerator[PbxNews, None]:
        raise SenderGone("no_sender")
        yield

    async def trunks(self, target: PbxTarget) -> tuple[list[MessagingTrunk], str]:
        self.asked.append(target)
        return self.trunks_there, self.failure

    async def chats(self, target: PbxTarget, since: datetime) -> tuple[list[WrittenInChat], str]:
        return [], "no_sender"


@dataclass
class ScriptedWays:
    """Ways out that come as far as the test says, and remember what was asked of them."""

    failures: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    answer: PostResult = field(default_factory=lambda: PostResult(PostOutcome.TAKEN, 200))
    reached: list[str] = field(default_factory=list)
    posted: list[Posting] = field(default_factory=list)

    async def reach(self, url: str, *, gateway: bool) -> Reached:
        self.reached.append(url)
        failure = self.failures.get(url, "")
        return Reached(failure, 0 if failure else self.statuses.get(url, 200), gateway and not failure)

    async def post(self, posting: Posting) -> PostResult:
        self.posted.append(posting)
        return self.answer


class NoSubmitter:
    """Decides nothing: a policy core that cannot."""

    async def submit(
        self, command: Any, *, requests_per_minute: int | None, timeout_seconds: float
    ) -> Decided:
        raise Unavailable("nothing is decided here")


class FixedWatch:
    """A system that is well."""

    async def look(self) -> SystemState:
        part = ComponentState("database", True, "The database answers.")
        return SystemState((part,), "0.0.0", "0002", datetime(2026, 3, 14, tzinfo=UTC))


class Caller:
    """Calls RPCs of both services by name, showing one token."""

    def __init__(self, channel: grpc.aio.Channel, token: str | None) -> None:
        self._stubs: tuple[Any, ...] = (
            admin_service_pb2_grpc.AdminServiceStub(channel),
            policy_service_pb2_grpc.PolicyServiceStub(channel),
        )
        self.metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()

    async def __call__(self, rpc: str, request: Any) -> Any:
        """The answer of a unary RPC."""
        return await self.method(rpc)(request, metadata=self.metadata, timeout=10)

    def method(self, rpc: str) -> Any:
        """The stub's method."""
        return next(getattr(stub, rpc) for stub in self._stubs if hasattr(stub, rpc))


@dataclass
class AdminCore:
    """What the tests speak with."""

    database: Database
    address: str
    channel: grpc.aio.Channel
    guards: RecordingGuards
    probe: ScriptedProbe
    sealing: Sealing
    interceptor: IdentityInterceptor
    woken: list[str]
    tokens: dict[bytes, ServiceTokenConfig]
    gates: InstanceGates
    pbx: ScriptedPbx
    ways: ScriptedWays

    def caller(self, token: str | None) -> Caller:
        """Someone who shows this token."""
        return Caller(self.channel, token)

    @property
    def admin(self) -> Caller:
        """The administrator."""
        return self.caller(ADMIN_TOKEN)

    async def snapshot(self) -> Snapshot:
        """The configuration as it is now, with its service tokens put where the interceptor looks."""
        async with self.database.reading() as connection:
            snapshot = await read_snapshot(connection, self.sealing.unseal, datetime.now(UTC))
        self.tokens.clear()
        self.tokens.update(snapshot.service_tokens)
        return snapshot


@asynccontextmanager
async def running_admin_core(database_url: str) -> AsyncIterator[AdminCore]:
    """Migrates the database and serves both services on a free port; PolicyService answers UNIMPLEMENTED."""
    await migrate.upgrade(database_url)
    database = open_database(database_url)
    woken: list[str] = []
    tokens: dict[bytes, ServiceTokenConfig] = {}
    guards, probe, sealing = RecordingGuards(), ScriptedProbe(), Sealing(MASTER_KEY, os.urandom)
    gates = InstanceGates(lambda: 0.0, failures_to_open=1)
    ways = ScriptedWays()
    store = SqlRegistryStore(database, lambda: woken.append("configuration"))
    parts = ConnectionParts(
        store=store,
        log=SqlLogReader(database),
        reads=SqlConnectionReads(database, _snapshot_at(sealing)),
        holds=gates,
        ways=ways,
        submits=NoSubmitter(),
        random_bytes=os.urandom,
    )
    registry = build_registry(
        store=store,
        log_reader=SqlLogReader(database),
        replays=SqlDeliveryReplays(database),
        unknowns=UnknownMessages(
            SqlUnknownLedger(database, _snapshot_at(sealing)), os.urandom, lambda: woken.append("outbox")
        ),
        sealing=sealing,
        probe=probe,
        guards=guards,
        system=FixedWatch(),
        holds=gates,
        pbx=(pbx := ScriptedPbx()),
        connections=ConnectionCheck(parts),
        wake_outbox=lambda: woken.append("outbox"),
        random_bytes=os.urandom,
        plain_http=False,
    )
    interceptor = IdentityInterceptor(
        built_in_identities([EDGE_TOKEN], [ADMIN_TOKEN]), tokens.get, lambda: datetime.now(UTC)
    )
    server = grpc.aio.server(interceptors=[interceptor])
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(AdminServicer(registry), server)
    policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(
        policy_service_pb2_grpc.PolicyServiceServicer(),  # type: ignore[abstract] # answers UNIMPLEMENTED
        server,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    try:
        yield AdminCore(
            database,
            f"127.0.0.1:{port}",
            channel,
            guards,
            probe,
            sealing,
            interceptor,
            woken,
            tokens,
            gates,
            pbx,
            ways,
        )
    finally:
        await channel.close(None)
        await server.stop(0)
        await database.close()


def _snapshot_at(sealing: Sealing) -> SnapshotAt:
    """What is configured as a transaction sees it, read each time."""

    async def read(connection: Any) -> tuple[datetime, Snapshot]:
        now = datetime.now(UTC)
        return now, await read_snapshot(connection, sealing.unseal, now)

    return read


def error_info(error: grpc.aio.AioRpcError) -> tuple[str, str, str]:
    """Code, reason and field of a failed call; the domain is checked on the way."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # the stubs know no grpc.aio
    assert status is not None, f"no details in {error}"
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.domain == "hubgate"
    return error.code().name, info.reason, info.metadata.get("field", "")

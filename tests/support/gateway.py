"""The whole product as its operators run it: three processes, gRPC between them, a database of their own."""

import asyncio
import base64
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hubgate.policy.v1 import (
    accounts_pb2,
    admin_service_pb2_grpc,
    instances_pb2,
    integrations_pb2,
    policy_service_pb2_grpc,
)
from policycore.store.migrate import upgrade

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Gateway:
    """A running gateway. `start` it, use it through HTTP and gRPC, `stop` it."""

    folder: Path
    database_url: str
    redis_url: str | None = None
    extra: dict[str, str] = field(default_factory=dict)
    part_extra: dict[str, dict[str, str]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admin_token = secrets.token_urlsafe(32)
        self.edge_token = secrets.token_urlsafe(32)
        edge, core, sender = free_port(), free_port(), free_port()
        self.base_url = f"http://127.0.0.1:{edge}"
        self.core_address = f"127.0.0.1:{core}"
        key = Ed25519PrivateKey.generate()
        seed = base64.b64encode(key.private_bytes_raw()).decode()
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'proto/gen'}",
            "HUBGATE_ENVIRONMENT": "development",
            "HUBGATE_DATA": str(self.folder),
            "HUBGATE_DATABASE_URL": self.database_url,
            "HUBGATE_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "HUBGATE_PERMIT_KEY": f"k1:{seed}",
            "HUBGATE_PERMIT_PUBLIC_KEYS": f"k1:{base64.b64encode(public).decode()}",
            "HUBGATE_EDGE_TOKEN": self.edge_token,
            "HUBGATE_ADMIN_TOKEN": self.admin_token,
            "HUBGATE_SENDER_TOKEN": secrets.token_urlsafe(32),
            "HUBGATE_SENDER_LISTEN": f"127.0.0.1:{sender}",
            "HUBGATE_SENDER_ADDRESSES": f"127.0.0.1:{sender}",
            "HUBGATE_POLICYCORE_LISTEN": self.core_address,
            "HUBGATE_POLICYCORE_ADDRESS": self.core_address,
            "HUBGATE_EDGE_LISTEN": f"127.0.0.1:{edge}",
            "HUBGATE_ALLOWED_PRIVATE_RANGES": "127.0.0.0/8",
            "HUBGATE_SANDBOX": "open",
            **({"HUBGATE_REDIS_URL": self.redis_url} if self.redis_url else {}),
            **self.extra,
        }

    async def start(self) -> None:
        """Migrates the database and starts the three services; returns when the edge is ready."""
        await upgrade(self.database_url)
        for name in ("sender", "policycore", "edge"):
            self.start_part(name)
        await self.wait_ready()

    def start_part(self, name: str) -> None:
        """Starts one service; its log goes to a file in the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"{name}.main"],
                cwd=ROOT,
                env=self.environment | self.part_extra.get(name, {}),
                stdout=log,
                stderr=log,
            )

    async def wait_ready(self) -> None:
        """Waits until `/readyz` answers 200."""
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient(trust_env=False) as client:
            while time.monotonic() < deadline:
                for name, process in self.processes.items():
                    if process.poll() is not None:
                        raise AssertionError(f"{name} ended:\n{self.log(name)}")
                try:
                    if (await client.get(f"{self.base_url}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError("not ready:\n" + "\n".join(self.log(name) for name in self.processes))

    def log(self, name: str) -> str:
        """What a service wrote."""
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def stop(self) -> None:
        """Ends every service, by process id."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def channel(self, token: str) -> "CoreClient":
        """A gRPC client under a token."""
        return CoreClient(self.core_address, token)


class CoreClient:
    """Calls the policy core as whoever holds the token."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.admin: Any = admin_service_pb2_grpc.AdminServiceStub(self._channel)
        self.policy: Any = policy_service_pb2_grpc.PolicyServiceStub(self._channel)

    async def __aenter__(self) -> "CoreClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    async def call(self, method: Any, request: Any) -> Any:
        """One unary call."""
        return await method(request, metadata=self.metadata, timeout=10)

    async def account(self, **fields: Any) -> Any:
        """A new account in Riyadh."""
        account = accounts_pb2.Account(
            **{
                "name": "Acme",
                "time_zone": "Asia/Riyadh",
                "plan": 1,
                "threecx_module_enabled": True,
                **fields,
            }
        )
        request = accounts_pb2.CreateAccountRequest(account=account)
        return (await self.call(self.admin.CreateAccount, request)).account

    async def instance(self, account_id: str, backend: str, **fields: Any) -> Any:
        """A new instance."""
        instance = instances_pb2.Instance(
            account_id=account_id, backend=backend, **{"name": backend, **fields}
        )
        request = instances_pb2.CreateInstanceRequest(instance=instance)
        return (await self.call(self.admin.CreateInstance, request)).instance

    async def probe(self, instance_id: str) -> Any:
        """Asks the back end for the instance's state."""
        request = instances_pb2.ProbeInstanceRequest(instance_id=instance_id)
        return await self.call(self.admin.ProbeInstance, request)

    async def integration(
        self, account_id: str, instance_ids: Sequence[str], **fields: Any
    ) -> tuple[Any, str, str]:
        """A new integration; returns it with its webhook secret and its signing secret."""
        values = {
            "name": "3CX",
            "enabled": True,
            "instance_ids": list(instance_ids),
            "default_instance_id": instance_ids[0],
            "inbound_enabled": True,
            "outbound_enabled": True,
            "destination_kind": integrations_pb2.DESTINATION_KIND_SANDBOX_INBOX,
            "country": "SA",
            "auth_mode": integrations_pb2.AUTH_MODE_SECRET,
            "requests_per_minute": 6000,
            **fields,
        }
        integration = integrations_pb2.Integration(account_id=account_id, **values)
        request = integrations_pb2.CreateIntegrationRequest(integration=integration)
        answer = await self.call(self.admin.CreateIntegration, request)
        return answer.integration, answer.secret, answer.signing_secret

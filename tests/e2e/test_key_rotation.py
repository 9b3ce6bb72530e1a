"""Every key of the services is changed while requests flow through two replicas of each: none is refused."""

import base64
import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hubgate.policy.v1 import records_pb2
from hubgate.sender.v1 import sender_service_pb2 as sender_pb
from hubgate.sender.v1 import sender_service_pb2_grpc as sender_grpc
from peers.instructor import KEY_ID, Instructor
from support.gateway import ROOT, CoreClient, Gateway
from support.replicas import BusyDesk, Replicas, busy_desk
from support.traffic import flowing

TOKENS = ("HUBGATE_EDGE_TOKEN", "HUBGATE_ADMIN_TOKEN", "HUBGATE_SENDER_TOKEN")


class Keys:
    """The keys before and after. The permits' old key is one the test can sign with as well."""

    def __init__(self, replicas: Replicas) -> None:
        self.instructor = Instructor()
        seed = base64.b64encode(self.instructor.key.private_bytes_raw()).decode()
        self.old = {
            **{name: replicas.gateways[0].environment[name] for name in (*TOKENS, "HUBGATE_MASTER_KEY")},
            "HUBGATE_PERMIT_KEY": f"{KEY_ID}:{seed}",
            "HUBGATE_PERMIT_PUBLIC_KEYS": self.instructor.public_keys,
        }
        permit = Ed25519PrivateKey.generate()
        public = base64.b64encode(permit.public_key().public_bytes_raw()).decode()
        self.new = {
            **{name: secrets.token_urlsafe(32) for name in TOKENS},
            "HUBGATE_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "HUBGATE_PERMIT_KEY": f"k2:{base64.b64encode(permit.private_bytes_raw()).decode()}",
            "HUBGATE_PERMIT_PUBLIC_KEYS": f"k2:{public}",
        }
        for each in replicas.gateways:
            each.environment.update(self.old)

    def both(self, *, new_first: bool) -> dict[str, str]:
        """Two active keys of each; signing permits takes one."""
        first, second = (self.new, self.old) if new_first else (self.old, self.new)
        found = {name: f"{first[name]},{second[name]}" for name in first}
        found["HUBGATE_PERMIT_KEY"] = first["HUBGATE_PERMIT_KEY"]
        return found


async def test_every_key_changes_and_no_request_is_refused(tmp_path: Path, postgres_url: str) -> None:
    replicas = Replicas(tmp_path, postgres_url)
    keys = Keys(replicas)
    try:
        await replicas.start()
        async with busy_desk(replicas) as desk, flowing(desk.write, tasks=3) as traffic:
            await traffic.more(10)
            # 1: everybody accepts both and shows the old. 2: everybody shows the new. 3: the old ends.
            for gateway in list(replicas.gateways):
                await replicas.change(gateway, ("edge", "policycore", "sender"), **keys.both(new_first=False))
            for gateway in list(replicas.gateways):
                await replicas.change(gateway, ("edge", "policycore"), **keys.both(new_first=True))
            _reseal(replicas.gateways[0])
            for gateway in list(replicas.gateways):
                await replicas.change(gateway, ("edge", "policycore", "sender"), **keys.new)
            await traffic.more(10)
        assert traffic.count > 50
        assert set(traffic.answers) <= {"sent", "pending"}, traffic.answers
        await _old_keys_are_refused(replicas, keys)
        await _everybody_was_written_to_once(desk, traffic.count)
    finally:
        replicas.stop()


def _reseal(gateway: Gateway) -> None:
    done = _run(gateway.environment, "key", "reseal", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["resealed"] > 0 and found["problems"] == []


def _run(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


async def _old_keys_are_refused(replicas: Replicas, keys: Keys) -> None:
    gateway = replicas.gateways[0]
    assert await _asked(gateway, keys.old["HUBGATE_ADMIN_TOKEN"]) == "UNAUTHENTICATED"
    assert await _asked(gateway, keys.old["HUBGATE_EDGE_TOKEN"]) == "UNAUTHENTICATED"
    assert await _asked(gateway, keys.new["HUBGATE_ADMIN_TOKEN"]) == "OK"
    assert await _asked(gateway, keys.new["HUBGATE_EDGE_TOKEN"]) == "PERMISSION_DENIED"
    assert await _attempted(gateway, keys, keys.old["HUBGATE_SENDER_TOKEN"]) == "UNAUTHENTICATED"
    assert await _attempted(gateway, keys, keys.new["HUBGATE_SENDER_TOKEN"]) == "permit_key_unknown"
    old_master = {**gateway.environment, "HUBGATE_MASTER_KEY": keys.old["HUBGATE_MASTER_KEY"]}
    refused = _run(old_master, "policycore", "serve")
    assert refused.returncode == 2 and "HUBGATE_MASTER_KEY" in refused.stderr


async def _asked(gateway: Gateway, token: str) -> str:
    async with CoreClient(gateway.core_address, token) as core:
        try:
            await core.call(core.admin.GetSystemState, records_pb2.GetSystemStateRequest())
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "OK"


async def _attempted(gateway: Gateway, keys: Keys, token: str) -> str:
    """What the sender says to an order under the old permit key."""
    connection = sender_pb.InstanceConnection(instance_id="ins_1", backend="sandbox")
    order = keys.instructor.order(connection)
    async with grpc.aio.insecure_channel(gateway.environment["HUBGATE_SENDER_LISTEN"]) as channel:
        stub: Any = sender_grpc.SenderServiceStub(channel)
        try:
            answer = await stub.DeliverMessage(order, metadata=(("authorization", f"Bearer {token}"),))
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return str(answer.code)


async def _everybody_was_written_to_once(desk: BusyDesk, answers: int) -> None:
    """Every request made one message, and each of them was sent."""
    gateway = desk.replicas.gateways[0]
    sent = 0
    async with CoreClient(gateway.core_address, gateway.admin_token) as core:
        core.metadata = (("authorization", f"Bearer {gateway.environment['HUBGATE_ADMIN_TOKEN']}"),)
        token = ""
        while True:
            request = records_pb2.ListMessagesRequest(
                account_id=desk.desk.account.account_id, page_size=500, page_token=token, reveal=True
            )
            page = await core.call(core.admin.ListMessages, request)
            texts = [each.text for each in page.messages if each.text.startswith("Answer")]
            assert len(set(texts)) == len(texts)
            sent += len(texts)
            token = page.next_page_token
            if not token:
                break
    assert sent == answers

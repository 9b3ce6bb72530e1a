"""The policy core's and the edge's own clients: they show a renewed certificate as soon as they connect anew."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from integration.certificates.certified_core import EDGE_TOKEN, NAMES, folder_at, serving

from certificates.folder import Certificates
from cli.certificate_folder import CertificateFolder
from edge.clients.policycore import PolicyCore
from edge.errors import CoreUnavailableError
from hubgate.sender.v1 import sender_service_pb2 as pb
from hubgate.sender.v1 import sender_service_pb2_grpc
from peers.instructor import Instructor
from peers.running_sender import TOKEN
from policycore.dispatch.links import SenderLink
from sender.main import serve
from sender.settings import read_settings

PROBE = pb.ProbeInstanceRequest(connection=pb.InstanceConnection(instance_id="ins_1", backend="sandbox"))


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    """Everybody's certificates."""
    return folder_at(tmp_path / "certificates")


def replace_authority(folder: CertificateFolder) -> None:
    """Every certificate from a new authority, and the old one trusted by nobody."""
    (old,) = folder.authority_ids()
    folder.add_authority()
    folder.renew(NAMES, days=30)
    folder.remove_authority(old)


@asynccontextmanager
async def sender_with(folder: Path, listen: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """A real sender with the certificate in `folder`; its address."""
    settings = read_settings(
        {
            "HUBGATE_SENDER_LISTEN": listen,
            "HUBGATE_SENDER_TOKEN": TOKEN,
            "HUBGATE_PERMIT_PUBLIC_KEYS": Instructor().public_keys,
            "HUBGATE_TLS_FOLDER": str(folder),
        }
    )
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving_task = asyncio.create_task(serve(settings, stop, ready.set_result))
    try:
        yield await asyncio.wait_for(ready, 20)
    finally:
        stop.set()
        await serving_task


async def eventually(call: Any) -> Any:
    """What `call` gives once the other side is connected."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await call()
            except CoreUnavailableError:
                await asyncio.sleep(0.02)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.02)


async def test_a_link_shows_the_renewed_certificate_and_leaves_its_streams_alone(
    folder: CertificateFolder,
) -> None:
    certificates = Certificates(folder.path / "policycore")
    async with sender_with(folder.path / "sender") as address:
        link = SenderLink(address, TOKEN, asyncio.get_running_loop().time, certificates=certificates)
        link.open()
        await asyncio.wait_for(link.connected(), 10)
        guard: Any = link.stub.Guard(None, metadata=link.metadata)
        await guard.write(pb.GuardRequest(speaker_id="one", version=1, snapshot=True))
        assert (await guard.read()).version == 1
        replace_authority(folder)
        assert certificates.renewed()
        await link.look_after_channels(renewed=True)
        answer = await link.stub.ProbeInstance(PROBE, metadata=link.metadata, timeout=10)
        assert answer.state == "open"
        await guard.write(pb.GuardRequest(speaker_id="one", version=2, snapshot=True))
        assert (await guard.read()).version == 2
    # The first connection is gone with that sender: whoever still had only its certificate would stay outside.
    async with sender_with(folder.path / "sender", address):
        answer = await eventually(lambda: link.stub.ProbeInstance(PROBE, metadata=link.metadata, timeout=5))
        assert answer.state == "open"
        await link.look_after_channels(renewed=False)
        await link.close()


async def test_an_edge_shows_the_renewed_certificate_after_a_break(
    folder: CertificateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.clients.policycore.RENEWAL_LOOK_SECONDS", 0.02)
    looked = asyncio.Event()
    certificates = Certificates(folder.path / "edge")
    renewed = certificates.renewed

    def look() -> bool:
        found = renewed()
        if found:
            loop.call_soon_threadsafe(looked.set)
        return found

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(certificates, "renewed", look)
    async with serving(folder.path / "policycore") as address:
        core = PolicyCore(address, EDGE_TOKEN, certificates=certificates)
        keeping = asyncio.create_task(core.keep_certificates())
        assert (await core.message("msg_1", "acc_1", "")).message_id == "edge"
        replace_authority(folder)
        await asyncio.wait_for(looked.wait(), 10)
        assert (await eventually(lambda: core.message("msg_1", "acc_1", ""))).message_id == "edge"
    async with serving(folder.path / "policycore", address):
        assert (await eventually(lambda: core.message("msg_1", "acc_1", ""))).message_id == "edge"
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        await core.close()


METHODS = pb.DESCRIPTOR.services_by_name["SenderService"].methods_by_name


async def _call(stub: Any, name: str) -> Any:
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    if not METHODS[name].client_streaming:
        request = {"PostEvent": pb.PostEventRequest(destination_kind="sandbox_inbox"), "ProbeInstance": PROBE}
        empty: Any = GetMessageClass(METHODS[name].input_type)()
        if METHODS[name].server_streaming:
            empty.known_until.FromSeconds(1)
            news = getattr(stub, name)(empty, metadata=metadata, timeout=10)
            try:
                return await news.read()
            finally:
                news.cancel()
        return await getattr(stub, name)(request.get(name, empty), metadata=metadata, timeout=10)
    stream = getattr(stub, name)(metadata=metadata, timeout=10)
    item = pb.DeliverItem(correlation_id=1, request=pb.DeliverMessageRequest())
    first = {
        "Guard": pb.GuardRequest(speaker_id="x", version=1, snapshot=True),
        "DeliverStream": pb.DeliverStreamRequest(items=[item]),
    }[name]
    # A call that was refused before it could be written to tells why when it is read.
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await stream.write(first)
    try:
        return await stream.read()
    finally:
        stream.cancel()


async def test_only_the_policy_core_instructs_a_sender(folder: CertificateFolder) -> None:
    async with sender_with(folder.path / "sender") as address:
        for name in METHODS:
            for certificate, allowed in (("policycore", True), ("edge", False), ("sender", False)):
                own = folder.path / certificate
                parts = [(own / file).read_bytes() for file in ("ca.crt", "tls.key", "tls.crt")]
                options = [("grpc.ssl_target_name_override", "sender")]
                credentials = grpc.ssl_channel_credentials(*parts)
                async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
                    stub = sender_service_pb2_grpc.SenderServiceStub(channel)
                    if allowed:
                        assert await _call(stub, name) is not grpc.aio.EOF  # type: ignore[attr-defined]
                        continue
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await _call(stub, name)
                    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED

"""The server around the sender: who may call, health, reflection, draining, metrics, the program itself."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from hubgate.sender.v1 import sender_service_pb2 as pb
from hubgate.sender.v1 import threecx_api_pb2
from peers.instructor import Instructor
from peers.peer import Script
from peers.running_sender import METADATA, TOKEN, RunningSender
from peers.waha import WahaPeer

StartSender = Callable[..., Awaitable[RunningSender]]
SERVICE = "hubgate.sender.v1.SenderService"
ROOT = Path(__file__).parents[3]


async def call(sender: RunningSender, name: str, metadata: Any) -> Any:
    """One call of this name, until its first answer."""
    method = getattr(sender.stub, name)
    empty = {
        "DeliverMessage": pb.DeliverMessageRequest(),
        "PostEvent": pb.PostEventRequest(destination_kind="sandbox_inbox"),
        "ProbeInstance": pb.ProbeInstanceRequest(),
        "LookUpMessage": pb.LookUpMessageRequest(),
        "CheckDestination": pb.CheckDestinationRequest(),
        "ReadPbxTrunks": threecx_api_pb2.ReadPbxTrunksRequest(),
        "ReadPbxChats": threecx_api_pb2.ReadPbxChatsRequest(),
    }
    if name in empty:
        return await method(empty[name], metadata=metadata, timeout=5)
    if name == "WatchPbx":
        request = threecx_api_pb2.WatchPbxRequest()
        request.known_until.FromSeconds(1)
        news = method(request, metadata=metadata, timeout=5)
        try:
            return await news.read()
        finally:
            news.cancel()
    stream = method(metadata=metadata, timeout=5)
    try:
        item = pb.DeliverItem(correlation_id=1, request=pb.DeliverMessageRequest())
        first = {
            "Guard": pb.GuardRequest(speaker_id="x", version=1, snapshot=True),
            "DeliverStream": pb.DeliverStreamRequest(items=[item]),
        }[name]
        # A call that was refused before it could be written to tells why when it is read.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await stream.write(first)
        return await stream.read()
    finally:
        stream.cancel()


METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["SenderService"].methods]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "metadata",
    [
        None,
        (("authorization", "Bearer wrong"),),
        (("authorization", TOKEN),),
        (("authorization", f"bearer {TOKEN}"),),
        (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", "Bearer "),),
        (*METADATA, ("authorization", "Bearer wrong")),
    ],
)
async def test_every_call_needs_the_token(sender: RunningSender, name: str, metadata: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(sender, name, metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("hubgate", "SENDER_TOKEN_REFUSED")


@pytest.mark.parametrize("name", METHODS)
async def test_every_call_is_served_with_the_token(sender: RunningSender, name: str) -> None:
    assert await call(sender, name, METADATA) is not None


async def test_health_is_open_to_all(sender: RunningSender) -> None:
    health = health_pb2_grpc.HealthStub(sender.channel)
    for name in ("", SERVICE):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def reflected(sender: RunningSender) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(sender.channel)
    asked = stub.ServerReflectionInfo(metadata=METADATA)
    await asked.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await asked.read()
    asked.cancel()
    return [service.name for service in answer.list_services_response.service]


async def test_reflection_is_for_development(start_sender: StartSender) -> None:
    assert SERVICE in await reflected(await start_sender(ENVIRONMENT="development"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reflected(await start_sender(ENVIRONMENT="production"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
async def waha() -> AsyncIterator[WahaPeer]:
    peer = await WahaPeer.start()
    yield peer
    await peer.stop()


def reach(waha: WahaPeer) -> pb.InstanceConnection:
    return pb.InstanceConnection(
        instance_id="ins_1",
        backend="waha",
        base_url=waha.base_url,
        external_name=waha.session,
        api_token=waha.api_key,
    )


async def test_stopping_finishes_what_is_under_way_and_takes_nothing_new(
    sender: RunningSender, waha: WahaPeer
) -> None:
    waha.script("*", Script(delay_seconds=0.8, times=1))
    stream = sender.stub.DeliverStream(metadata=METADATA)
    connection = reach(waha)
    first = pb.DeliverItem(correlation_id=1, request=sender.instructor.order(connection))
    await stream.write(pb.DeliverStreamRequest(items=[first]))
    await waha.wait_received(1)
    sender.stop.set()
    await asyncio.sleep(0.1)
    health = health_pb2_grpc.HealthStub(sender.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    late = pb.DeliverItem(correlation_id=2, request=sender.instructor.order(connection))
    await stream.write(pb.DeliverStreamRequest(items=[late]))
    answers = {answer.correlation_id: answer.response async for batch in stream for answer in batch.answers}
    assert answers[1].outcome == pb.OUTCOME_ACCEPTED
    assert answers[2].code == "sender_draining"
    began = time.monotonic()
    await sender.serving
    assert time.monotonic() - began < 3
    assert len(waha.received) == 1


async def test_the_callers_deadline_is_the_attempts(sender: RunningSender, waha: WahaPeer) -> None:
    waha.script("*", Script(delay_seconds=5))
    # An answer, and not DEADLINE_EXCEEDED: the sender gave up in time to say so.
    found = await sender.deliver(reach(waha), timeout=1.2)
    assert (found.outcome, found.code) == (pb.OUTCOME_UNKNOWN, "waha_timeout")


async def test_a_batch_that_is_too_large(sender: RunningSender) -> None:
    stream = sender.stub.DeliverStream(metadata=METADATA)
    await stream.write(pb.DeliverStreamRequest(items=[pb.DeliverItem(correlation_id=n) for n in range(257)]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_address_that_is_taken(start_sender: StartSender) -> None:
    first = await start_sender()
    with pytest.raises(OSError, match="cannot listen"):
        await start_sender(SENDER_LISTEN=first.address)


def environment(instructor: Instructor, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HUBGATE_")}
    return {
        **own,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}",
        "HUBGATE_SENDER_LISTEN": "127.0.0.1:0",
        "HUBGATE_SENDER_TOKEN": TOKEN,
        "HUBGATE_PERMIT_PUBLIC_KEYS": instructor.public_keys,
        **more,
    }


async def start_program(env: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sender.main", env=env, stderr=asyncio.subprocess.PIPE
    )


async def test_the_program_serves_metrics_and_ends_cleanly(unused_tcp_port: int) -> None:
    env = environment(Instructor(), HUBGATE_SENDER_METRICS_LISTEN=f"127.0.0.1:{unused_tcp_port}")
    program = await start_program(env)
    assert program.stderr is not None
    async with asyncio.timeout(20):
        line = await program.stderr.readline()
        assert b'"event": "serving"' in line
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{unused_tcp_port}/metrics") as response,
        ):
            assert "hubgate_sender_guard_streams 0.0" in await response.text()
        program.send_signal(signal.SIGTERM)
        rest = await program.stderr.read()
        assert await program.wait() == 0
    assert TOKEN.encode() not in line + rest


async def test_the_program_says_in_one_sentence_what_is_wrong() -> None:
    program = await start_program(environment(Instructor(), HUBGATE_SENDER_TOKEN="short"))
    async with asyncio.timeout(20):
        _, said = await program.communicate()
    assert program.returncode == 2
    assert said == b"HUBGATE_SENDER_TOKEN must be set to at least 16 printable ASCII characters.\n"

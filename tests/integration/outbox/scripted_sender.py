"""A sender that does what a test says, and a policy core's side of it, over real gRPC on loopback."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import grpc

from hubgate.sender.v1 import sender_service_pb2 as pb
from hubgate.sender.v1 import sender_service_pb2_grpc as pb_grpc
from hubgate.sender.v1 import threecx_api_pb2 as threecx_pb
from policycore.dispatch.guards import GuardBroadcaster
from policycore.dispatch.links import SenderLink
from policycore.dispatch.permits import PermitSigner
from policycore.dispatch.senders import SenderPool
from policycore.ports import OutboundMessage
from policycore.registry.snapshot import InstanceConfig, Snapshot

TOKEN = "token-of-the-test"
NOW = datetime(2026, 5, 8, 10, 0, tzinfo=UTC)
INSTANCE = InstanceConfig(
    "ins_1", "acc_1", "sales", "sandbox", "http://b", "ext", "key", "s", "v", "+1", "open", NOW, None, 1.0, 5
)
EMPTY: Any = MappingProxyType({})
SNAPSHOT = Snapshot(1, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, (), EMPTY, EMPTY)

Answer = pb.DeliverMessageResponse | None


def message(number: int = 1, text: str = "hello") -> OutboundMessage:
    later = NOW + timedelta(minutes=2)
    return OutboundMessage(
        *(f"msg_{number}", "acc_1", "ins_1", "int_1", "psn_1", "+966500000000", "", "", text, "support"),
        decided_at=NOW,
        not_after=later,
        send_after=NOW,
    )


async def accept(item: pb.DeliverItem) -> Answer:
    return pb.DeliverMessageResponse(
        outcome=pb.OUTCOME_ACCEPTED, external_message_id=f"ext_{item.request.correlation_id}"
    )


async def say_nothing(item: pb.DeliverItem) -> Answer:
    return None


@dataclass
class ScriptedSender(pb_grpc.SenderServiceServicer):
    """`attempt` answers an item, or not at all; `obeys` says whether guards are acknowledged."""

    attempt: Callable[[pb.DeliverItem], Awaitable[Answer]] = accept
    obeys: bool = True
    post_answer: pb.PostEventResponse = field(default_factory=pb.PostEventResponse)
    batches: list[pb.DeliverStreamRequest] = field(default_factory=list)
    guards: list[pb.GuardRequest] = field(default_factory=list)
    posted: list[pb.PostEventRequest] = field(default_factory=list)
    read: asyncio.Event = field(default_factory=lambda: _set(asyncio.Event()))
    breaks: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def items(self) -> list[pb.DeliverItem]:
        return [item for batch in self.batches for item in batch.items]

    async def DeliverMessage(
        self, request: pb.DeliverMessageRequest, context: Any
    ) -> pb.DeliverMessageResponse:
        raise AssertionError("attempts travel on the stream")

    async def DeliverStream(
        self, request_iterator: AsyncIterator[pb.DeliverStreamRequest], context: Any
    ) -> AsyncIterator[pb.DeliverStreamResponse]:
        await _check_token(context)
        answers: asyncio.Queue[pb.DeliverAnswer] = asyncio.Queue()

        async def attempt(item: pb.DeliverItem) -> None:
            response = await self.attempt(item)
            if response is not None:
                answers.put_nowait(pb.DeliverAnswer(correlation_id=item.correlation_id, response=response))

        async def read() -> None:
            async with asyncio.TaskGroup() as group:
                await self.read.wait()
                async for request in request_iterator:
                    self.batches.append(request)
                    for item in request.items:
                        group.create_task(attempt(item))

        reader = asyncio.create_task(read())
        broken = asyncio.create_task(self.breaks.wait())
        try:
            while True:
                answer = asyncio.create_task(answers.get())
                await asyncio.wait({answer, broken}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    answer.cancel()
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "broken by the test")
                yield pb.DeliverStreamResponse(answers=[answer.result()])
        finally:
            reader.cancel()
            broken.cancel()

    async def Guard(
        self, request_iterator: AsyncIterator[pb.GuardRequest], context: Any
    ) -> AsyncIterator[pb.GuardResponse]:
        await _check_token(context)
        async for request in request_iterator:
            self.guards.append(request)
            if self.obeys:
                yield pb.GuardResponse(version=request.version)

    async def PostEvent(self, request: pb.PostEventRequest, context: Any) -> pb.PostEventResponse:
        await _check_token(context)
        self.posted.append(request)
        return self.post_answer

    async def ProbeInstance(self, request: pb.ProbeInstanceRequest, context: Any) -> pb.ProbeInstanceResponse:
        return pb.ProbeInstanceResponse(state="open", reason=request.connection.external_name)

    async def CheckDestination(
        self, request: pb.CheckDestinationRequest, context: Any
    ) -> pb.CheckDestinationResponse:
        return pb.CheckDestinationResponse(http_status=204, is_gateway=request.gateway)

    async def LookUpMessage(self, request: pb.LookUpMessageRequest, context: Any) -> pb.LookUpMessageResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this sender looks nothing up")
        raise AssertionError("aborting returns")

    async def WatchPbx(
        self, request: threecx_pb.WatchPbxRequest, context: Any
    ) -> AsyncIterator[threecx_pb.WatchPbxResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this sender watches nothing")
        yield threecx_pb.WatchPbxResponse()

    async def ReadPbxTrunks(
        self, request: threecx_pb.ReadPbxTrunksRequest, context: Any
    ) -> threecx_pb.ReadPbxTrunksResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this sender reads nothing")
        raise AssertionError("aborting returns")

    async def ReadPbxChats(
        self, request: threecx_pb.ReadPbxChatsRequest, context: Any
    ) -> threecx_pb.ReadPbxChatsResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this sender reads nothing")
        raise AssertionError("aborting returns")


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


async def _check_token(context: Any) -> None:
    if ("authorization", f"Bearer {TOKEN}") not in tuple(
        tuple(pair) for pair in context.invocation_metadata()
    ):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")


@contextlib.asynccontextmanager
async def serving(sender: ScriptedSender, port: int = 0) -> AsyncIterator[int]:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    pb_grpc.add_SenderServiceServicer_to_server(sender, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@dataclass
class World:
    """A policy core's side: links, guards and pool, with what the guards are told."""

    ports: list[int]
    attempt_seconds: float = 5.0
    token: str = TOKEN
    snapshot: Snapshot = SNAPSHOT
    fresh: bool = True

    async def __aenter__(self) -> "World":
        self.links = [SenderLink(f"127.0.0.1:{port}", self.token, time.monotonic) for port in self.ports]
        self.guards = GuardBroadcaster(
            self.links, lambda: self.snapshot, lambda: self.fresh, lambda: NOW, "core-1"
        )
        signer = PermitSigner("key-1", bytes(32), bytes)
        self.pool = SenderPool(self.links, signer, time.monotonic, attempt_seconds=self.attempt_seconds)
        await self.guards.start()
        await self.pool.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close(0.0)
        await self.guards.close()
        for link in self.links:
            await link.close()

    async def ready(self) -> "World":
        await until(self.pool.available)
        return self


async def until(true: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.01)

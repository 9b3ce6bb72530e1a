"""A real sender under test, in the test's own loop, and the one who instructs it."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc

from hubgate.sender.v1 import sender_service_pb2 as pb
from hubgate.sender.v1 import sender_service_pb2_grpc as pb_grpc
from peers.instructor import GuardVoice, Instructor
from sender.main import serve
from sender.settings import read_settings

TOKEN = "sender-token-for-tests"
METADATA = (("authorization", f"Bearer {TOKEN}"),)


@dataclass
class RunningSender:
    """A sender under test and the one who instructs it."""

    instructor: Instructor
    channel: grpc.aio.Channel
    stub: Any
    voice: GuardVoice
    stop: asyncio.Event
    serving: asyncio.Task[None]
    address: str

    async def deliver(
        self, connection: pb.InstanceConnection, *, timeout: float | None = None, **words: Any
    ) -> pb.DeliverMessageResponse:
        """One order, attempted. `words` as for `Instructor.order`."""
        return await self.attempt(self.instructor.order(connection, **words), timeout=timeout)

    async def attempt(
        self, request: pb.DeliverMessageRequest, *, timeout: float | None = None
    ) -> pb.DeliverMessageResponse:
        """One request, as it stands."""
        answer: pb.DeliverMessageResponse = await self.stub.DeliverMessage(
            request, metadata=METADATA, timeout=timeout
        )
        return answer

    async def close(self) -> None:
        """Stops everything."""
        await self.voice.close()
        await self.channel.close(None)
        self.stop.set()
        await self.serving


async def start_sender(**env: str) -> RunningSender:
    """A sender that may reach loopback. Keyword arguments are settings without `HUBGATE_`."""
    instructor = Instructor()
    settings = read_settings(
        {
            "HUBGATE_SENDER_LISTEN": "127.0.0.1:0",
            "HUBGATE_SENDER_TOKEN": TOKEN,
            "HUBGATE_PERMIT_PUBLIC_KEYS": instructor.public_keys,
            "HUBGATE_ENVIRONMENT": "development",
            "HUBGATE_ALLOWED_PRIVATE_RANGES": "127.0.0.0/8",
            "HUBGATE_LOG_LEVEL": "error",
            **{f"HUBGATE_{name}": value for name, value in env.items()},
        }
    )
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, stop, ready.set_result))
    serving.add_done_callback(lambda ended: _tell_failure(ended, ready))
    address = await ready
    channel = grpc.aio.insecure_channel(address)
    voice = GuardVoice(channel, instructor.speaker_id, METADATA)
    await voice.say()
    voice.beat()
    stub = pb_grpc.SenderServiceStub(channel)
    return RunningSender(instructor, channel, stub, voice, stop, serving, address)


def _tell_failure(ended: asyncio.Task[None], ready: asyncio.Future[str]) -> None:
    if not ready.done():
        ready.set_exception(ended.exception() or RuntimeError("the sender ended before it was ready"))

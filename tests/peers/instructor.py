"""Stand-in for the policy core as the sender sees it: signs permits, keeps the guard awake, gives orders."""

import asyncio
import base64
import hashlib
import itertools
import struct
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hubgate.sender.v1 import sender_service_pb2 as pb
from hubgate.sender.v1 import sender_service_pb2_grpc as pb_grpc

KEY_ID = "test-key"
PERMIT_SECONDS = 60.0


class Instructor:
    """Holds a signing key and numbers its permits."""

    def __init__(self, speaker_id: str = "core-1") -> None:
        self.key = Ed25519PrivateKey.generate()
        self.speaker_id = speaker_id
        self._numbers = itertools.count(1)

    @property
    def public_keys(self) -> str:
        """The value of `HUBGATE_PERMIT_PUBLIC_KEYS`."""
        return f"{KEY_ID}:{base64.b64encode(self.key.public_key().public_bytes_raw()).decode()}"

    def permit(
        self,
        recipient: pb.Recipient,
        text: str,
        instance_id: str,
        *,
        lives_seconds: float = PERMIT_SECONDS,
        **words: Any,
    ) -> pb.Permit:
        """A permit for this message. `words` override its fields."""
        number = next(self._numbers)
        parts = (recipient.phone, recipient.lid, recipient.business_scoped_id)
        permit = pb.Permit(
            **{
                "permit_id": f"prm_{number}",
                "message_id": f"msg_{number}",
                "account_id": "acc_1",
                "instance_id": instance_id,
                "integration_id": "int_1",
                "person_id": "psn_1",
                "recipient_digest": hashlib.sha256("\0".join(parts).encode()).digest(),
                "content_digest": hashlib.sha256(text.encode()).digest(),
                "purpose": "support",
                **words,
            }
        )
        permit.not_after.FromNanoseconds(int((time.time() + lives_seconds) * 1e9))
        return permit

    def sign(self, permit: pb.Permit) -> pb.SignedPermit:
        """The permit, signed."""
        raw = permit.SerializeToString()
        return pb.SignedPermit(
            permit=raw, signature=self.key.sign(b"hubgate-permit-v1\0" + raw), key_id=KEY_ID
        )

    def sign_together(self, request: pb.DeliverStreamRequest) -> pb.DeliverStreamRequest:
        """The request, signed for all its permits; those that had a signature keep it."""
        digests = [hashlib.sha256(item.request.permit.permit).digest() for item in request.items]
        words = b"hubgate-permits-v1\0" + struct.pack(">I", len(digests)) + b"".join(digests)
        request.permits_signature = self.key.sign(words)
        request.permits_key_id = KEY_ID
        return request

    def batch(self, connection: pb.InstanceConnection, *texts: str, **words: Any) -> pb.DeliverStreamRequest:
        """An order for each text, numbered from 0, under one signature. `words` override the permits' fields."""
        request = pb.DeliverStreamRequest(connections=[connection])
        for number, text in enumerate(texts):
            order = self.order(connection, text=text, **words)
            order.ClearField("connection")
            order.permit.ClearField("signature")
            order.permit.ClearField("key_id")
            request.items.add(correlation_id=number, request=order)
        return self.sign_together(request)

    def order(
        self,
        connection: pb.InstanceConnection,
        *,
        phone: str = "+966500000000",
        text: str = "Your ticket has been updated.",
        recipient: pb.Recipient | None = None,
        **words: Any,
    ) -> pb.DeliverMessageRequest:
        """An order with everything in it. `words` override the permit's fields."""
        to = recipient or pb.Recipient(phone=phone)
        permit = self.permit(to, text, connection.instance_id, **words)
        return pb.DeliverMessageRequest(
            permit=self.sign(permit),
            recipient=to,
            content=pb.Content(text=text),
            connection=connection,
            correlation_id=permit.message_id,
        )


class GuardVoice:
    """A guard stream that speaks until it is stopped."""

    def __init__(
        self, channel: grpc.aio.Channel, speaker_id: str, metadata: Sequence[tuple[str, str]]
    ) -> None:
        self._said: asyncio.Queue[pb.GuardRequest | None] = asyncio.Queue()
        self._speaker_id = speaker_id
        self._version = 0
        self._obeyed = asyncio.Event()
        self._obeyed_version = -1
        self._call = pb_grpc.SenderServiceStub(channel).Guard(self._words(), metadata=metadata)
        self._listener = asyncio.create_task(self._listen())
        self._heart: asyncio.Task[None] | None = None

    async def say(self, *guarded: pb.Guarded, snapshot: bool = True) -> None:
        """Says what is guarded, and returns once the sender obeys. Without arguments: nothing is."""
        self._version += 1
        version = self._version
        await self._said.put(
            pb.GuardRequest(speaker_id=self._speaker_id, version=version, snapshot=snapshot, guarded=guarded)
        )
        async with asyncio.timeout(5):
            while self._obeyed_version < version:
                self._obeyed.clear()
                await self._obeyed.wait()

    def beat(self, every_seconds: float = 0.2) -> None:
        """Begins the heartbeat."""
        self._heart = asyncio.create_task(self._beat(every_seconds))

    def fall_silent(self) -> None:
        """Ends the heartbeat; the stream stays open."""
        if self._heart is not None:
            self._heart.cancel()

    async def close(self) -> None:
        """Ends the stream."""
        self.fall_silent()
        await self._said.put(None)
        self._call.cancel()
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)

    async def _words(self) -> AsyncIterator[pb.GuardRequest]:
        while (said := await self._said.get()) is not None:
            yield said

    async def _beat(self, every_seconds: float) -> None:
        while True:
            await asyncio.sleep(every_seconds)
            await self._said.put(pb.GuardRequest(speaker_id=self._speaker_id, version=self._version))

    async def _listen(self) -> None:
        async for answer in self._call:
            self._obeyed_version = max(self._obeyed_version, answer.version)
            self._obeyed.set()

"""A policy core that only says who called, behind real TLS with certificates, and callers of every kind."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from certificates.folder import Certificates
from cli.certificate_folder import CertificateFolder
from hubgate.policy.v1 import admin_service_pb2_grpc, policy_service_pb2_grpc
from hubgate.policy.v1 import policy_service_pb2 as pb
from policycore.registry.credentials import digest
from policycore.registry.snapshot import ServiceTokenConfig
from policycore.rpc.identity import IdentityInterceptor, built_in_identities, current_identity
from policycore.rpc.server import PolicyServer

EDGE_TOKEN = "edge-token-0123456789"
ADMIN_TOKEN = "admin-token-0123456789"
CRM_TOKEN = "hgs_" + "c" * 43
NAMES = ("edge", "policycore", "sender", "admin", "crm")


def now() -> datetime:
    """The real time: certificates are judged by it."""
    return datetime.now(UTC)


def folder_at(path: Path, clock: Callable[[], datetime] = now) -> CertificateFolder:
    """A folder of certificates with everybody's in it."""
    made = CertificateFolder(path, clock, secrets.token_bytes)
    made.create(NAMES, {}, days=30)
    return made


class Echo(policy_service_pb2_grpc.PolicyServiceServicer):
    """Answers with the caller's name, in each shape of call that the contract has."""

    async def GetMessage(self, request: Any, context: Any) -> pb.GetMessageResponse:
        answer = pb.GetMessageResponse()
        answer.message.message_id = current_identity().name
        return answer

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[pb.WatchEventsResponse]:
        answer = pb.WatchEventsResponse()
        answer.events.add(event_name=current_identity().name)
        yield answer

    async def SubmitStream(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[pb.SubmitStreamResponse]:
        async for _ in request_iterator:
            answer = pb.SubmitStreamResponse()
            answer.answers.add().response.decision.explanation = current_identity().name
            yield answer


@asynccontextmanager
async def serving(folder: Path, listen: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """The server with the certificate in `folder`; its address."""
    everyone = frozenset({"*"})
    crm = ServiceTokenConfig("tok_1", "crm", digest(CRM_TOKEN), frozenset({"submit", "read"}), everyone)
    identities = IdentityInterceptor(
        built_in_identities([EDGE_TOKEN], [ADMIN_TOKEN]), {digest(CRM_TOKEN): crm}.get, now, certified=True
    )
    server = PolicyServer(
        Echo(),  # type: ignore[abstract]
        admin_service_pb2_grpc.AdminServiceServicer(),  # type: ignore[abstract]
        [identities],
        with_reflection=False,
        credentials=Certificates(folder).server_credentials(),
    )
    address = await server.start(listen)
    try:
        yield address
    finally:
        await server.stop(0)


def shown(token: str) -> tuple[tuple[str, str], ...]:
    """Call metadata."""
    return (("authorization", f"Bearer {token}"),)


class Caller:
    """Calls under one folder's certificate, or with none; `server` is the name it insists on."""

    def __init__(
        self, address: str, folder: Path | None, *, trusts: Path | None = None, server: str = "policycore"
    ) -> None:
        options = [("grpc.ssl_target_name_override", server)]
        trusted = trusts or folder
        if trusted is None:
            self.channel = grpc.aio.insecure_channel(address)
        else:
            key, chain = (
                (None, None)
                if folder is None
                else ((folder / "tls.key").read_bytes(), (folder / "tls.crt").read_bytes())
            )
            credentials = grpc.ssl_channel_credentials((trusted / "ca.crt").read_bytes(), key, chain)
            self.channel = grpc.aio.secure_channel(address, credentials, options=options)
        self._stub = policy_service_pb2_grpc.PolicyServiceStub(self.channel)

    async def __aenter__(self) -> "Caller":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close(None)

    async def single(self, token: str) -> str:
        """The caller's name, by a unary call."""
        answer = await self._stub.GetMessage(pb.GetMessageRequest(), metadata=shown(token), timeout=10)
        return answer.message.message_id

    async def watch(self, token: str) -> str:
        """The same by a stream of answers."""
        call = self._stub.WatchEvents(pb.WatchEventsRequest(), metadata=shown(token), timeout=10)
        answers = [answer async for answer in call]
        return answers[0].events[0].event_name

    async def both_ways(self, token: str) -> str:
        """The same by streams in both directions."""
        call = self._stub.SubmitStream(iter([pb.SubmitStreamRequest()]), metadata=shown(token), timeout=10)
        answers = [answer async for answer in call]
        return answers[0].answers[0].response.decision.explanation

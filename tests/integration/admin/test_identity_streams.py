"""Streams know their caller too, and end when its token is revoked."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
import pytest_asyncio

from hubgate.policy.v1 import policy_service_pb2 as pb
from hubgate.policy.v1 import policy_service_pb2_grpc
from policycore.registry.credentials import digest
from policycore.registry.snapshot import ServiceTokenConfig
from policycore.rpc.identity import IdentityInterceptor, built_in_identities, current_identity
from support.admin_core import EDGE_TOKEN, error_info

TOKEN = "hgs_" + "a" * 43


class Echo(policy_service_pb2_grpc.PolicyServiceServicer):
    """Answers with the caller's name; `closed` tells that a stream's handler was closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def GetMessage(self, request: Any, context: Any) -> pb.GetMessageResponse:
        answer = pb.GetMessageResponse()
        answer.message.message_id = current_identity().name
        return answer

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[pb.WatchEventsResponse]:
        try:
            while True:
                answer = pb.WatchEventsResponse()
                answer.events.add(event_name=current_identity().name)
                yield answer
                await asyncio.sleep(0.05)
        finally:
            self.closed.set()

    async def SubmitStream(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[pb.SubmitStreamResponse]:
        async for request in request_iterator:
            answer = pb.SubmitStreamResponse()
            answer.answers.add(correlation_id=len(request.items))
            answer.answers[0].response.decision.explanation = current_identity().name
            yield answer


class Running:
    """A server with one service token, which a test may take away."""

    def __init__(
        self, echo: Echo, tokens: dict[bytes, ServiceTokenConfig], channel: grpc.aio.Channel
    ) -> None:
        self.echo = echo
        self.tokens = tokens
        self.stub = policy_service_pb2_grpc.PolicyServiceStub(channel)


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Running]:
    everyone, rights = frozenset({"*"}), frozenset({"submit", "read"})
    tokens = {digest(TOKEN): ServiceTokenConfig("tok_1", "crm", digest(TOKEN), rights, everyone)}
    interceptor = IdentityInterceptor(
        built_in_identities([EDGE_TOKEN], ["admin-token-0123456789"]), tokens.get, lambda: datetime.now(UTC)
    )
    server, echo = grpc.aio.server(interceptors=[interceptor]), Echo()  # type: ignore[abstract]
    policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(echo, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Running(echo, tokens, channel)
    await server.stop(0)


def _shown(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def _read_to_the_end(watch: Any) -> None:
    while await watch.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
        pass


@pytest.mark.parametrize(("token", "name"), [(EDGE_TOKEN, "edge"), (TOKEN, "crm")])
async def test_every_shape_of_call_knows_its_caller(running: Running, token: str, name: str) -> None:
    message = await running.stub.GetMessage(pb.GetMessageRequest(), metadata=_shown(token))
    assert message.message.message_id == name
    watch = running.stub.WatchEvents(pb.WatchEventsRequest(), metadata=_shown(token))
    first = await watch.read()
    assert isinstance(first, pb.WatchEventsResponse)
    assert first.events[0].event_name == name
    watch.cancel()
    items = pb.SubmitStreamRequest(items=[pb.SubmitItem(), pb.SubmitItem()])
    answers = [
        answer async for answer in running.stub.SubmitStream(iter([items, items]), metadata=_shown(token))
    ]
    assert [answer.answers[0].response.decision.explanation for answer in answers] == [name, name]
    assert answers[0].answers[0].correlation_id == 2


async def test_callers_at_once_are_not_mixed_up(running: Running) -> None:
    async def name_of(token: str) -> str:
        return (
            await running.stub.GetMessage(pb.GetMessageRequest(), metadata=_shown(token))
        ).message.message_id

    names = await asyncio.gather(*(name_of(token) for token in [EDGE_TOKEN, TOKEN] * 20))
    assert names == ["edge", "crm"] * 20


async def test_a_stream_ends_within_a_second_of_the_revocation(running: Running) -> None:
    watch = running.stub.WatchEvents(pb.WatchEventsRequest(), metadata=_shown(TOKEN))
    await watch.read()
    running.tokens.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(_read_to_the_end(watch), 5)
    assert error_info(caught.value)[0] == "UNAUTHENTICATED"
    await asyncio.wait_for(running.echo.closed.wait(), 5)


async def test_a_silent_stream_ends_too(running: Running) -> None:
    stream = running.stub.SubmitStream(None, metadata=_shown(TOKEN))
    await stream.write(pb.SubmitStreamRequest())
    await stream.read()
    running.tokens.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(stream.read(), 5)
    assert error_info(caught.value)[0] == "UNAUTHENTICATED"


async def test_the_handler_is_closed_when_its_caller_leaves(running: Running) -> None:
    watch = running.stub.WatchEvents(pb.WatchEventsRequest(), metadata=_shown(TOKEN))
    await watch.read()
    watch.cancel()
    await asyncio.wait_for(running.echo.closed.wait(), 5)

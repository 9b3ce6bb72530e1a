"""The bare hops: the product's processes and wire with the logic and the storage taken out.

`python -m bench.hops edge|core|sender`: the same servers, batch streams and HTTP client as the product's, and
handlers that pass on what they were given. What the product reaches beside them is what its logic costs.
"""

import argparse
import asyncio
import gc
import re
import signal
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import grpc
import uvicorn
import uvloop
from litestar import Litestar
from litestar.handlers import ASGIRouteHandler
from msgspec.structs import replace

from edge.answers import ok
from edge.app import THREECX_PREFIX
from edge.clients.submit_lanes import SubmitLanes
from edge.http import HttpRequest, send_answer
from hubgate.policy.v1 import policy_service_pb2 as policy
from hubgate.policy.v1 import policy_service_pb2_grpc
from hubgate.sender.v1 import sender_service_pb2 as wire
from policycore.dispatch.lanes import PendingAttempt, SenderLanes
from policycore.dispatch.links import SenderLink
from policycore.ports import OutboundMessage
from policycore.registry.snapshot import InstanceConfig
from policycore.rpc.submit_stream import serve_items
from sender.addresses import AddressPolicy
from sender.egress import Egress
from sender.model import AttemptResult, HttpAnswer, Outcome
from sender.model import HttpRequest as Outgoing
from sender.names import SystemNames
from sender.rpc.convert import Batch
from sender.rpc.deliver_stream import DeliverStream

ATTEMPT_SECONDS = 30.0
_ID = re.compile(rb'"id":"([0-9A-F]+)"')


async def edge(port: int, next_port: int, stop: asyncio.Event) -> None:
    """HTTP in, batch stream out."""
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{next_port}")
    stub: Any = policy_service_pb2_grpc.PolicyServiceStub(channel)
    lanes = SubmitLanes(stub.SubmitStream)
    lanes.start()

    async def hot(scope: Any, receive: Any, send: Any) -> None:
        raw = await HttpRequest(scope, receive).body(262_144, 15.0)
        answer = await lanes.submit(policy.SubmitRequest(text=raw.decode()), 6.0)
        words = {
            "success": True,
            "status": "sent",
            "external_message_id": answer.message.external_message_id,
        }
        await send_answer(send, ok(words))

    app = Litestar(
        [ASGIRouteHandler(THREECX_PREFIX, is_mount=True, copy_scope=False)(hot)], openapi_config=None
    )
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, http="httptools", ws="none", lifespan="off", access_log=False,
        log_level="warning", server_header=False, proxy_headers=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await stop.wait()
    server.should_exit = True
    await serving
    await lanes.close()
    await channel.close(None)


def _batch_stream(
    service: Any, rpc: str, request: Any, response: Any, behaviour: Any
) -> "grpc.GenericRpcHandler[Any, Any]":
    """One bidirectional call of a service of the contract."""
    handler = grpc.stream_stream_rpc_method_handler(behaviour, request.FromString, response.SerializeToString)
    made: grpc.GenericRpcHandler[Any, Any] = grpc.method_handlers_generic_handler(
        service.full_name, {rpc: handler}
    )
    return made


class _Core:
    """Hands every item on to the sender."""

    def __init__(self, lanes: SenderLanes, instance: InstanceConfig) -> None:
        self._lanes = lanes
        self._instance = instance
        ids = ("msg_bench", "acc_bench", "ins_bench", None, "psn_bench", "", "", "", "", "support")
        now = datetime.now(UTC)
        self._message = OutboundMessage(*ids, decided_at=now, not_after=now, send_after=now)
        service = policy.DESCRIPTOR.services_by_name["PolicyService"]
        messages = (policy.SubmitStreamRequest, policy.SubmitStreamResponse)
        self.handler = _batch_stream(service, "SubmitStream", *messages, self._stream)

    async def _stream(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for answers in serve_items(requests, self._submit):
            yield answers

    async def _submit(self, request: policy.SubmitRequest, seconds: float) -> policy.SubmitResponse:
        answer = asyncio.get_running_loop().create_future()
        message = replace(self._message, text=request.text)
        deadline = time.monotonic() + ATTEMPT_SECONDS
        self._lanes.put(PendingAttempt(message, b"", self._instance, deadline, answer))
        outcome = await answer
        response = policy.SubmitResponse()
        response.message.external_message_id = outcome.external_message_id
        return response


async def core(port: int, next_port: int, base_url: str, stop: asyncio.Event) -> None:
    """Batch stream in, batch stream out."""
    link = SenderLink(f"127.0.0.1:{next_port}", "bench", time.monotonic)
    lanes = SenderLanes(link, _unsigned, time.monotonic)
    lanes.start()
    instance = InstanceConfig(
        instance_id="ins_bench", account_id="acc_bench", name="bench", backend="evolution", base_url=base_url,
        external_name="bench", api_token="bench", webhook_secret="", verify_token="", phone="", state="open",
        state_changed_at=datetime.now(UTC), replies_only_until=None, messages_per_second=0.0, burst=0,
    )  # fmt: skip
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Core(lanes, instance).handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await stop.wait()
    await server.stop(0)
    await lanes.close()
    await link.close()


def _unsigned(request: wire.DeliverStreamRequest, permits: Sequence[bytes]) -> None:
    """The bare hop signs nothing."""


class _Sender:
    """Posts every item to the instance."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        service = wire.DESCRIPTOR.services_by_name["SenderService"]
        messages = (wire.DeliverStreamRequest, wire.DeliverStreamResponse)
        self.handler = _batch_stream(service, "DeliverStream", *messages, self._stream)

    async def _stream(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for answers in DeliverStream(self._attempt, ATTEMPT_SECONDS).answers(requests):
            yield answers

    async def _attempt(
        self, request: wire.DeliverMessageRequest, batch: Batch, place: int, seconds: float
    ) -> AttemptResult:
        connection = batch.connections["ins_bench"]
        outgoing = Outgoing(
            "POST",
            f"{connection.base_url}/message/sendText/{connection.external_name}",
            {"apikey": connection.api_token, "Content-Type": "application/json"},
            request.content.text.encode(),
        )
        answer = await self._egress.exchange(outgoing, timeout_seconds=seconds, before_write=_nothing)
        found = _ID.search(answer.body) if isinstance(answer, HttpAnswer) else None
        if found is None:
            return AttemptResult(Outcome.UNKNOWN, "", "")
        return AttemptResult(Outcome.ACCEPTED, "", "", found.group(1).decode())


def _nothing() -> None:
    """The bare hop asks no guard."""


async def sender(port: int, stop: asyncio.Event) -> None:
    """Batch stream in, HTTP out."""
    names = SystemNames(4.0)
    egress = Egress(AddressPolicy((ip_network("127.0.0.0/8"),), https_required=False), names.lookup)
    await egress.open()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Sender(egress).handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await stop.wait()
    await server.stop(0)
    await egress.close()
    names.close()


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    if arguments.part == "edge":
        await edge(arguments.port, arguments.next_port, stop)
    elif arguments.part == "core":
        await core(arguments.port, arguments.next_port, arguments.base_url, stop)
    else:
        await sender(arguments.port, stop)


def main() -> None:
    """Runs one hop until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("edge", "core", "sender"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--next-port", type=int, default=0)
    parser.add_argument("--base-url", default="")
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()

"""A policy core that is told to stop: over real gRPC no submission is lost, and none is decided twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from edge.clients.submit_lanes import SubmitLanes
from hubgate.policy.v1 import policy_service_pb2 as wire
from hubgate.policy.v1 import policy_service_pb2_grpc
from policycore.rpc.submit_stream import serve_items

REPLIES = 400


class Core(policy_service_pb2_grpc.PolicyServiceServicer):
    """Decides after a moment, and counts."""

    def __init__(self, decided: Counter[str]) -> None:
        self.leaving = asyncio.Event()
        self._decided = decided

    async def SubmitStream(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[wire.SubmitStreamResponse]:
        async def submit(request: wire.SubmitRequest, _: float) -> wire.SubmitResponse:
            self._decided[request.phone] += 1
            await asyncio.sleep(0.005)
            return wire.SubmitResponse()

        async for answers in serve_items(request_iterator, submit, leaving=self.leaving):
            yield answers


@asynccontextmanager
async def core_at(port: int, decided: Counter[str]) -> AsyncIterator[tuple[Core, int]]:
    """A core on a port (0 lets the system choose), stopped as the real one is."""
    server, core = grpc.aio.server(options=(("grpc.so_reuseport", 0),)), Core(decided)  # type: ignore[abstract]
    policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(core, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    yield core, bound
    core.leaving.set()
    await server.stop(5)


async def test_a_rolling_restart_loses_nothing_and_repeats_nothing() -> None:
    decided: Counter[str] = Counter()
    async with core_at(0, decided) as (_, lasting):
        first = core_at(0, decided)
        _, leaving = await first.__aenter__()
        addresses = f"ipv4:127.0.0.1:{lasting},127.0.0.1:{leaving}"
        options = (("grpc.lb_policy_name", "round_robin"),)
        async with grpc.aio.insecure_channel(addresses, options=options) as channel:
            stub: Any = policy_service_pb2_grpc.PolicyServiceStub(channel)
            lanes = SubmitLanes(stub.SubmitStream, lanes=4)
            lanes.start()

            async def reply(number: int) -> None:
                await asyncio.sleep(number * 0.002)
                await lanes.submit(wire.SubmitRequest(integration_id="int_1", phone=f"+{number}"), 5)

            replies = [asyncio.create_task(reply(number)) for number in range(REPLIES)]
            await asyncio.sleep(REPLIES * 0.001)
            await first.__aexit__(None, None, None)
            await asyncio.gather(*replies)
            await lanes.close()
    assert decided == Counter({f"+{number}": 1 for number in range(REPLIES)})

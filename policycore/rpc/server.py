"""The gRPC server around the servicers: identity, health, reflection, keep-alive, limits."""

from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hubgate.policy.v1 import admin_service_pb2 as admin_pb
from hubgate.policy.v1 import admin_service_pb2_grpc, policy_service_pb2_grpc
from hubgate.policy.v1 import policy_service_pb2 as policy_pb

_SERVICES = (
    policy_pb.DESCRIPTOR.services_by_name["PolicyService"].full_name,
    admin_pb.DESCRIPTOR.services_by_name["AdminService"].full_name,
)
_LARGEST_MESSAGE_BYTES = 32 * 1024 * 1024

_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES),
    # Two processes on one port would share calls by chance; one address is one policy core.
    ("grpc.so_reuseport", 0),
)


class PolicyServer:
    """A gRPC server that has not started yet; without `credentials` its connections are not encrypted."""

    def __init__(
        self,
        policy: policy_service_pb2_grpc.PolicyServiceServicer,
        admin: admin_service_pb2_grpc.AdminServiceServicer,
        interceptors: "Sequence[grpc.aio.ServerInterceptor[Any, Any]]",
        *,
        with_reflection: bool,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._credentials = credentials
        self._server = grpc.aio.server(interceptors=list(interceptors), options=_OPTIONS)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # its types lack it
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(policy, self._server)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if with_reflection:
            names = (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self, listen: str) -> str:
        """Starts at `host:port` and returns the address with the real port. Raises OSError if it is taken."""
        try:
            port = (
                self._server.add_insecure_port(listen)
                if self._credentials is None
                else self._server.add_secure_port(listen, self._credentials)
            )
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}") from error
        await self._server.start()
        await self.say(serving=True)
        return f"{listen.rpartition(':')[0]}:{port}"

    async def say(self, *, serving: bool) -> None:
        """What the standard health service answers, for the server and for each service."""
        response = health_pb2.HealthCheckResponse
        state = response.SERVING if serving else response.NOT_SERVING
        for name in ("", *_SERVICES):
            await self._health.set(name, state)

    async def stop(self, grace_seconds: float) -> None:
        """Takes no new calls; those under way get `grace_seconds`."""
        await self._server.stop(grace_seconds)

"""The gRPC server around the servicer: authentication, health, reflection, keep-alive, limits."""

from collections.abc import Iterable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from certificates.folder import POLICYCORE_NAME
from hubgate.sender.v1 import sender_service_pb2 as pb
from hubgate.sender.v1 import sender_service_pb2_grpc as pb_grpc
from sender.rpc.authenticate import TokenInterceptor
from sender.rpc.servicer import SenderServicer

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SenderService"].full_name
_LARGEST_MESSAGE_BYTES = 20 * 1024 * 1024

_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES),
    # Two senders on one port would share calls without sharing a guard.
    ("grpc.so_reuseport", 0),
)


class SenderServer:
    """A gRPC server that has not started yet; without `credentials` its connections are not encrypted."""

    def __init__(
        self,
        servicer: SenderServicer,
        tokens: Iterable[str],
        *,
        with_reflection: bool,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._credentials = credentials
        caller = TokenInterceptor(tokens, POLICYCORE_NAME if credentials is not None else None)
        self._server = grpc.aio.server(interceptors=(caller,), options=_OPTIONS)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # its types lack it
        pb_grpc.add_SenderServiceServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if with_reflection:
            names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
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
        await self._say(health_pb2.HealthCheckResponse.SERVING)
        return f"{listen.rpartition(':')[0]}:{port}"

    async def say_leaving(self) -> None:
        """Health says that new work should go elsewhere."""
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self, grace_seconds: float) -> None:
        """Stops; calls under way get `grace_seconds`."""
        await self._server.stop(grace_seconds)

    async def _say(self, state: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        for name in ("", SERVICE_NAME):
            await self._health.set(name, state)

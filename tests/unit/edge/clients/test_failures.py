"""gRPC errors as the edge's own, with the time to wait if the server named one."""

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from edge.clients.failures import from_code, from_item, from_rpc
from edge.errors import (
    CoreError,
    CoreTimeoutError,
    CoreUnavailableError,
    InvalidCallError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
)
from hubgate.policy.v1 import policy_service_pb2 as wire


def rpc_error(code: grpc.StatusCode, *details: bytes) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(*(("grpc-status-details-bin", value) for value in details))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, "text", None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, NotAuthenticatedError),
        (grpc.StatusCode.PERMISSION_DENIED, NotPermittedError),
        (grpc.StatusCode.NOT_FOUND, NotFoundError),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidCallError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, CoreTimeoutError),
        (grpc.StatusCode.UNAVAILABLE, CoreUnavailableError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, CoreUnavailableError),
        (grpc.StatusCode.INTERNAL, CoreUnavailableError),
        (grpc.StatusCode.UNKNOWN, CoreUnavailableError),
    ],
)
def test_every_status_has_its_kind(code: grpc.StatusCode, kind: type[CoreError]) -> None:
    assert type(from_rpc(rpc_error(code))) is kind
    assert type(from_code(code.value[0], "")) is kind


def test_the_time_to_wait_is_read_from_the_details() -> None:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=7)))
    other = any_pb2.Any()
    other.Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="hubgate"))
    status = status_pb2.Status(code=14, details=[other, packed]).SerializeToString()
    found = from_rpc(rpc_error(grpc.StatusCode.UNAVAILABLE, status))
    assert isinstance(found, CoreUnavailableError)
    assert found.retry_after_seconds == 7


@pytest.mark.parametrize("details", [(), (b"\xff\xff",), (b"",)])
def test_without_readable_details_nobody_knows(details: tuple[bytes, ...]) -> None:
    found = from_rpc(rpc_error(grpc.StatusCode.UNAVAILABLE, *details))
    assert isinstance(found, CoreUnavailableError)
    assert found.retry_after_seconds is None


def test_an_item_error_is_read_alike() -> None:
    found = from_item(
        wire.ItemError(code=14, message="busy", retry_after=duration_pb2.Duration(nanos=500_000_000))
    )
    assert isinstance(found, CoreUnavailableError)
    assert found.retry_after_seconds == 0.5
    assert from_item(wire.ItemError(code=5)).__class__ is NotFoundError

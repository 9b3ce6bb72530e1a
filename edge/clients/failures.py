"""gRPC errors as the edge's own errors."""

from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from edge.errors import (
    CoreError,
    CoreOverloadedError,
    CoreTimeoutError,
    CoreUnavailableError,
    InvalidCallError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
)
from hubgate.policy.v1 import policy_service_pb2 as wire

_DETAILS_KEY: Final = "grpc-status-details-bin"

_OVERLOADED: Final = "OVERLOADED"

_BY_CODE: Final[dict[int, type[CoreError]]] = {
    grpc.StatusCode.UNAUTHENTICATED.value[0]: NotAuthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED.value[0]: NotPermittedError,
    grpc.StatusCode.NOT_FOUND.value[0]: NotFoundError,
    grpc.StatusCode.INVALID_ARGUMENT.value[0]: InvalidCallError,
    grpc.StatusCode.OUT_OF_RANGE.value[0]: InvalidCallError,
    grpc.StatusCode.DEADLINE_EXCEEDED.value[0]: CoreTimeoutError,
}


def from_code(code: int, text: str, retry_after_seconds: float | None = None) -> CoreError:
    """The edge's error for a gRPC status number; whatever is not listed counts as an outage."""
    kind = _BY_CODE.get(code, CoreUnavailableError)
    if issubclass(kind, CoreUnavailableError):
        return kind(text, retry_after_seconds)
    return kind(text)


def from_rpc(error: grpc.aio.AioRpcError) -> CoreError:
    """The edge's error for a failed call."""
    return from_code(error.code().value[0], error.details() or "", _retry_after(error.trailing_metadata()))


def from_item(error: wire.ItemError) -> CoreError:
    """The edge's error for one item of a stream."""
    wait = error.retry_after.ToTimedelta().total_seconds() if error.HasField("retry_after") else None
    if error.reason == _OVERLOADED:
        return CoreOverloadedError(error.message, wait)
    return from_code(error.code, error.message, wait)


def _retry_after(metadata: Iterable[Any] | None) -> float | None:
    """Seconds from google.rpc.RetryInfo in the status details, if the server sent one."""
    for key, value in metadata or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
            info = error_details_pb2.RetryInfo()
            for detail in status.details:
                if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
                    return float(info.retry_delay.ToTimedelta().total_seconds())
        except DecodeError:
            return None
    return None

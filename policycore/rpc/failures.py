"""Errors of the core as gRPC statuses, each with `google.rpc.ErrorInfo` of the domain `hubgate`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from hubgate.policy.v1 import policy_service_pb2
from policycore.errors import Malformed, NotFound, PolicyCoreError, Unavailable
from policycore.registry.errors import AlreadyExistsError, NotPermittedError, NotPossibleError
from policycore.rpc.times import to_duration

DOMAIN = "hubgate"
_log = structlog.get_logger(__name__)

_CODES: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (Malformed, grpc.StatusCode.INVALID_ARGUMENT),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (AlreadyExistsError, grpc.StatusCode.ALREADY_EXISTS),
    (NotPossibleError, grpc.StatusCode.FAILED_PRECONDITION),
    (NotPermittedError, grpc.StatusCode.PERMISSION_DENIED),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
    (OSError, grpc.StatusCode.UNAVAILABLE),
    (TimeoutError, grpc.StatusCode.UNAVAILABLE),
)


class Failure:
    """What a caller is told of an error: status code, stable word, one plain sentence, and when to come
    again.
    """

    def __init__(self, error: Exception) -> None:
        self.code = next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
        self.reason = error.reason if isinstance(error, PolicyCoreError) else "INTERNAL"
        self.message = str(error) if isinstance(error, PolicyCoreError) else "The policy core failed."
        self.field = error.field if isinstance(error, Malformed | AlreadyExistsError) else ""
        self.retry_after_seconds = error.retry_after_seconds if isinstance(error, Unavailable) else None
        if self.code is grpc.StatusCode.UNAVAILABLE and not isinstance(error, PolicyCoreError):
            self.reason, self.message = (
                "DATABASE_UNAVAILABLE",
                "The database cannot be reached; nothing was done.",
            )
            self.retry_after_seconds = 1.0
        if not isinstance(error, PolicyCoreError):
            # The text of a database error may hold what a row holds; its type is enough to go on.
            _log.error(
                "rpc.failed", error=type(error).__name__, exc_info=self.code is grpc.StatusCode.INTERNAL
            )

    def to_item_error(self) -> policy_service_pb2.ItemError:
        """The error of one item in a stream."""
        wire = policy_service_pb2.ItemError(
            code=code_pb2.Code.Value(self.code.name), reason=self.reason, message=self.message
        )
        if self.retry_after_seconds is not None:
            wire.retry_after.CopyFrom(to_duration(self.retry_after_seconds))
        return wire

    def to_status(self) -> Any:
        """The status a call ends with."""
        metadata = {"field": self.field} if self.field else {}
        details = [_pack(error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=metadata))]
        if self.retry_after_seconds is not None:
            wait = duration_pb2.Duration(seconds=max(1, round(self.retry_after_seconds)))
            details.append(_pack(error_details_pb2.RetryInfo(retry_delay=wait)))
        return rpc_status.to_status(
            status_pb2.Status(code=code_pb2.Code.Value(self.code.name), message=self.message, details=details)
        )


def _pack(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


@asynccontextmanager
async def answering(context: Any) -> AsyncIterator[None]:
    """Ends the call with the right status if the body raises."""
    try:
        yield
    except (grpc.aio.AbortError, grpc.RpcError):
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defence: nothing internal may leak out
        await context.abort_with_status(Failure(error).to_status())

"""How a gRPC call fails here: a status with `google.rpc.ErrorInfo` of the domain `hubgate`."""

from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "hubgate"

Context = Any
"""A `grpc.aio` servicer context; its published type lacks `abort_with_status`."""


class CallRefusedError(Exception):
    """The call cannot be served. `reason` is a stable UPPER_SNAKE word, `message` a plain sentence."""

    def __init__(self, code: grpc.StatusCode, reason: str, message: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.message = message


async def abort(context: Context, refused: CallRefusedError) -> NoReturn:
    """Ends the call with the refusal."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=refused.reason, domain=DOMAIN))
    number = code_pb2.Code.Value(refused.code.name)
    status = status_pb2.Status(code=number, message=refused.message, details=[detail])
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status always raises")

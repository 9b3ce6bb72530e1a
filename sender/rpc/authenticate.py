"""Who may call: every call but health needs the sender's token, compared in constant time."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from sender.rpc.errors import CallRefusedError, Context, abort

Handler = Any
"""A `grpc.RpcMethodHandler`; its published type is generic, the class is not."""

_OPEN_TO_ALL = "/grpc.health.v1.Health/"
_REFUSED = CallRefusedError(
    grpc.StatusCode.UNAUTHENTICATED, "SENDER_TOKEN_REFUSED", "The call needs the sender's bearer token."
)


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not generic at run time
    """Lets calls through that carry `authorization: Bearer <token>`."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler itself, or one of the same kind that refuses."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_OPEN_TO_ALL):
            return handler
        return handler if self._allowed(handler_call_details.invocation_metadata) else _refusing(handler)

    def _allowed(self, metadata: Any) -> bool:
        given = [value for key, value in metadata or () if key == "authorization"]
        if len(given) != 1:
            return False
        value = given[0]
        return hmac.compare_digest(value if isinstance(value, bytes) else value.encode(), self._expected)


def _refusing(handler: Handler) -> Handler:
    async def refuse(_: Any, context: Context) -> Any:
        await abort(context, _REFUSED)

    async def refuse_stream(_: Any, context: Context) -> Any:
        await abort(context, _REFUSED)
        yield

    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse_stream)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(refuse)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(refuse_stream)
    return grpc.unary_unary_rpc_method_handler(refuse)

"""Who may call: every call but health needs the sender's token, compared in constant time, and the policy core's
certificate where connections have certificates.
"""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any

import grpc

from sender.rpc.errors import CallRefusedError, Context, abort

Handler = Any
"""A `grpc.RpcMethodHandler`; its published type is generic, the class is not."""

_OPEN_TO_ALL = "/grpc.health.v1.Health/"
_REFUSED = CallRefusedError(
    grpc.StatusCode.UNAUTHENTICATED, "SENDER_TOKEN_REFUSED", "The call needs the sender's bearer token."
)
_WRONG_CERTIFICATE = CallRefusedError(
    grpc.StatusCode.PERMISSION_DENIED,
    "SENDER_CERTIFICATE_REFUSED",
    "The certificate of this connection is not the policy core's.",
)


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not generic at run time
    """Lets calls through that carry `authorization: Bearer <token>` with one of the tokens that count.

    With `certified_name` the connection's certificate must hold that name as well.
    """

    def __init__(self, tokens: Iterable[str], certified_name: str | None = None) -> None:
        self._expected = [f"Bearer {token}".encode() for token in tokens]
        self._certified_name = None if certified_name is None else certified_name.encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler itself, or one of the same kind that refuses."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_OPEN_TO_ALL):
            return handler
        if not self._allowed(handler_call_details.invocation_metadata):
            return _refusing(handler)
        return handler if self._certified_name is None else _only_certified(handler, self._certified_name)

    def _allowed(self, metadata: Any) -> bool:
        given = [value for key, value in metadata or () if key == "authorization"]
        if len(given) != 1:
            return False
        value = given[0] if isinstance(given[0], bytes) else given[0].encode()
        # Every one is compared, so that the time does not tell which it was.
        return sum(hmac.compare_digest(value, expected) for expected in self._expected) > 0


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


def _only_certified(handler: Handler, name: bytes) -> Handler:
    """The same handler for connections with a certificate of this name. Calls of the sender are of three kinds."""

    async def check(context: Context) -> None:
        if name not in context.auth_context().get("x509_subject_alternative_name", ()):
            await abort(context, _WRONG_CERTIFICATE)

    async def single(request: Any, context: Context) -> Any:
        await check(context)
        return await handler.unary_unary(request, context)

    async def stream(given: Any, context: Context) -> AsyncIterator[Any]:
        await check(context)
        async with aclosing((handler.stream_stream or handler.unary_stream)(given, context)) as answers:
            async for answer in answers:
                yield answer

    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(
            single, handler.request_deserializer, handler.response_serializer
        )
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(
            stream, handler.request_deserializer, handler.response_serializer
        )
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(
            stream, handler.request_deserializer, handler.response_serializer
        )
    # Reflection's streams and whatever may be added: refused rather than let through unlooked at.
    return _refusing(handler)

"""Owns whom a connection's certificate may speak for: a token alone is not enough where certificates are on."""

# gRPC's classes are generic in their stubs only.
from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc

Refuse = Callable[[Any], Awaitable[None]]
"""Ends the call of this context; never returns."""


def certified_names(context: Any) -> frozenset[str]:
    """The names in the certificate that the other side showed; none without one."""
    found = context.auth_context().get("x509_subject_alternative_name", ())
    return frozenset(name.decode("utf-8", "replace") for name in found)


def only_certified(
    handler: grpc.RpcMethodHandler[Any, Any], names: frozenset[str], refuse: Refuse
) -> grpc.RpcMethodHandler[Any, Any]:
    """The same handler for connections whose certificate holds one of `names`; others are refused."""
    made: Any
    if handler.response_streaming:
        stream: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def guarded_stream(request: Any, context: Any) -> AsyncIterator[Any]:
            if names.isdisjoint(certified_names(context)):
                await refuse(context)
            async with aclosing(stream(request, context)) as answers:
                async for answer in answers:
                    yield answer

        made = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return _like(handler, made, guarded_stream)
    single: Any = handler.stream_unary if handler.request_streaming else handler.unary_unary

    async def guarded(request: Any, context: Any) -> Any:
        if names.isdisjoint(certified_names(context)):
            await refuse(context)
        return await single(request, context)

    made = (
        grpc.stream_unary_rpc_method_handler
        if handler.request_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return _like(handler, made, guarded)


def _like(
    handler: grpc.RpcMethodHandler[Any, Any], make: Any, behaviour: Any
) -> grpc.RpcMethodHandler[Any, Any]:
    made: grpc.RpcMethodHandler[Any, Any] = make(
        behaviour, handler.request_deserializer, handler.response_serializer
    )
    return made

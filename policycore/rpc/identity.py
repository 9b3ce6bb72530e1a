"""Owns who a gRPC caller is: the token it shows, and whether it may call what it calls.

Every call needs `authorization: Bearer <token>`, except health checks and, in development, reflection.
Permission comes
before existence: whoever may not call an RPC learns nothing else from it.
"""

# gRPC's classes are generic in their stubs only.
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from policycore.registry.credentials import digest
from policycore.registry.rights import (
    CallerKind,
    Identity,
    admin_identity,
    certificate_names,
    edge_identity,
    expand_rights,
)
from policycore.registry.snapshot import ServiceTokenConfig
from policycore.rpc.certificate_names import only_certified

HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"

# How often an open stream of a service looks whether its token still counts.
_RECHECK_SECONDS = 0.5

_current: ContextVar[Identity] = ContextVar("hubgate_identity")

Lookup = Callable[[bytes], ServiceTokenConfig | None]
"""Finds a service token that counts now by its digest."""


def current_identity() -> Identity:
    """Who makes the call that is being handled. Errors: `LookupError` outside of one."""
    return _current.get()


def built_in_identities(edge_tokens: Iterable[str], admin_tokens: Iterable[str]) -> dict[bytes, Identity]:
    """The identities that settings give tokens to, by digest of the token."""
    edges = {digest(each): edge_identity() for each in edge_tokens}
    return edges | {digest(each): admin_identity() for each in admin_tokens}


class IdentityInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in the stubs only
    """Lets a call through if its token may make it, and says who called.

    `lookup` reads the newest configuration known here, so that a revoked token is refused within the time
    that takes;
    streams that a service opened before are ended then. `exempt` are beginnings of paths that need no token.
    With `certified` the connection's certificate must be one that may speak for the token's owner.
    """

    def __init__(
        self,
        built_in: Mapping[bytes, Identity],
        lookup: Lookup,
        clock: Callable[[], datetime],
        exempt: tuple[str, ...] = (HEALTH,),
        *,
        certified: bool = False,
    ) -> None:
        self._built_in = dict(built_in)
        self._lookup = lookup
        self._clock = clock
        self._exempt = exempt
        self._certified = certified
        self._uses: dict[str, datetime] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Refuses the call, or hands it on under the caller's identity."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if path.startswith(self._exempt):
            return handler
        token_digest = _shown_token(handler_call_details)
        identity = self.identify(token_digest)
        if identity is None or token_digest is None:
            return _refusal(handler, grpc.StatusCode.UNAUTHENTICATED, _UNAUTHENTICATED)
        if handler is None:
            return handler
        rpc = path.rpartition("/")[2]
        if rpc not in identity.rights:
            sentence = f"{identity.name} has no right to call {rpc}."
            return _refusal(handler, grpc.StatusCode.PERMISSION_DENIED, sentence)
        if identity.token_id:
            self._uses[identity.token_id] = self._clock()
            if handler.response_streaming:
                handler = self._ended_by_revocation(handler, token_digest)
        if self._certified:
            handler = only_certified(handler, certificate_names(identity), _refuse_certificate)
        _current.set(identity)
        return handler

    def identify(self, token_digest: bytes | None) -> Identity | None:
        """Whose token this is, if it counts now."""
        if token_digest is None:
            return None
        built_in = self._built_in.get(token_digest)
        if built_in is not None:
            return built_in
        token = self._lookup(token_digest)
        if token is None:
            return None
        return Identity(
            name=token.name,
            kind=CallerKind.SERVICE,
            rights=expand_rights(token.rights),
            account_ids=token.account_ids,
            token_id=token.token_id,
        )

    def take_uses(self) -> dict[str, datetime]:
        """Service tokens that were used since the last call, and when; for last-used marks."""
        uses, self._uses = self._uses, {}
        return uses

    def _ended_by_revocation(
        self, handler: grpc.RpcMethodHandler[Any, Any], token_digest: bytes
    ) -> grpc.RpcMethodHandler[Any, Any]:
        behaviour: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
            revoked = asyncio.ensure_future(self._revocation(token_digest))
            answers = behaviour(request, context)
            try:
                while True:
                    step = asyncio.ensure_future(anext(answers))
                    await _first_of(step, revoked)
                    if revoked.done():
                        await _cancel(step)
                        await _abort(context, grpc.StatusCode.UNAUTHENTICATED, _UNAUTHENTICATED)
                    try:
                        answer = step.result()
                    except StopAsyncIteration:
                        return
                    yield answer
            finally:
                await _cancel(revoked)
                await answers.aclose()

        make: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        made: grpc.RpcMethodHandler[Any, Any] = make(
            guarded, handler.request_deserializer, handler.response_serializer
        )
        return made

    async def _revocation(self, token_digest: bytes) -> None:
        """Returns once the token counts no longer."""
        while self._lookup(token_digest) is not None:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(_RECHECK_SECONDS)


async def _first_of(step: asyncio.Future[Any], revoked: asyncio.Future[None]) -> None:
    """Waits for either; takes the step with it if the call itself is cancelled."""
    try:
        await asyncio.wait({step, revoked}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _cancel(step)
        raise


async def _cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def _refuse_certificate(context: Any) -> None:
    await _abort(context, grpc.StatusCode.PERMISSION_DENIED, _WRONG_CERTIFICATE)


_WRONG_CERTIFICATE = "The certificate of this connection may not speak for the owner of the token."
_UNAUTHENTICATED = "A valid token is required, as metadata `authorization: Bearer <token>`."


def _shown_token(details: grpc.HandlerCallDetails) -> bytes | None:
    for key, value in details.invocation_metadata or ():
        if key == "authorization" and isinstance(value, str) and value[:7].lower() == "bearer ":
            return digest(value[7:].strip())
    return None


def _refusal(
    handler: grpc.RpcMethodHandler[Any, Any] | None, code: grpc.StatusCode, sentence: str
) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler of the same shape that only refuses; an unknown method is refused like a known one."""

    async def refuse(_request: Any, context: Any) -> None:
        await _abort(context, code, sentence)

    async def refuse_stream(_request: Any, context: Any) -> AsyncIterator[Any]:
        await _abort(context, code, sentence)
        yield  # pragma: no cover - makes this a generator

    if handler is None or not (handler.request_streaming or handler.response_streaming):
        return grpc.unary_unary_rpc_method_handler(refuse)
    if not handler.response_streaming:
        return grpc.stream_unary_rpc_method_handler(refuse)
    if not handler.request_streaming:
        return grpc.unary_stream_rpc_method_handler(refuse_stream)
    return grpc.stream_stream_rpc_method_handler(refuse_stream)


async def _abort(context: Any, code: grpc.StatusCode, sentence: str) -> None:
    """Ends the call; google.rpc.ErrorInfo carries the code's name as its reason."""
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=code.name, domain="hubgate"))
    status = status_pb2.Status(code=code.value[0], message=sentence, details=[detail])
    await context.abort_with_status(rpc_status.to_status(status))

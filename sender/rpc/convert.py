"""Wire types to the sender's words and back; nothing else."""

from collections.abc import Mapping
from datetime import UTC, datetime

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from hubgate.sender.v1 import sender_service_pb2 as pb
from sender.destinations.signed_event import Event
from sender.guard import GuardEntry
from sender.model import (
    AttemptResult,
    Connection,
    GuardScope,
    InstanceState,
    Order,
    PermitClaims,
    PostResult,
    Receipt,
    Recipient,
    SignedPermit,
    WithheldError,
)
from sender.rpc.errors import CallRefusedError

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def order_from(
    request: pb.DeliverMessageRequest, connections: Mapping[str, Connection] | None = None
) -> Order:
    """The order. A connection that is left out is taken from `connections`, by the permit's instance.

    Raises `WithheldError` if the permit cannot be read or no connection is known.
    """
    permit = _permit_from(request.permit)
    if request.HasField("connection"):
        connection = connection_from(request.connection)
    else:
        named = (connections or {}).get(permit.claims.instance_id)
        if named is None:
            raise WithheldError("connection_missing", "The order names no connection.")
        connection = named
    return Order(
        permit=permit,
        recipient=Recipient(
            request.recipient.phone, request.recipient.lid, request.recipient.business_scoped_id
        ),
        text=request.content.text,
        connection=connection,
        correlation_id=request.correlation_id,
    )


def _permit_from(signed: pb.SignedPermit) -> SignedPermit:
    # The claims are believed only after the signature over the same bytes was verified.
    try:
        permit = pb.Permit.FromString(signed.permit)
        not_after = _moment(permit.not_after)
    except (DecodeError, ValueError, OverflowError) as error:
        raise WithheldError("permit_malformed", "The permit cannot be read.") from error
    claims = PermitClaims(
        permit_id=permit.permit_id,
        message_id=permit.message_id,
        account_id=permit.account_id,
        instance_id=permit.instance_id,
        integration_id=permit.integration_id,
        person_id=permit.person_id,
        recipient_digest=permit.recipient_digest,
        content_digest=permit.content_digest,
        not_after=not_after,
        confirms_opt_out=permit.confirms_opt_out,
    )
    return SignedPermit(signed.permit, signed.signature, signed.key_id, claims)


def connection_from(wire: pb.InstanceConnection) -> Connection:
    """How a back end is reached."""
    return Connection(wire.instance_id, wire.backend, wire.base_url, wire.external_name, wire.api_token)


def event_from(wire: pb.PostEventRequest) -> Event:
    """The event to post."""
    return Event(wire.delivery_id, wire.url, wire.event_name, wire.body, wire.signing_secret)


def guard_entry_from(wire: pb.Guarded) -> GuardEntry:
    """What is guarded. Raises `CallRefusedError`: what cannot be obeyed must not look as if it were."""
    if wire.scope not in _SCOPES or (wire.scope_id == "") != (wire.scope == pb.GUARD_SCOPE_PLATFORM):
        raise CallRefusedError(
            grpc.StatusCode.INVALID_ARGUMENT, "GUARD_NOT_UNDERSTOOD", "A guard's scope cannot be obeyed here."
        )
    until = _moment(wire.until) if wire.HasField("until") else None
    return GuardEntry(GuardScope(int(wire.scope)), wire.scope_id, wire.opt_out, until)


_SCOPES = frozenset(int(scope) for scope in GuardScope)


def answer_to(result: AttemptResult) -> pb.DeliverMessageResponse:
    """What came of an attempt, for the wire."""
    wire = pb.DeliverMessageResponse(
        outcome=pb.Outcome.ValueType(result.outcome.value),
        external_message_id=result.external_message_id,
        code=result.code,
        explanation=result.explanation,
        consequence=pb.Consequence.ValueType(result.consequence.value),
        http_status=result.http_status,
    )
    if result.retry_after_seconds is not None:
        wire.retry_after.CopyFrom(_duration(result.retry_after_seconds))
    if result.receipts:
        wire.receipts.extend(_receipt_to(receipt) for receipt in result.receipts)
    if result.attempted_at is not None:
        wire.attempted_at.FromDatetime(result.attempted_at)
    return wire


def _receipt_to(receipt: Receipt) -> pb.ImmediateReceipt:
    return pb.ImmediateReceipt(
        kind=receipt.kind, after=_duration(receipt.after_seconds), error_code=receipt.error_code
    )


def post_answer_to(result: PostResult) -> pb.PostEventResponse:
    """What came of posting, for the wire."""
    wire = pb.PostEventResponse(
        outcome=pb.PostOutcome.ValueType(result.outcome.value),
        http_status=result.http_status,
        explanation=result.explanation,
    )
    if result.retry_after_seconds is not None:
        wire.retry_after.CopyFrom(_duration(result.retry_after_seconds))
    return wire


def probe_answer_to(state: InstanceState) -> pb.ProbeInstanceResponse:
    """An instance's state, for the wire."""
    return pb.ProbeInstanceResponse(state=state.state, reason=state.reason, error_text=state.error_text)


def seconds_from(duration: Duration, default: float) -> float:
    """A duration in seconds, or the default if it is not above zero."""
    seconds = duration.seconds + duration.nanos / 1e9
    return seconds if seconds > 0 else default


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC) if stamp.seconds or stamp.nanos else _BEGINNING


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))

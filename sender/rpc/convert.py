"""Wire types to the sender's words and back; nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
    LookUp,
    LookUpResult,
    Order,
    Outcome,
    PermitBatch,
    PermitClaims,
    PostResult,
    Recipient,
    SignedPermit,
    WithheldError,
)
from sender.rpc.errors import CallRefusedError

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Batch:
    """What the items of one request share: connections by instance, and the signature of their permits, if any."""

    connections: Mapping[str, Connection]
    permits: PermitBatch | None = None


ALONE = Batch({})
"""The batch of an order that came by itself."""


def batch_from(request: pb.DeliverStreamRequest) -> Batch:
    """What the items of this request share."""
    permits = None
    if request.permits_signature or request.permits_key_id:
        raws = [item.request.permit.permit for item in request.items]
        permits = PermitBatch(raws, request.permits_signature, request.permits_key_id)
    return Batch({wire.instance_id: connection_from(wire) for wire in request.connections}, permits)


def order_from(request: pb.DeliverMessageRequest, batch: Batch = ALONE, place: int = 0) -> Order:
    """The order at `place` of its batch, or alone. What it leaves out is the batch's: the connection, by the
    permit's instance, and the signature of its permit.

    Raises `WithheldError` if the permit cannot be read or no connection is known.
    """
    permit = _permit_from(request.permit, batch.permits, place)
    if request.HasField("connection"):
        connection = connection_from(request.connection)
    else:
        named = batch.connections.get(permit.claims.instance_id)
        if named is None:
            raise WithheldError("connection_missing", "The order names no connection.")
        connection = named
    to = request.recipient
    return Order(
        permit,
        Recipient(to.phone, to.lid, to.business_scoped_id),
        request.content.text,
        connection,
        request.correlation_id,
    )


def _permit_from(signed: pb.SignedPermit, batch: PermitBatch | None, place: int) -> SignedPermit:
    # The claims are believed only after the signature over the same bytes was verified.
    signature, key_id = signed.signature, signed.key_id
    if signature or key_id:
        batch = None
    raw = signed.permit if batch is None else batch.raws[place]
    try:
        permit = pb.Permit.FromString(raw)
        not_after = _moment(permit.not_after)
    except (DecodeError, ValueError, OverflowError) as error:
        raise WithheldError("permit_malformed", "The permit cannot be read.") from error
    claims = PermitClaims(
        permit.permit_id,
        permit.message_id,
        permit.account_id,
        permit.instance_id,
        permit.integration_id,
        permit.person_id,
        permit.recipient_digest,
        permit.content_digest,
        not_after,
        permit.confirms_opt_out,
    )
    return SignedPermit(raw, signature, key_id, claims, batch, place)


def connection_from(wire: pb.InstanceConnection) -> Connection:
    """How a back end is reached."""
    until = _moment(wire.previous_valid_until) if wire.previous_api_token else None
    return Connection(
        wire.instance_id,
        wire.backend,
        wire.base_url,
        wire.external_name,
        wire.api_token,
        wire.previous_api_token,
        until,
    )


def event_from(wire: pb.PostEventRequest) -> Event:
    """The event to post."""
    return Event(
        wire.delivery_id,
        wire.url,
        wire.event_name,
        wire.body,
        wire.signing_secret,
        wire.business_number,
    )


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
    wire = pb.DeliverMessageResponse()
    fill_answer(wire, result)
    return wire


def fill_answer(wire: pb.DeliverMessageResponse, result: AttemptResult) -> None:
    """Writes what came of an attempt into an empty answer. What cannot be written leaves its outcome open."""
    try:
        _fill(wire, result)
    except ValueError:
        # A back end's words are not UTF-8, or its numbers too large. The answers beside this one must not suffer.
        wire.Clear()
        _fill(wire, AttemptResult(Outcome.UNKNOWN, "sender_fault", _UNTOLD, attempted_at=result.attempted_at))


_UNTOLD = "The sender cannot tell what the back end answered; the message may have been sent."


def _fill(wire: pb.DeliverMessageResponse, result: AttemptResult) -> None:
    wire.outcome = result.outcome  # type: ignore[assignment]  # an IntEnum with the numbers of the contract
    wire.external_message_id = result.external_message_id
    wire.code = result.code
    wire.explanation = result.explanation
    wire.http_status = result.http_status
    if result.consequence:
        wire.consequence = result.consequence  # type: ignore[assignment]  # as above
    if result.retry_after_seconds is not None:
        _fill_duration(wire.retry_after, result.retry_after_seconds)
    for receipt in result.receipts:
        told = wire.receipts.add(kind=receipt.kind, error_code=receipt.error_code)
        _fill_duration(told.after, receipt.after_seconds)
    if result.attempted_at is not None:
        since = result.attempted_at - _BEGINNING
        wire.attempted_at.seconds = since.days * 86_400 + since.seconds
        wire.attempted_at.nanos = since.microseconds * 1_000


def post_answer_to(result: PostResult) -> pb.PostEventResponse:
    """What came of posting, for the wire."""
    wire = pb.PostEventResponse(
        outcome=pb.PostOutcome.ValueType(result.outcome.value),
        http_status=result.http_status,
        explanation=result.explanation,
    )
    if result.retry_after_seconds is not None:
        _fill_duration(wire.retry_after, result.retry_after_seconds)
    return wire


def probe_answer_to(state: InstanceState) -> pb.ProbeInstanceResponse:
    """An instance's state, for the wire."""
    return pb.ProbeInstanceResponse(state=state.state, reason=state.reason, error_text=state.error_text)


def look_up_from(wire: pb.LookUpMessageRequest) -> LookUp:
    """What is looked for. Raises `CallRefusedError` if its time is no moment."""
    to = wire.recipient
    try:
        since = _moment(wire.since)
    except (ValueError, OverflowError) as error:
        raise CallRefusedError(
            grpc.StatusCode.INVALID_ARGUMENT, "SINCE_NOT_UNDERSTOOD", "That is no moment of this calendar."
        ) from error
    recipient = Recipient(to.phone, to.lid, to.business_scoped_id)
    return LookUp(connection_from(wire.connection), recipient, wire.content.text, since)


def look_up_answer_to(result: LookUpResult) -> pb.LookUpMessageResponse:
    """What was found, for the wire."""
    wire = pb.LookUpMessageResponse(
        outcome=pb.LookUpOutcome.ValueType(result.outcome.value), reason=result.reason
    )
    for found in result.found:
        told = wire.found.add(kind=found.kind)
        told.external_message_id = found.external_message_id.encode("utf-8", "replace").decode()
        told.sent_at.FromDatetime(found.sent_at)
    return wire


def seconds_from(duration: Duration, default: float) -> float:
    """A duration in seconds, or the default if it is not above zero."""
    seconds = duration.seconds + duration.nanos / 1e9
    return seconds if seconds > 0 else default


def _moment(stamp: Timestamp) -> datetime:
    """To the microsecond. Raises `ValueError` or `OverflowError` for what is no moment."""
    seconds, nanos = stamp.seconds, stamp.nanos
    if not 0 <= nanos < 1_000_000_000:
        raise ValueError("a part of a second must be less than one")
    return _BEGINNING + timedelta(0, seconds, nanos // 1_000)


def _fill_duration(wire: Duration, seconds: float) -> None:
    whole = int(seconds)
    wire.SetInParent()
    wire.seconds = whole
    wire.nanos = int((seconds - whole) * 1e9)

"""Our words to the sender's wire types and back; nothing else."""

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.ports import (
    AttemptOutcome,
    Consequence,
    LateReceipt,
    OutboundMessage,
    Outcome,
    Posting,
    PostOutcome,
    PostResult,
)
from policycore.registry.snapshot import InstanceConfig, PauseConfig

DRAINING = "sender_draining"
"""A sender's word for: I am about to stop and take nothing more."""

_SENDERS_OWN_TROUBLE = frozenset({DRAINING, "sender_overloaded", "guard_silent"})
"""Codes of attempts that a sender did not make because of itself, not of the message: another one may."""

_LATE_RECEIPTS = frozenset({"sent", "delivered", "read", "failed"})
_LONGEST_EXPLANATION = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SCOPES = {
    "platform": pb.GUARD_SCOPE_PLATFORM,
    "account": pb.GUARD_SCOPE_ACCOUNT,
    "instance": pb.GUARD_SCOPE_INSTANCE,
    "integration": pb.GUARD_SCOPE_INTEGRATION,
    "person": pb.GUARD_SCOPE_PERSON,
}
_OUTCOMES: dict[int, Outcome] = {int(outcome): outcome for outcome in Outcome}
_CONSEQUENCES: dict[int, Consequence] = {int(consequence): consequence for consequence in Consequence}
_POST_OUTCOMES = {int(outcome): outcome for outcome in PostOutcome}


def to_timestamp(moment: datetime) -> Timestamp:
    """An aware datetime, to the microsecond."""
    wire = Timestamp()
    fill_timestamp(wire, moment)
    return wire


def fill_timestamp(wire: Timestamp, moment: datetime) -> None:
    """Writes an aware datetime, to the microsecond."""
    since = moment - _EPOCH
    wire.seconds = since.days * 86_400 + since.seconds
    wire.nanos = since.microseconds * 1_000


def fill_duration(wire: Duration, seconds: float) -> None:
    """Writes seconds, not below zero, to the microsecond."""
    whole, microseconds = divmod(round(max(seconds, 0.0) * 1_000_000), 1_000_000)
    wire.seconds = whole
    wire.nanos = microseconds * 1_000


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1_000_000_000


def _text(written: str, longest: int) -> str:
    """What a back end wrote, as it can be kept: PostgreSQL takes no NUL, and columns have lengths."""
    return written.replace("\x00", "")[:longest]


def connection_to(instance: InstanceConfig) -> pb.InstanceConnection:
    """How an instance is reached."""
    wire = pb.InstanceConnection()
    fill_connection(wire, instance)
    return wire


def fill_connection(wire: pb.InstanceConnection, instance: InstanceConfig) -> None:
    """Writes how an instance is reached."""
    wire.instance_id = instance.instance_id
    wire.backend = instance.backend
    wire.base_url = instance.base_url
    wire.external_name = instance.external_name
    wire.api_token = instance.api_token
    if instance.former is not None and instance.former.api_token:
        wire.previous_api_token = instance.former.api_token
        fill_timestamp(wire.previous_valid_until, instance.former.valid_until)


def fill_attempt(wire: pb.DeliverMessageRequest, message: OutboundMessage, permit: bytes) -> None:
    """Writes one attempt, without its connection and the signature of its permit: the batch has those."""
    wire.permit.permit = permit
    recipient = wire.recipient
    recipient.SetInParent()
    recipient.phone = message.phone
    if message.lid:
        recipient.lid = message.lid
    if message.bsuid:
        recipient.business_scoped_id = message.bsuid
    wire.content.text = message.text
    wire.correlation_id = message.message_id


def outcome_from(response: pb.DeliverMessageResponse) -> AttemptOutcome:
    """What came of an attempt. An outcome that is not known here is UNKNOWN: the message may have left.

    An attempt that a sender did not make because of its own state counts as not handed over.
    """
    outcome, code = _OUTCOMES.get(response.outcome), response.code
    return AttemptOutcome(
        Outcome.UNKNOWN if outcome is None else outcome,
        _text(code, 64) if outcome is not None else "sender_answer_not_understood",
        _text(response.explanation, _LONGEST_EXPLANATION),
        _text(response.external_message_id, 300),
        _CONSEQUENCES.get(response.consequence, Consequence.NONE),
        _seconds(response.retry_after) if response.HasField("retry_after") else None,
        tuple(
            LateReceipt(receipt.kind, _seconds(receipt.after), _text(receipt.error_code, 64))
            for receipt in response.receipts
            if receipt.kind in _LATE_RECEIPTS
        ),
        handed_over=outcome is not Outcome.NOT_ATTEMPTED or code not in _SENDERS_OWN_TROUBLE,
    )


def post_to(posting: Posting) -> pb.PostEventRequest:
    """One attempt to post an event."""
    return pb.PostEventRequest(
        delivery_id=posting.delivery_id,
        destination_kind=posting.destination_kind,
        url=posting.url,
        event_name=posting.event_name,
        body=posting.body.encode(),
        signing_secret=posting.signing_secret,
        business_number=posting.business_number,
    )


def post_result_from(response: pb.PostEventResponse) -> PostResult:
    """What came of posting. An outcome that is not known here is tried again: the receiver knows repeats by
    their id.
    """
    return PostResult(
        outcome=_POST_OUTCOMES.get(int(response.outcome), PostOutcome.RETRY),
        http_status=response.http_status,
        retry_after_seconds=_seconds(response.retry_after) if response.HasField("retry_after") else None,
        explanation=_text(response.explanation, _LONGEST_EXPLANATION),
    )


def guarded_pause(pause: PauseConfig) -> pb.Guarded:
    """A pause, for the guard. Raises KeyError for a scope that is none."""
    until = pause.fact.until
    return pb.Guarded(
        scope=_SCOPES[pause.fact.scope],
        scope_id=pause.scope_id,
        until=None if until is None else to_timestamp(until),
    )


def guarded_opt_out(person_id: str, until: datetime) -> pb.Guarded:
    """A fresh opt-out, for the guard."""
    return pb.Guarded(
        scope=pb.GUARD_SCOPE_PERSON, scope_id=person_id, opt_out=True, until=to_timestamp(until)
    )

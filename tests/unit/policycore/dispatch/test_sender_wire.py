"""Conversion to the sender's wire types and back."""

from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.dispatch.sender_wire import (
    fill_attempt,
    fill_duration,
    guarded_opt_out,
    guarded_pause,
    outcome_from,
    post_result_from,
    post_to,
    to_timestamp,
)
from policycore.model import PauseFact
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
from policycore.registry.snapshot import PauseConfig

MOMENT = datetime(2026, 5, 8, 10, 0, 0, 123_456, tzinfo=UTC)


def duration(seconds: float) -> Duration:
    wire = Duration()
    fill_duration(wire, seconds)
    return wire


def test_moments_and_durations_keep_their_microseconds() -> None:
    assert to_timestamp(MOMENT).ToDatetime(UTC) == MOMENT
    assert to_timestamp(datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)).ToDatetime(UTC).microsecond == 1
    assert duration(34.9999996) == Duration(seconds=35)
    assert duration(0.25) == Duration(nanos=250_000_000)
    assert duration(-3) == Duration()


def test_an_attempt_says_everything_but_what_its_batch_says() -> None:
    ids = ("msg_1", "acc_1", "ins_1", "int_1", "psn_1")
    message = OutboundMessage(
        *ids, "+966500000000", "123", "US.1", "مرحبا", "support", MOMENT, not_after=MOMENT, send_after=MOMENT
    )
    wire = pb.DeliverMessageRequest()
    fill_attempt(wire, message, b"permit")
    assert wire == pb.DeliverMessageRequest(
        permit=pb.SignedPermit(permit=b"permit"),
        recipient=pb.Recipient(phone="+966500000000", lid="123", business_scoped_id="US.1"),
        content=pb.Content(text="مرحبا"),
        correlation_id="msg_1",
    )


@pytest.mark.parametrize("outcome", list(Outcome))
def test_outcomes_and_consequences_have_the_numbers_of_the_wire(outcome: Outcome) -> None:
    name = pb.Outcome.Name(pb.Outcome.ValueType(outcome))
    assert name == f"OUTCOME_{outcome.name}"
    assert outcome_from(pb.DeliverMessageResponse(outcome=pb.Outcome.ValueType(outcome))).outcome is outcome


@pytest.mark.parametrize("consequence", list(Consequence)[1:])
def test_consequences(consequence: Consequence) -> None:
    wire = pb.Consequence.ValueType(consequence)
    assert pb.Consequence.Name(wire) == f"CONSEQUENCE_{consequence.name}"
    assert outcome_from(pb.DeliverMessageResponse(consequence=wire)).consequence is consequence


def test_everything_an_answer_says_is_kept() -> None:
    wire = pb.DeliverMessageResponse(
        outcome=pb.OUTCOME_REJECTED,
        external_message_id="3EB0",
        code="cloud_131056",
        explanation="Too many messages to this pair.",
        consequence=pb.CONSEQUENCE_HOLD_PAIR,
        retry_after=Duration(seconds=2, nanos=500_000_000),
        http_status=400,
        receipts=[pb.ImmediateReceipt(kind="failed", after=Duration(seconds=3), error_code="x")],
    )
    assert outcome_from(wire) == AttemptOutcome(
        Outcome.REJECTED,
        "cloud_131056",
        "Too many messages to this pair.",
        "3EB0",
        Consequence.HOLD_PAIR,
        2.5,
        (LateReceipt("failed", 3.0, "x"),),
    )


@pytest.mark.parametrize("number", [0, 99])
def test_an_answer_nobody_understands_is_unknown(number: int) -> None:
    outcome = outcome_from(pb.DeliverMessageResponse(outcome=pb.Outcome.ValueType(number), code="x"))
    assert (outcome.outcome, outcome.code) == (Outcome.UNKNOWN, "sender_answer_not_understood")
    assert outcome.handed_over


@pytest.mark.parametrize(
    ("outcome", "code", "handed_over"),
    [
        (pb.OUTCOME_NOT_ATTEMPTED, "sender_draining", False),
        (pb.OUTCOME_NOT_ATTEMPTED, "sender_overloaded", False),
        (pb.OUTCOME_NOT_ATTEMPTED, "guard_silent", False),
        (pb.OUTCOME_NOT_ATTEMPTED, "guarded_person", True),
        (pb.OUTCOME_NOT_ATTEMPTED, "permit_used", True),
        (pb.OUTCOME_UNKNOWN, "sender_draining", True),
        (pb.OUTCOME_UNSPECIFIED, "sender_draining", True),
    ],
)
def test_what_a_sender_did_not_do_for_its_own_sake_may_be_tried_again(
    outcome: pb.Outcome.ValueType, code: str, handed_over: bool
) -> None:
    assert outcome_from(pb.DeliverMessageResponse(outcome=outcome, code=code)).handed_over is handed_over


def test_postings() -> None:
    posting = Posting("dlv_1", "threecx_json", "https://pbx.example/x", "message.received", '{"a":"ä"}', "s")
    wire = post_to(posting)
    assert (wire.delivery_id, wire.destination_kind, wire.url) == ("dlv_1", "threecx_json", posting.url)
    assert (wire.event_name, wire.body, wire.signing_secret) == (
        "message.received",
        '{"a":"ä"}'.encode(),
        "s",
    )
    answered = pb.PostEventResponse(
        outcome=pb.POST_OUTCOME_RETRY, http_status=503, retry_after=Duration(seconds=9), explanation="busy"
    )
    assert post_result_from(answered) == PostResult(PostOutcome.RETRY, 503, 9.0, "busy")
    assert post_result_from(pb.PostEventResponse()) == PostResult(PostOutcome.RETRY)


def test_guarded_things() -> None:
    pause = PauseConfig("ins_1", PauseFact("pau_1", "instance", "amal", "", MOMENT))
    wire = guarded_pause(pause)
    assert (wire.scope, wire.scope_id, wire.opt_out) == (pb.GUARD_SCOPE_INSTANCE, "ins_1", False)
    assert wire.until.ToDatetime(UTC) == MOMENT
    everything = guarded_pause(PauseConfig("", PauseFact("pau_2", "platform", "amal", "", None)))
    assert (everything.scope, everything.scope_id) == (pb.GUARD_SCOPE_PLATFORM, "")
    assert not everything.HasField("until")
    person = guarded_opt_out("psn_1", MOMENT)
    assert (person.scope, person.scope_id, person.opt_out) == (pb.GUARD_SCOPE_PERSON, "psn_1", True)

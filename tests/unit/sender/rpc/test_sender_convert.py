"""Wire types to the sender's words and back."""

from datetime import UTC, datetime

import pytest

from hubgate.sender.v1 import sender_service_pb2 as pb
from sender.guard import GuardEntry
from sender.model import (
    AttemptResult,
    Connection,
    Consequence,
    GuardScope,
    Outcome,
    PostOutcome,
    PostResult,
    Receipt,
    WithheldError,
)
from sender.rpc.convert import (
    Batch,
    answer_to,
    batch_from,
    guard_entry_from,
    order_from,
    post_answer_to,
    seconds_from,
)
from sender.rpc.errors import CallRefusedError

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def request(**words: object) -> pb.DeliverMessageRequest:
    permit = pb.Permit(permit_id="prm_1", instance_id="ins_1", confirms_opt_out=True)
    permit.not_after.FromDatetime(MOMENT)
    made = pb.DeliverMessageRequest(
        permit=pb.SignedPermit(permit=permit.SerializeToString(), signature=b"s", key_id="k1"),
        recipient=pb.Recipient(phone="+966500000000"),
        content=pb.Content(text="hi"),
        correlation_id="msg_1",
    )
    made.MergeFrom(pb.DeliverMessageRequest(**words))  # type: ignore[arg-type]
    return made


def test_an_order() -> None:
    found = order_from(request(connection=pb.InstanceConnection(instance_id="ins_1", backend="waha")))
    assert found.permit.claims.not_after == MOMENT
    assert found.permit.claims.confirms_opt_out
    assert (found.recipient.phone, found.text, found.connection.backend) == ("+966500000000", "hi", "waha")


def test_a_connection_of_the_batch() -> None:
    named = Connection("ins_1", "waha", "", "", "")
    assert order_from(request(), Batch({"ins_1": named})).connection is named
    with pytest.raises(WithheldError) as caught:
        order_from(request(), Batch({"ins_2": named}))
    assert caught.value.code == "connection_missing"


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\xff", b"\x4a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"])
def test_a_permit_that_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(WithheldError) as caught:
        order_from(pb.DeliverMessageRequest(permit=pb.SignedPermit(permit=raw)))
    assert caught.value.code == "permit_malformed"


def test_a_permit_without_an_end_is_dead() -> None:
    raw = pb.Permit(permit_id="prm_1", instance_id="ins_1").SerializeToString()
    named = Batch({"ins_1": Connection("ins_1", "waha", "", "", "")})
    found = order_from(pb.DeliverMessageRequest(permit=pb.SignedPermit(permit=raw)), named)
    assert found.permit.claims.not_after.year == 1970


def test_an_answer_with_everything() -> None:
    wire = answer_to(
        AttemptResult(
            Outcome.ACCEPTED,
            "sandbox_accepted",
            "Taken.",
            "sbx_1",
            Consequence.REPLIES_ONLY,
            1.5,
            201,
            (Receipt("sent", 0.25), Receipt("failed", 1.0, "x")),
            MOMENT,
        )
    )
    assert wire.outcome == pb.OUTCOME_ACCEPTED
    assert wire.consequence == pb.CONSEQUENCE_REPLIES_ONLY
    assert (wire.retry_after.seconds, wire.retry_after.nanos) == (1, 500_000_000)
    assert [(item.kind, item.after.nanos, item.error_code) for item in wire.receipts] == [
        ("sent", 250_000_000, ""),
        ("failed", 0, "x"),
    ]
    assert wire.attempted_at.ToDatetime(UTC) == MOMENT


def test_an_answer_with_nothing() -> None:
    wire = answer_to(AttemptResult(Outcome.NOT_ATTEMPTED, "permit_used", "Used."))
    assert not wire.HasField("retry_after")
    assert not wire.HasField("attempted_at")


def test_words_of_a_back_end_that_cannot_be_written_leave_the_outcome_open() -> None:
    wire = answer_to(AttemptResult(Outcome.ACCEPTED, "x", "Taken.", "\ud800", attempted_at=MOMENT))
    assert (wire.outcome, wire.code, wire.external_message_id) == (pb.OUTCOME_UNKNOWN, "sender_fault", "")
    assert wire.attempted_at.ToDatetime(UTC) == MOMENT


def test_a_permit_without_a_signature_of_its_own_has_that_of_its_batch() -> None:
    named = pb.InstanceConnection(instance_id="ins_1", backend="waha")
    alone, other, own = request(), request(), request()
    for each in (alone, other):
        each.permit.ClearField("signature")
        each.permit.ClearField("key_id")
    wire = pb.DeliverStreamRequest(connections=[named], permits_signature=b"all", permits_key_id="k2")
    wire.items.extend(pb.DeliverItem(request=each) for each in (alone, own, other))
    batch = batch_from(wire)
    first, second, third = (order_from(item.request, batch, n).permit for n, item in enumerate(wire.items))
    assert first.batch is third.batch is batch.permits
    assert (first.place, third.place, second.batch) == (0, 2, None)
    assert batch.permits is not None
    assert (batch.permits.signature, batch.permits.key_id) == (b"all", "k2")
    assert list(batch.permits.raws) == [alone.permit.permit, own.permit.permit, other.permit.permit]
    assert batch_from(pb.DeliverStreamRequest()).permits is None


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000])
def test_a_moment_that_is_none_makes_no_permit(nanos: int) -> None:
    permit = pb.Permit(permit_id="prm_1", instance_id="ins_1")
    permit.not_after.nanos = nanos
    wire = pb.DeliverMessageRequest(permit=pb.SignedPermit(permit=permit.SerializeToString()))
    with pytest.raises(WithheldError) as caught:
        order_from(wire)
    assert caught.value.code == "permit_malformed"


def test_a_post() -> None:
    wire = post_answer_to(PostResult(PostOutcome.RETRY, "Later.", 503, 0.0))
    assert (wire.outcome, wire.http_status) == (pb.POST_OUTCOME_RETRY, 503)
    assert wire.HasField("retry_after")


def test_guards() -> None:
    wire = pb.Guarded(scope=pb.GUARD_SCOPE_PERSON, scope_id="psn_1", opt_out=True)
    assert guard_entry_from(wire) == GuardEntry(GuardScope.PERSON, "psn_1", True, None)
    wire.until.FromDatetime(MOMENT)
    assert guard_entry_from(wire).until == MOMENT


@pytest.mark.parametrize(
    "wire",
    [
        pb.Guarded(),
        pb.Guarded(scope=pb.GUARD_SCOPE_PERSON),
        pb.Guarded(scope=pb.GUARD_SCOPE_PLATFORM, scope_id="x"),
        pb.Guarded(scope=99, scope_id="x"),  # type: ignore[arg-type]
    ],
)
def test_a_guard_that_cannot_be_obeyed_is_refused(wire: pb.Guarded) -> None:
    with pytest.raises(CallRefusedError):
        guard_entry_from(wire)


def test_times() -> None:
    item = pb.DeliverItem()
    assert seconds_from(item.timeout, 30.0) == 30.0
    item.timeout.nanos = 500_000_000
    assert seconds_from(item.timeout, 30.0) == 0.5
    item.timeout.nanos = -1
    assert seconds_from(item.timeout, 30.0) == 30.0

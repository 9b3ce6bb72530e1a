"""Over the wire: nothing leaves without a live permit for just this message; every field of it counts."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from google.protobuf.descriptor import FieldDescriptor

from hubgate.sender.v1 import sender_service_pb2 as pb
from peers.evolution import EvolutionPeer
from peers.instructor import Instructor
from peers.running_sender import METADATA, RunningSender


@pytest.fixture
async def peer() -> AsyncIterator[EvolutionPeer]:
    started = await EvolutionPeer.start()
    yield started
    await started.stop()


@pytest.fixture
def connection(peer: EvolutionPeer) -> pb.InstanceConnection:
    return pb.InstanceConnection(
        instance_id="ins_1",
        backend="evolution",
        base_url=peer.base_url,
        external_name=peer.instance,
        api_token=peer.api_key,
    )


def changed(permit: pb.Permit, field: FieldDescriptor) -> pb.Permit:
    """The permit with another value in this field."""
    other = pb.Permit()
    other.CopyFrom(permit)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(other, field.name).seconds += 3600
    elif field.type == FieldDescriptor.TYPE_BOOL:
        setattr(other, field.name, not getattr(permit, field.name))
    elif field.type == FieldDescriptor.TYPE_BYTES:
        setattr(other, field.name, b"\0" * 32)
    else:
        setattr(other, field.name, getattr(permit, field.name) + "x")
    return other


@pytest.mark.parametrize("field", list(pb.Permit.DESCRIPTOR.fields), ids=lambda field: field.name)
async def test_no_field_can_be_changed(
    sender: RunningSender, peer: EvolutionPeer, connection: pb.InstanceConnection, field: FieldDescriptor
) -> None:
    order = sender.instructor.order(connection)
    permit = pb.Permit.FromString(order.permit.permit)
    order.permit.permit = changed(permit, field).SerializeToString()
    found = await sender.attempt(order)
    assert (found.outcome, found.code) == (pb.OUTCOME_NOT_ATTEMPTED, "permit_signature_invalid")
    assert peer.received == []


def other_phone(order: pb.DeliverMessageRequest) -> None:
    order.recipient.phone = "+966500000009"


def other_text(order: pb.DeliverMessageRequest) -> None:
    order.content.text += "!"


def other_instance(order: pb.DeliverMessageRequest) -> None:
    order.connection.instance_id = "ins_2"


def other_key(order: pb.DeliverMessageRequest) -> None:
    order.permit.key_id = "another"


def cut_signature(order: pb.DeliverMessageRequest) -> None:
    order.permit.signature = order.permit.signature[:-1]


def no_permit(order: pb.DeliverMessageRequest) -> None:
    order.ClearField("permit")


def garbage(order: pb.DeliverMessageRequest) -> None:
    order.permit.permit = b"\xff\xff"


def strangers_permit(order: pb.DeliverMessageRequest) -> None:
    stranger = Instructor()
    order.permit.CopyFrom(stranger.sign(pb.Permit.FromString(order.permit.permit)))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (other_phone, "permit_wrong_recipient"),
        (other_text, "permit_wrong_content"),
        (other_instance, "permit_wrong_instance"),
        (other_key, "permit_key_unknown"),
        (cut_signature, "permit_signature_invalid"),
        (no_permit, "permit_key_unknown"),
        (garbage, "permit_malformed"),
        (strangers_permit, "permit_signature_invalid"),
    ],
)
async def test_orders_that_are_no_good(
    sender: RunningSender,
    peer: EvolutionPeer,
    connection: pb.InstanceConnection,
    spoil: Callable[[pb.DeliverMessageRequest], None],
    code: str,
) -> None:
    order = sender.instructor.order(connection)
    spoil(order)
    found = await sender.attempt(order)
    assert (found.outcome, found.code) == (pb.OUTCOME_NOT_ATTEMPTED, code)
    assert not found.HasField("attempted_at")
    assert peer.received == []


async def test_a_dead_permit(
    sender: RunningSender, peer: EvolutionPeer, connection: pb.InstanceConnection
) -> None:
    found = await sender.deliver(connection, lives_seconds=-0.001)
    assert (found.outcome, found.code) == (pb.OUTCOME_NOT_ATTEMPTED, "permit_expired")
    assert peer.received == []


async def test_a_permit_counts_once(
    sender: RunningSender, peer: EvolutionPeer, connection: pb.InstanceConnection
) -> None:
    order = sender.instructor.order(connection)
    first, *others = await asyncio.gather(*(sender.attempt(order) for _ in range(5)))
    outcomes = sorted(answer.code for answer in (first, *others))
    assert outcomes == ["evolution_accepted", *["permit_used"] * 4]
    assert len(peer.received) == 1


async def test_a_stream_answers_good_and_bad_items_alike(
    sender: RunningSender, peer: EvolutionPeer, connection: pb.InstanceConnection
) -> None:
    good = sender.instructor.order(connection)
    dead = sender.instructor.order(connection, lives_seconds=-1)
    homeless = sender.instructor.order(connection)
    homeless.ClearField("connection")
    orders = [good, dead, pb.DeliverMessageRequest(), homeless]
    items = [pb.DeliverItem(correlation_id=number, request=order) for number, order in enumerate(orders)]
    call = sender.stub.DeliverStream(metadata=METADATA)
    await call.write(pb.DeliverStreamRequest(items=items))
    await call.done_writing()
    codes = {answer.correlation_id: answer.response.code async for batch in call for answer in batch.answers}
    assert codes == {
        0: "evolution_accepted",
        1: "permit_expired",
        2: "connection_missing",
        3: "connection_missing",
    }
    assert len(peer.received) == 1

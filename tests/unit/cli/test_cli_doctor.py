"""What `hubgate doctor` says of an instance."""

from datetime import UTC, datetime

import pytest

from cli.doctor import instance_check
from hubgate.policy.v1 import events_pb2, instances_pb2


def instance(state: "events_pb2.InstanceState.ValueType") -> instances_pb2.Instance:
    return instances_pb2.Instance(instance_id="ins_1", name="main", backend="evolution", state=state)


@pytest.mark.parametrize(
    ("state", "healthy"), [(events_pb2.INSTANCE_STATE_OPEN, True), (events_pb2.INSTANCE_STATE_CLOSE, False)]
)
def test_its_state_decides(state: "events_pb2.InstanceState.ValueType", healthy: bool) -> None:
    assert instance_check(instance(state)).healthy is healthy


def test_an_open_instance_that_acknowledges_nothing_is_a_problem() -> None:
    wire = instance(events_pb2.INSTANCE_STATE_OPEN)
    wire.unacknowledged_since.FromDatetime(datetime(2026, 3, 14, 9, 5, tzinfo=UTC))
    check = instance_check(wire)
    assert not check.healthy
    assert check.explanation == (
        "It says open, but acknowledged nothing that it accepted since 2026-03-14 09:05 UTC."
    )

"""The sender's own words have the numbers of the contract."""

from enum import IntEnum
from typing import Any

import pytest

from hubgate.sender.v1 import sender_service_pb2 as pb
from sender.model import Consequence, GuardScope, Outcome, PostOutcome


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (Outcome, pb.Outcome, "OUTCOME_"),
        (Consequence, pb.Consequence, "CONSEQUENCE_"),
        (PostOutcome, pb.PostOutcome, "POST_OUTCOME_"),
        (GuardScope, pb.GuardScope, "GUARD_SCOPE_"),
    ],
)
def test_names_and_numbers(ours: type[IntEnum], theirs: Any, prefix: str) -> None:
    wire = {name.removeprefix(prefix): number for name, number in theirs.items() if number}
    mine = {member.name: member.value for member in ours if member.value}
    assert mine == wire

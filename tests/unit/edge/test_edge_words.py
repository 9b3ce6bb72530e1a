"""The edge's enumerations hold the numbers of the contract, all of them."""

from enum import IntEnum
from typing import Any

import pytest

from edge.words import Action, CheckName, EventType, MessageState, ReasonCode, ReportedCall, Verdict, word
from hubgate.policy.v1 import decision_pb2, events_pb2, policy_service_pb2, reasons_pb2


@pytest.mark.parametrize(
    ("kind", "wire", "prefix"),
    [
        (Verdict, reasons_pb2.Verdict, "VERDICT_"),
        (ReasonCode, reasons_pb2.ReasonCode, "REASON_CODE_"),
        (CheckName, reasons_pb2.CheckName, "CHECK_NAME_"),
        (Action, decision_pb2.Action, "ACTION_"),
        (EventType, policy_service_pb2.EventType, "EVENT_TYPE_"),
        (ReportedCall, policy_service_pb2.ReportedCall, "REPORTED_CALL_"),
        (MessageState, events_pb2.MessageState, "MESSAGE_STATE_"),
    ],
)
def test_every_number_is_the_contracts(kind: type[IntEnum], wire: Any, prefix: str) -> None:
    ours = {f"{prefix}{member.name}": member.value for member in kind}
    theirs = {name: number for name, number in wire.items() if number or name in ours}
    assert ours == theirs


def test_words_are_lower_case_and_unknown_numbers_have_one() -> None:
    assert word(ReasonCode, 60) == "window_never_opened"
    assert word(ReasonCode, 9_999) == "unknown_9999"

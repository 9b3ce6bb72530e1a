"""When a back end is looked at, and which of its records is whose."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from policycore.reconciliation import SETTLE_AFTER, FoundMessage, match, next_look_at

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
ONE, TWO = (FoundMessage(f"ext-{number}", NOW, "sent") for number in (1, 2))


def test_looks_become_rarer_and_end_with_the_day() -> None:
    moments: list[datetime] = []
    while (moment := next_look_at(NOW, len(moments))) is not None:
        moments.append(moment)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert gaps == sorted(gaps)
    assert 5 <= len(moments) <= 12
    assert moments[-1] == NOW + SETTLE_AFTER
    assert moments[0] - NOW < timedelta(seconds=30)


def test_as_many_records_as_messages_are_matched_in_order() -> None:
    assert match(["msg_1"], [ONE], []) == [("msg_1", ONE)]
    assert match(["msg_1", "msg_2"], [ONE, TWO], []) == [("msg_1", ONE), ("msg_2", TWO)]


def test_what_is_not_certain_is_not_matched() -> None:
    assert match(["msg_1", "msg_2"], [ONE], []) == []
    assert match(["msg_1"], [ONE, TWO], []) == []
    assert match(["msg_1"], [ONE], ["ext-1"]) == []
    assert match([], [ONE], []) == []
    assert match(["msg_1"], [], []) == []


def test_records_of_other_messages_are_left_out() -> None:
    assert match(["msg_1"], [ONE, TWO], ["ext-1"]) == [("msg_1", TWO)]

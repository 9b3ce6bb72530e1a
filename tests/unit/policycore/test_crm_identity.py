"""Which reports are of one call: by agent, number, kind and second; missed calls by number and time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policycore.crm_identity import (
    MOST_GROUPS,
    CrmReport,
    Group,
    ReportedCall,
    fold,
    key_of,
    needs_folding,
    subject_of,
)

START = datetime(2026, 1, 15, 9, 30, 12, tzinfo=UTC)
WITHIN = timedelta(seconds=120)
PHONE = "+966500000001"
MISSED = subject_of(CrmReport(ReportedCall.MISSED), PHONE, "101")


def keys_of(*seconds: float, within: timedelta = WITHIN) -> list[int]:
    """Reports at these seconds after the start, one after another; those of one call have one number."""
    groups: tuple[Group, ...] = ()
    keys: list[str] = []
    for each in seconds:
        group, found = fold(groups, MISSED, START + timedelta(seconds=each), within)
        groups = tuple(found)
        keys.append(group.key)
    return [keys.index(key) for key in keys]


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        ((0, 0, 0), [0, 0, 0]),
        ((0, 120), [0, 0]),
        ((0, 121), [0, 1]),
        ((120, 0), [0, 0]),
        ((0, 100, 200), [0, 0, 2]),
        ((0, 100, 200, 300, 310), [0, 0, 2, 2, 2]),
        ((0, 300, 5, 295), [0, 1, 0, 1]),
        ((0, 240, 120), [0, 1, 0]),
        ((0.2, 0.9), [0, 0]),
    ],
)
def test_missed_calls_of_one_number_are_one_within_two_minutes(
    seconds: tuple[float, ...], calls: list[int]
) -> None:
    assert keys_of(*seconds) == calls


def test_without_a_fold_only_the_very_second_is_one_call() -> None:
    assert keys_of(0, 0.5, 1, within=timedelta(0)) == [0, 0, 2]


def test_the_agent_counts_for_every_kind_but_missed_calls() -> None:
    for call in ReportedCall:
        one, other = (subject_of(CrmReport(call), PHONE, agent) for agent in ("101", "102"))
        assert (one == other) is (call is ReportedCall.MISSED)


def test_kind_number_and_second_count_for_all() -> None:
    subjects = {subject_of(CrmReport(call), number, "101") for call in ReportedCall for number in ("1", "11")}
    assert len(subjects) == 2 * len(ReportedCall)
    assert key_of(MISSED, START) == key_of(MISSED, START + timedelta(milliseconds=900))
    assert key_of(MISSED, START) != key_of(MISSED, START + timedelta(seconds=1))
    # Where one word ends and the next begins.
    inbound = CrmReport(ReportedCall.INBOUND)
    assert subject_of(inbound, "+96650", "101") != subject_of(inbound, "+966501", "01")


def test_a_start_that_is_known_needs_no_fold_but_for_missed_calls() -> None:
    assert not needs_folding(CrmReport(ReportedCall.INBOUND, START))
    assert not needs_folding(CrmReport(ReportedCall.NONE, START))
    assert needs_folding(CrmReport(ReportedCall.MISSED, START))
    assert needs_folding(CrmReport(ReportedCall.OUTBOUND))


@given(st.lists(st.integers(0, 2_000), min_size=1, max_size=40))
def test_no_group_reaches_further_than_its_first_report(seconds: list[int]) -> None:
    numbers = keys_of(*seconds)
    for place, first in enumerate(numbers):
        assert (
            abs(seconds[place] - seconds[first]) <= WITHIN.total_seconds() or len(set(numbers)) > MOST_GROUPS
        )


def test_what_is_remembered_is_bounded_and_the_latest() -> None:
    groups: tuple[Group, ...] = ()
    for number in range(100):
        _, found = fold(groups, MISSED, START + timedelta(hours=number), WITHIN)
        groups = tuple(found)
    assert len(groups) == MOST_GROUPS
    assert groups[-1].at == START + timedelta(hours=99)
    # An old report repeated: its group is forgotten, and its key is the same all the same.
    group, _ = fold(groups, MISSED, START, WITHIN)
    assert group.key == key_of(MISSED, START)

"""Which calls count as missed: what the socket shows, in any order, with anything lost."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.pbx.calls import GRACE, MOST_CALLS, CallTracker
from sender.pbx.facts import Participant, ParticipantRef

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CALLER = "+966500000001"
LATER = NOW + timedelta(minutes=5)


def party(number: int = 1, call: int = 7, **fields: Any) -> Participant:
    dn = fields.pop("dn", "150")
    values = {"state": "ringing", "party": CALLER, "party_kind": "wexternalline", **fields}
    return Participant(ParticipantRef(dn, number), call, **values)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_call_that_rang_and_ended_is_missed_once_after_the_grace() -> None:
    tracker = CallTracker()
    tracker.seen(party(), at(0))
    tracker.gone(party().ref, at(20))
    assert tracker.over(at(20) + GRACE - timedelta(milliseconds=1)) == []
    [missed] = tracker.over(at(20) + GRACE)
    assert (missed.caller, missed.began_at, missed.ended_at, missed.reached_dn) == (
        CALLER,
        at(0),
        at(20),
        "150",
    )
    assert tracker.over(LATER) == [] and tracker.open_calls == 0


def test_a_call_that_moves_on_within_the_grace_is_one_call() -> None:
    tracker = CallTracker()
    tracker.seen(party(1), at(0))
    tracker.gone(party(1).ref, at(20))
    assert tracker.over(at(21)) == []
    tracker.seen(party(2, dn="151"), at(22))
    assert tracker.over(at(40)) == []
    tracker.gone(party(2, dn="151").ref, at(50))
    [missed] = tracker.over(LATER)
    assert (missed.began_at, missed.ended_at, missed.reached_dn) == (at(0), at(50), "151")


@pytest.mark.parametrize(
    "parties",
    [
        [party(1), party(2, dn="151", state="connected")],
        [party(1, party_kind="wextension", party="151")],
        [party(1, state="dialing")],
        [party(1, party="anonymous")],
        [party(1, party="")],
        [party(1, state="")],
    ],
)
def test_what_is_no_missed_call(parties: list[Participant]) -> None:
    tracker = CallTracker()
    for each in parties:
        tracker.seen(each, at(0))
    for each in parties:
        tracker.gone(each.ref, at(10))
    assert tracker.over(LATER) == [] and tracker.open_calls == 0


def test_what_was_not_seen_from_its_beginning_is_left_to_the_history() -> None:
    tracker = CallTracker()
    tracker.begin([party(1)], at(0))
    tracker.seen(party(1), at(1))
    tracker.gone(party(1).ref, at(5))
    assert tracker.over(LATER) == []


def test_a_party_that_nobody_could_read_makes_every_open_call_uncertain() -> None:
    tracker = CallTracker()
    tracker.seen(party(1), at(0))
    tracker.gone(ParticipantRef("151", 99), at(2))
    tracker.gone(party(1).ref, at(5))
    tracker.seen(party(3, call=8), LATER)
    tracker.gone(party(3, call=8).ref, LATER)
    assert [each.began_at for each in tracker.over(LATER + GRACE)] == [LATER]


def test_after_lost_frames_nothing_of_before_is_told() -> None:
    tracker = CallTracker()
    tracker.seen(party(1), at(0))
    tracker.seen(party(2, call=8), at(0))
    tracker.again([party(2, call=8)], at(5))
    tracker.gone(party(2, call=8).ref, at(9))
    assert tracker.over(LATER) == [] and tracker.open_calls == 0


def test_a_phone_system_that_names_calls_without_end_fills_no_memory() -> None:
    tracker = CallTracker()
    for number in range(MOST_CALLS + 50):
        tracker.seen(party(number, call=number), at(0))
    assert tracker.open_calls == MOST_CALLS


_DNS = ("150", "151", "152")
_refs = st.builds(ParticipantRef, st.sampled_from(_DNS), st.integers(1, 4))
_seen = st.builds(
    Participant,
    _refs,
    st.integers(1, 3),
    st.sampled_from(["ringing", "connected", "dialing", ""]),
    st.sampled_from([CALLER, "", "150"]),
    st.sampled_from(["wexternalline", "wextension", ""]),
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("seen"), _seen),
        st.tuples(st.just("gone"), _refs),
        st.tuples(st.just("unread"), _refs),
        st.tuples(st.just("again"), st.lists(_seen, max_size=3)),
        st.tuples(st.just("over"), st.just(None)),
    ),
    max_size=40,
)


@given(_steps)
def test_whatever_comes_only_ended_unanswered_calls_of_numbers_are_told(steps: list[tuple[str, Any]]) -> None:
    tracker = CallTracker()
    told: list[datetime] = []
    moment = NOW
    for name, value in steps:
        moment += timedelta(seconds=1)
        if name != "over":
            getattr(tracker, name)(value, moment)
            continue
        moment += GRACE
        for missed in tracker.over(moment):
            assert missed.began_at <= missed.ended_at <= moment - GRACE and missed.caller == CALLER
            assert missed.began_at not in told
            told.append(missed.began_at)


_calls = st.lists(
    st.tuples(st.lists(st.sampled_from(_DNS), min_size=1, max_size=3, unique=True), st.booleans()),
    min_size=1,
    max_size=5,
)


@given(_calls, st.randoms(use_true_random=False))
def test_of_calls_seen_whole_exactly_the_unanswered_are_missed(
    calls: list[tuple[list[str], bool]], random: Any
) -> None:
    """Each call rings at its places in turn, is answered at the last one or not, and ends; calls run side by side."""
    waiting: list[list[tuple[str, Any]]] = []
    for call, (dns, answered) in enumerate(calls):
        parties = [
            party(call * 10 + n, call=call, dn=dn, party=f"{CALLER}{call}") for n, dn in enumerate(dns)
        ]
        steps: list[tuple[str, Any]] = [("seen", each) for each in parties]
        if answered:
            steps.append(("seen", replace(parties[-1], state="connected")))
        left = [each.ref for each in parties]
        random.shuffle(left)
        waiting.append([*steps, *(("gone", ref) for ref in left)])
    tracker, missed, moment = CallTracker(), [], NOW
    while any(waiting):
        name, value = random.choice([steps for steps in waiting if steps]).pop(0)
        moment += timedelta(milliseconds=random.randrange(4_000))
        getattr(tracker, name)(value, moment)
        missed += tracker.over(moment)
    missed += tracker.over(LATER + timedelta(hours=1))
    wanted = [f"{CALLER}{call}" for call, (_, answered) in enumerate(calls) if not answered]
    assert sorted(each.caller for each in missed) == wanted
    assert tracker.open_calls == 0

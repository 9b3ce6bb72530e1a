"""Which calls of the history count as missed, and up to when everything is known."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sender.pbx.facts import Segment
from sender.pbx.history import BEHIND, SETTLED_AFTER, known_until, missed_calls, short_number

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=10)
CALLER = "+966500000001"


def segment(began: float, ended: float | None, **fields: Any) -> Segment:
    """Seconds before now."""
    values: dict[str, Any] = {
        "segment_id": str(began),
        "caller": CALLER,
        "from_outside": True,
        "answered": False,
        "reached_dn": "800",
        "leg": "",
        **fields,
    }
    end = None if ended is None else NOW - timedelta(seconds=ended)
    return Segment(began_at=NOW - timedelta(seconds=began), ended_at=end, **values)


def callers(*segments: Segment, seen: tuple[str, ...] = ()) -> list[str]:
    return [each.caller for each in missed_calls(segments, SINCE, NOW, seen)]


def test_a_call_through_several_places_is_one() -> None:
    first, second = segment(120, 100), segment(100, 60, reached_dn="151")
    [missed] = missed_calls([second, first], SINCE, NOW)
    assert (missed.began_at, missed.ended_at, missed.reached_dn) == (first.began_at, second.ended_at, "151")
    assert missed.from_history


def test_a_call_that_was_answered_anywhere_is_not_missed() -> None:
    assert callers(segment(120, 100, answered=True), segment(100, 60)) == []
    # Talked for long, then led to somebody who was away: the caller's leg is the same.
    assert callers(segment(1_500, 900, answered=True, leg="7"), segment(200, 60, leg="7")) == []
    assert callers(segment(1_500, 900, answered=True, leg="7"), segment(200, 60, leg="8")) == [CALLER]


def test_what_is_not_over_or_came_from_inside_is_not_missed() -> None:
    assert callers(segment(120, None)) == []
    assert callers(segment(120, 100), segment(90, None)) == []
    assert callers(segment(120, 60, from_outside=False)) == []
    assert callers(segment(120, 60, caller="anonymous")) == []
    assert callers(segment(700, 650)) == []


def test_a_call_settles_or_was_seen_to_end() -> None:
    fresh = segment(25, 5)
    assert callers(fresh) == []
    assert callers(fresh, seen=(short_number("00966500000001"),)) == [CALLER]
    settled = SETTLED_AFTER.total_seconds()
    assert callers(segment(60, settled)) == [CALLER]


def test_the_mark_stays_behind_and_before_what_is_not_known() -> None:
    assert known_until(SINCE, [], NOW, complete=True) == NOW - BEHIND
    lasting = segment(500, None)
    assert known_until(SINCE, [lasting], NOW, complete=True) == lasting.began_at
    assert known_until(SINCE, [segment(90_000, None)], NOW, complete=True) == NOW - BEHIND
    partly = [segment(590, 580)]
    assert SINCE <= known_until(SINCE, partly, NOW, complete=False) < NOW - BEHIND
    assert known_until(NOW, [], NOW, complete=True) == NOW


_segments = st.lists(
    st.builds(
        segment,
        st.integers(60, 900).map(float),
        st.one_of(st.none(), st.integers(0, 59).map(float)),
        answered=st.booleans(),
        caller=st.sampled_from([CALLER, "+966500000002", "x"]),
        leg=st.sampled_from(["", "1", "2"]),
    ),
    max_size=12,
)


@given(_segments, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_the_mark_never_goes_back(segments: list[Segment], random: Any) -> None:
    mixed = list(segments)
    random.shuffle(mixed)
    ids = [
        Segment(f"{n:03}", s.began_at, s.ended_at, s.caller, s.from_outside, s.answered, s.reached_dn, s.leg)
        for n, s in enumerate(segments)
    ]
    shuffled = list(ids)
    random.shuffle(shuffled)
    assert missed_calls(ids, SINCE, NOW) == missed_calls(shuffled, SINCE, NOW)
    assert SINCE <= known_until(SINCE, mixed, NOW, complete=True) <= NOW


@given(_segments)
def test_nothing_is_missed_of_a_caller_who_was_always_answered(segments: list[Segment]) -> None:
    answered = {each.caller for each in segments} - {each.caller for each in segments if not each.answered}
    assert not answered & {each.caller for each in missed_calls(segments, SINCE, NOW)}

"""Which calls nobody answered, from the phone system's own history. Pure.

The history knows every call, whichever numbers the application may see, but it knows them in segments: one for each
place a call was led to. Segments are one call if they have the caller's leg in common, or follow each other.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta

from sender.pbx.calls import says_number
from sender.pbx.facts import MissedCall, Segment

BETWEEN_SEGMENTS = timedelta(seconds=30)
"""A caller's next segment belongs to the same call if it begins within this of the last one's end."""

SETTLED_AFTER = timedelta(seconds=30)
"""So long after its last segment nothing more of a call is expected."""

LOOK_BACK = timedelta(minutes=30)
"""How much earlier than needed is read: a call that ends unanswered may have begun with an answer."""

BEHIND = timedelta(minutes=5)
"""How far behind the present the mark is kept up to which everything is known: rows appear late."""


_DIGITS_THAT_TELL_APART = 9


def short_number(number: str) -> str:
    """A number without what is written in more than one way: country code, leading zeros, signs."""
    return "".join(each for each in number if each.isdecimal())[-_DIGITS_THAT_TELL_APART:]


def missed_calls(
    segments: Iterable[Segment], ended_since: datetime, now: datetime, seen_ending: Container[str] = ()
) -> list[MissedCall]:
    """Calls that ended unanswered at or after `ended_since` and are settled by `now`, the earliest first.

    A call of a caller in `seen_ending` (short numbers) is settled: the socket has shown that nobody is in it any more.
    """
    by_caller: dict[str, list[Segment]] = {}
    for segment in segments:
        if segment.from_outside and says_number(segment.caller):
            by_caller.setdefault(segment.caller, []).append(segment)
    found = []
    for each in by_caller.values():
        for call in _calls(each):
            missed = _missed(call, now, settled=short_number(call[0].caller) in seen_ending)
            if missed is not None and missed.ended_at >= ended_since:
                found.append(missed)
    return sorted(found, key=lambda missed: (missed.ended_at, missed.caller))


def known_until(mark: datetime, segments: Sequence[Segment], now: datetime, *, complete: bool) -> datetime:
    """The new mark, never before the old one. While a call lasts, it stays before that call's beginning; and if not all
    could be read, before what is missing.
    """
    ends = [now - BEHIND]
    ends += [each.began_at for each in segments if each.ended_at is None and now - each.began_at < LOOK_BACK]
    if not complete and segments:
        ends.append(max(each.began_at for each in segments) - BETWEEN_SEGMENTS)
    return max(mark, min(ends))


def _calls(segments: list[Segment]) -> list[list[Segment]]:
    """One caller's segments, call by call."""
    calls: list[list[Segment]] = []
    for segment in sorted(segments, key=lambda each: (each.began_at, each.segment_id)):
        for call in reversed(calls):
            if _same_call(call, segment):
                call.append(segment)
                break
        else:
            calls.append([segment])
    return calls


def _same_call(call: list[Segment], segment: Segment) -> bool:
    if segment.leg and any(each.leg == segment.leg for each in call):
        return True
    return any(each.ended_at is None or segment.began_at - each.ended_at <= BETWEEN_SEGMENTS for each in call)


def _missed(call: list[Segment], now: datetime, *, settled: bool) -> MissedCall | None:
    ends = [each.ended_at for each in call]
    if any(each.answered for each in call) or None in ends:
        return None
    ended = max(end for end in ends if end is not None)
    if not settled and now - ended < SETTLED_AFTER:
        return None
    last = call[-1]
    return MissedCall(last.caller, call[0].began_at, ended, last.reached_dn, from_history=True)

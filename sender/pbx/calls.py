"""Which calls nobody answered, from what the socket shows as it happens. Pure.

Only what was seen from its first ring to its end counts. A call of which something was not seen (it was there before
the connection, a frame was lost, a party was gone before it could be read) is left to the history: silence about a
party is no proof that it never answered.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sender.pbx.facts import MissedCall, Participant, ParticipantRef

GRACE = timedelta(seconds=3)
"""So long nobody may be in a call before it counts as over: between two places it rings at, nobody is in it."""

MOST_CALLS = 10_000
LONGEST_CALL = timedelta(hours=12)

_OUTSIDE = "externalline"
_FEWEST_DIGITS = 5


@dataclass(slots=True)
class _Call:
    began_at: datetime
    parties: set[ParticipantRef] = field(default_factory=set)
    caller: str = ""
    reached_dn: str = ""
    rang: bool = False
    answered: bool = False
    dialled: bool = False
    whole: bool = True
    empty_since: datetime | None = None


class CallTracker:
    """The calls of one phone system during one connection. Every method takes the time it is."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._call_of: dict[ParticipantRef, int] = {}

    @property
    def open_calls(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    def begin(self, there: Iterable[Participant], at: datetime) -> None:
        """What is there already. Nobody saw how these calls began, so nothing will be said about them."""
        for participant in there:
            self.seen(participant, at)
            self._calls[participant.call_id].whole = False

    def seen(self, participant: Participant, at: datetime) -> None:
        """A party as it is now."""
        call = self._calls.get(participant.call_id)
        if call is None:
            call = self._calls[participant.call_id] = _Call(at)
            self._forget_the_oldest()
        former = self._call_of.get(participant.ref)
        if former is not None and former != participant.call_id:
            self._leave(participant.ref, at)
        self._call_of[participant.ref] = participant.call_id
        call.parties.add(participant.ref)
        call.empty_since = None
        call.answered = call.answered or participant.state == "connected"
        if participant.party_kind.endswith(_OUTSIDE):
            call.caller = participant.party or call.caller
            call.dialled = call.dialled or participant.state == "dialing"
            if participant.state == "ringing":
                call.rang, call.reached_dn = True, participant.ref.dn

    def unread(self, ref: ParticipantRef, at: datetime) -> None:
        """A party that could not be read. What it did is not known, nor, if it is new, which call it belongs to."""
        call_id = self._call_of.get(ref)
        for call in self._calls.values() if call_id is None else (self._calls[call_id],):
            call.whole = False
        self._leave(ref, at)

    def gone(self, ref: ParticipantRef, at: datetime) -> None:
        """A party has left."""
        if ref not in self._call_of:
            # It came and left unseen: it may have answered any of the calls there are.
            self.unread(ref, at)
        else:
            self._leave(ref, at)

    def again(self, there: Iterable[Participant], at: datetime) -> None:
        """All there is, after something was lost on the way: the calls of before can be told of no more."""
        listed = list(there)
        for call in self._calls.values():
            call.whole = False
        for ref in set(self._call_of) - {each.ref for each in listed}:
            self._leave(ref, at)
        self.begin(listed, at)

    def over(self, at: datetime) -> list[MissedCall]:
        """Calls that ended unanswered, told once; whatever is over is forgotten."""
        ended = [
            (call_id, call)
            for call_id, call in self._calls.items()
            if call.empty_since is not None and at - call.empty_since >= GRACE
        ]
        for call_id, _ in ended:
            del self._calls[call_id]
        return [found for _, call in ended if (found := _missed(call)) is not None]

    def _leave(self, ref: ParticipantRef, at: datetime) -> None:
        call_id = self._call_of.pop(ref, None)
        call = None if call_id is None else self._calls.get(call_id)
        if call is not None:
            call.parties.discard(ref)
            if not call.parties:
                call.empty_since = at

    def _forget_the_oldest(self) -> None:
        """A phone system that names calls without end gets no more room than this."""
        if len(self._calls) <= MOST_CALLS:
            return
        oldest = next(iter(self._calls))
        for ref in self._calls.pop(oldest).parties:
            self._call_of.pop(ref, None)


def _missed(call: _Call) -> MissedCall | None:
    if call.answered or call.dialled or not call.rang or not call.whole or call.empty_since is None:
        return None
    if not says_number(call.caller):
        return None
    return MissedCall(call.caller, call.began_at, call.empty_since, call.reached_dn)


def says_number(caller: str) -> bool:
    """Whether a caller showed a number: one who did not can be told nothing."""
    return sum(each.isdigit() for each in caller) >= _FEWEST_DIGITS

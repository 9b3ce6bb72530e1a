"""How much is under way at each instance, and the circuit breaker that holds one back whose back end does not answer.

One object for each process: what it knows is what its own attempts met. A breaker opens after so many failures in a
row, lets one message try again when its time is over, and closes with the first answer. While it is open, messages
wait for as long as they are fresh, and new ones are refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import structlog

from policycore.ports import AttemptOutcome, InstanceHold, Outcome

LONGEST_FACTOR = 8
"""A breaker that opens again and again stays open twice as long each time, up to so many times its first time."""

BUSY_SECONDS = 1.0
"""When an instance with too much under way is worth asking again."""

PROMISE_SECONDS = 2.0
"""How long who was let through has to begin the attempt that shows whether an instance answers."""

_NOBODY_KNOWS = frozenset({"sender_lost", "sender_late", "sender_fault", "process_lost"})
"""Unknown outcomes that tell of a sender or of us, and not of the back end."""

_NOT_REACHED = ("_unreachable", "_connect_timeout", "_dns_failed", "_tls_failed")
"""How refusals end that the back end never saw; see `sender/backends/wire.py`."""

_PLAYED = "sandbox_"
_ACCEPTED = Outcome.ACCEPTED
"""Named here, for a member of an Enum is slow to look up and this runs for every message."""

_log = structlog.get_logger(__name__)


class Entry(IntEnum):
    """Whether an attempt may begin, and as what."""

    HELD_BACK = 0
    ORDINARY = 1
    PROBE = 2


@dataclass(slots=True)
class _Gate:
    under_way: int = 0
    failures: int = 0
    times_opened: int = 0
    open_until: float = 0.0
    promised_until: float = 0.0
    probing: bool = False


def answered(outcome: AttemptOutcome) -> bool | None:
    """Whether an attempt shows that the back end answers, or that it does not; None if it shows neither."""
    if outcome.outcome is _ACCEPTED:
        return True
    code = outcome.code
    if code.startswith(_PLAYED):
        return None
    if outcome.outcome is Outcome.REJECTED:
        return not code.endswith(_NOT_REACHED)
    if outcome.outcome is Outcome.UNKNOWN and code not in _NOBODY_KNOWS:
        return False
    return None


class InstanceGates:
    """The gates of all instances. `clock` gives seconds that never run backwards.

    `most_under_way` attempts of one instance run at once; a batch more may, for they are counted when they begin.
    With `failures_to_open` 0 no breaker ever opens. `seconds` is how long it stays open at first.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        most_under_way: int = 128,
        failures_to_open: int = 5,
        seconds: float = 15.0,
    ) -> None:
        self._clock = clock
        self.most_under_way = most_under_way
        self._failures_to_open = failures_to_open
        self._seconds = seconds
        self._gates: dict[str, _Gate] = {}
        self.held: dict[str, str] = {}
        """Instances that may be held back now, and why: empty as long as all is well."""
        self.openings = 0
        """How often a breaker has opened."""

    def hold(self, instance_id: str, *, only_looking: bool = False) -> InstanceHold | None:
        """Why nothing new may be sent through an instance, if so.

        Once a breaker's time is over, one of those who ask is let through every two seconds, until one of them is
        the probe; `only_looking` never is the one.
        """
        if instance_id not in self.held:
            return None
        gate = self._gates[instance_id]
        if not gate.open_until:
            return InstanceHold("busy", BUSY_SECONDS)
        now = self._clock()
        if now < gate.open_until:
            return InstanceHold("unanswered", gate.open_until - now)
        if gate.probing or only_looking or now < gate.promised_until:
            return InstanceHold("unanswered", PROMISE_SECONDS)
        gate.promised_until = now + PROMISE_SECONDS
        return None

    def enter(self, instance_id: str) -> Entry:
        """Begins an attempt, which must `leave` again unless it is held back."""
        gate = self._gates.get(instance_id)
        if gate is None:
            gate = self._gates[instance_id] = _Gate()
        entry = Entry.ORDINARY
        if gate.open_until:
            if gate.probing or self._clock() < gate.open_until:
                return Entry.HELD_BACK
            gate.probing, entry = True, Entry.PROBE
        gate.under_way += 1
        if gate.under_way >= self.most_under_way:
            self.held.setdefault(instance_id, "busy")
        return entry

    def leave(self, instance_id: str, entry: Entry, outcome: AttemptOutcome | None) -> None:
        """Ends an attempt; `outcome` is None if it was broken off."""
        gate = self._gates[instance_id]
        gate.under_way -= 1
        if entry is Entry.PROBE:
            gate.probing = False
        shows = None if outcome is None else answered(outcome)
        if shows:
            gate.failures = 0
            if gate.open_until:
                self._close(instance_id, gate)
        elif shows is False and outcome is not None:
            self._failed(instance_id, gate, entry, outcome.code)
        if gate.under_way < self.most_under_way and not gate.open_until and self.held:
            self.held.pop(instance_id, None)

    def _failed(self, instance_id: str, gate: _Gate, entry: Entry, code: str) -> None:
        gate.failures += 1
        if entry is Entry.PROBE or (not gate.open_until and 0 < self._failures_to_open <= gate.failures):
            seconds = self._seconds * min(2**gate.times_opened, LONGEST_FACTOR)
            gate.times_opened += 1
            gate.open_until = self._clock() + seconds
            self.held[instance_id] = "unanswered"
            self.openings += 1
            _log.warning(
                "instance.held_back",
                instance_id=instance_id,
                failures=gate.failures,
                code=code,
                seconds=seconds,
            )

    def _close(self, instance_id: str, gate: _Gate) -> None:
        gate.open_until, gate.times_opened = 0.0, 0
        if self.held.get(instance_id) == "unanswered":
            del self.held[instance_id]
        if gate.under_way >= self.most_under_way:
            self.held[instance_id] = "busy"
        _log.info("instance.answers_again", instance_id=instance_id)

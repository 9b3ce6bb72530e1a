"""Rate limits counted in this process: the twin of the Redis counters, and what stands in for them while
Redis is away.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policycore.ports import Admission, Turn, TurnRequest

MICROSECONDS = 1_000_000
SWEEP_EVERY = 2048
"""After this many calls what has run out is forgotten, so that memory holds only keys that were used lately.
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """One GCRA: a turn costs `interval`, and may come `tolerance` early; both in microseconds. Interval 0 is
    no pace.
    """

    interval: int
    tolerance: int


NO_PACE = Pace(0, 0)


def pace_of(rate: float, burst: int) -> Pace:
    """The pace of `rate` messages per second with a burst of `burst` (at least 1). A rate of 0 or less is no
    pace.
    """
    if rate <= 0:
        return NO_PACE
    interval = math.ceil(MICROSECONDS / rate)
    return Pace(interval, (max(burst, 1) - 1) * interval)


def _wait(pace: Pace, due_in: int) -> int:
    return max(0, due_in - pace.tolerance) if pace.interval else 0


class MemoryCounters:
    """Implements `Counters`. `clock` gives seconds and never runs backwards (`time.monotonic`, or a test's
    own).
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._admitted: dict[tuple[str, int], deque[int]] = {}
        self._turns: dict[tuple[str, str], int] = {}
        self._until_sweep = SWEEP_EVERY

    async def admit(self, admissions: Sequence[Admission]) -> list[float]:
        """An exact log of the window: never more than `limit` in any `window_seconds`."""
        now = self._now()
        return [self._admit(admission, now) for admission in admissions]

    async def reserve_turns(self, requests: Sequence[TurnRequest], *, peek: bool = False) -> list[Turn]:
        """In the order given; what is reserved by one is seen by those after it."""
        now = self._now()
        return [self._turn(request, now, peek) for request in requests]

    async def give_back_turns(self, requests: Sequence[TurnRequest]) -> None:
        """Moves instance and pair back by one turn each."""
        now = self._now()
        for request in requests:
            for key, pace in self._paces(request):
                due = self._turns.get(key, now) - pace.interval
                if due > now:
                    self._turns[key] = due
                else:
                    self._turns.pop(key, None)

    async def healthy(self) -> bool:
        """Always: nothing here can be away."""
        return True

    def _now(self) -> int:
        now = int(self._clock() * MICROSECONDS)
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._until_sweep = SWEEP_EVERY
            self._sweep(now)
        return now

    def _admit(self, admission: Admission, now: int) -> float:
        window = int(admission.window_seconds * MICROSECONDS)
        if admission.limit <= 0:
            return admission.window_seconds
        log = self._admitted.setdefault((admission.key, window), deque())
        while log and log[0] <= now - window:
            log.popleft()
        if len(log) < admission.limit:
            log.append(now)
            return 0.0
        return (log[-admission.limit] + window - now) / MICROSECONDS

    def _turn(self, request: TurnRequest, now: int, peek: bool) -> Turn:
        (instance_key, instance), (pair_key, pair) = self._paces(request)
        instance_due = max(self._turns.get(instance_key, now), now)
        pair_due = max(self._turns.get(pair_key, now), now)
        instance_wait = _wait(instance, instance_due - now)
        pair_wait = _wait(pair, pair_due - now)
        reserved = not peek and max(instance_wait, pair_wait) <= request.max_wait_seconds * MICROSECONDS
        if reserved:
            if instance.interval:
                self._turns[instance_key] = instance_due + instance.interval
            if pair.interval:
                self._turns[pair_key] = pair_due + pair.interval
        return Turn(instance_wait / MICROSECONDS, pair_wait / MICROSECONDS, reserved)

    @staticmethod
    def _paces(request: TurnRequest) -> tuple[tuple[tuple[str, str], Pace], tuple[tuple[str, str], Pace]]:
        return (
            ((request.instance_id, ""), pace_of(request.instance_rate, request.instance_burst)),
            ((request.instance_id, request.person_id), pace_of(request.pair_rate, request.pair_burst)),
        )

    def _sweep(self, now: int) -> None:
        for key in [key for key, due in self._turns.items() if due <= now]:
            del self._turns[key]
        for stale in [key for key, log in self._admitted.items() if not log or log[-1] <= now - key[1]]:
            del self._admitted[stale]

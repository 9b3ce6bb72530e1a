"""Which callers' requests are carried to the policy core now.

A caller of whom the policy core said that too much waits is answered here for a moment: a refusal that has travelled
costs almost as much as a decision, and it is the others who would wait for it.
"""

from typing import Final

MOST_IN_FLIGHT: Final = 6_000
"""Requests that wait for an answer, of all callers together: fewer than there may be connections."""
MOST_OF_ONE: Final = 2_000
"""Of one integration or API key."""
CROWDED_SECONDS: Final = 0.05
"""How long a caller is answered here after such a refusal: too short to leave the policy core without its work."""

_MOST_REMEMBERED: Final = 1_000


class Crowding:
    """Counts what is under way: at most `most` of all together, `most_of_one` of one caller."""

    def __init__(
        self,
        most: int = MOST_IN_FLIGHT,
        most_of_one: int = MOST_OF_ONE,
        crowded_seconds: float = CROWDED_SECONDS,
    ) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._crowded_seconds = crowded_seconds
        self._in_all = 0
        self._of: dict[str, int] = {}
        self._crowded: dict[str, float] = {}

    @property
    def full(self) -> bool:
        """Whether nobody's request may be carried."""
        return self._in_all >= self._most

    def enter(self, caller: str, now: float) -> bool:
        """Counts a request in, if this caller's may be carried at `now` (seconds of any steady clock)."""
        of_caller = self._of.get(caller, 0)
        if of_caller >= self._most_of_one or (self._crowded and self._is_crowded(caller, now)):
            return False
        self._in_all += 1
        self._of[caller] = of_caller + 1
        return True

    def leave(self, caller: str) -> None:
        """Counts one out that was counted in."""
        self._in_all -= 1
        left = self._of[caller] - 1
        if left:
            self._of[caller] = left
        else:
            del self._of[caller]

    def refused(self, caller: str, now: float) -> None:
        """Notes that the policy core refused a request of this caller because too much waits."""
        if len(self._crowded) >= _MOST_REMEMBERED:
            self._crowded = {each: until for each, until in self._crowded.items() if until > now}
        if len(self._crowded) < _MOST_REMEMBERED:
            self._crowded[caller] = now + self._crowded_seconds

    def _is_crowded(self, caller: str, now: float) -> bool:
        until = self._crowded.get(caller)
        if until is None:
            return False
        if until <= now:
            del self._crowded[caller]
            return False
        return True

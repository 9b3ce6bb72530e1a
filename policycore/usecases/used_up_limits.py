"""Which rate limits are known to be used up, and until when: asking again before then would bring the same answer.

A caller that keeps calling is then refused without a trip to Redis or the database, and takes nobody's place there.
"""

from datetime import datetime, timedelta

from policycore.ports import Admission

_MOST = 10_000


class UsedUpLimits:
    """Remembers refusals of `Counters.admit`. Refused requests are not counted, so nothing is admitted before the
    time that a refusal named, whatever is asked meanwhile; another limit for the same key is another window.
    """

    def __init__(self) -> None:
        self._until: dict[Admission, tuple[datetime, float]] = {}

    def note(self, admission: Admission, wait_seconds: float, now: datetime) -> None:
        """Remembers that nothing is admitted for so many seconds."""
        if len(self._until) >= _MOST:
            self._until = {key: kept for key, kept in self._until.items() if kept[0] > now}
        if len(self._until) < _MOST:
            self._until[admission] = (now + timedelta(seconds=wait_seconds), wait_seconds)

    def wait_seconds(self, admission: Admission, now: datetime) -> float:
        """Seconds until the counters are worth asking; 0.0 if they are now."""
        kept = self._until.get(admission)
        if kept is None:
            return 0.0
        until, wait = kept
        left = (until - now).total_seconds()
        if 0.0 < left <= wait:
            return left
        # It is over; or the clock was moved back, and nobody knows.
        del self._until[admission]
        return 0.0

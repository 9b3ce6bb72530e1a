"""What one destination's latest tries tell: whether it just recovered, and whether a message fails while
others pass.
"""

import asyncio
from collections import OrderedDict

FAILURES_OF_AN_OUTAGE = 3
TRIES_DURING_AN_OUTAGE = 4
MOST_REMEMBERED = 1_000
"""Failing messages of one destination whose last failure is remembered; the oldest is forgotten first."""


class Destination:
    """One integration or customer webhook, as this process knows it. `room` bounds how many tries run at once, and
    while nothing is taken `may_try` lets only a few of them.
    """

    def __init__(self, concurrency: int) -> None:
        self.room = asyncio.Semaphore(concurrency)
        self.held = 0
        self.trying = 0
        self._passed = 0
        self._failures_in_row = 0
        # What this process has never seen well may have been ill before it started, with rows that wait for
        # it.
        self._somebody_waits = True
        self._passed_at_failure: OrderedDict[int, int] = OrderedDict()

    def may_try(self) -> bool:
        """Whether one more try may begin now: an endpoint that hangs must not keep many hands busy."""
        return self._failures_in_row < FAILURES_OF_AN_OUTAGE or self.trying < TRIES_DURING_AN_OUTAGE

    def passed(self, number: int, tries_before: int) -> bool:
        """Notes that a message was taken. True if what waits should be due now: the destination recovered."""
        recovered = self._passed == 0 or tries_before > 0 or self._failures_in_row >= FAILURES_OF_AN_OUTAGE
        wake = recovered and self._somebody_waits
        if wake:
            self._somebody_waits = False
        self._passed += 1
        self._failures_in_row = 0
        self.forget(number)
        return wake

    def failed(self, number: int) -> bool:
        """Notes that a message failed. True if others passed since it failed the last time."""
        passed_before = self._passed_at_failure.pop(number, None)
        self._passed_at_failure[number] = self._passed
        if len(self._passed_at_failure) > MOST_REMEMBERED:
            self._passed_at_failure.popitem(last=False)
        self._failures_in_row += 1
        self._somebody_waits = True
        return passed_before is not None and self._passed > passed_before

    def forget(self, number: int) -> None:
        """Forgets a message that will not be tried again."""
        self._passed_at_failure.pop(number, None)

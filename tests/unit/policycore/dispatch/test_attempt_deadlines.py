"""Deadlines of attempts: one timer, never early, and each attempt for itself."""

import asyncio
from typing import Any

from msgspec.structs import replace

from policycore.dispatch.deadlines import Deadlines
from policycore.dispatch.lanes import NO_SENDER, SENDER_LATE, PendingAttempt
from policycore.ports import AttemptOutcome, Outcome

ANSWER = AttemptOutcome(Outcome.ACCEPTED)
ANYTHING: Any = None


class Case:
    """Deadlines by the loop's own clock."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(self.clock)

    def clock(self) -> float:
        return self.loop.time()

    def begin(self, seconds: float) -> PendingAttempt:
        attempt = PendingAttempt(ANYTHING, b"", ANYTHING, self.clock() + seconds, self.loop.create_future())
        self.deadlines.add(attempt)
        return attempt


async def test_each_attempt_ends_at_its_own_time() -> None:
    case = Case()
    began = case.clock()
    first, second = case.begin(0.05), case.begin(0.15)
    assert await first.answer is NO_SENDER
    assert 0.05 <= case.clock() - began < 0.14
    assert not second.answer.done()
    assert await second.answer is NO_SENDER
    assert case.clock() - began >= 0.15


async def test_one_that_was_written_is_late_and_no_longer_waited_for() -> None:
    case = Case()
    attempt = case.begin(0.01)
    written = {attempt.number: attempt}
    attempt.written_on = written
    assert await attempt.answer is SENDER_LATE
    assert written == {}


async def test_an_attempt_that_is_over_is_left_alone_and_the_next_still_has_its_time() -> None:
    case = Case()
    first, second = case.begin(0.02), case.begin(0.06)
    first.settle(ANSWER)
    case.deadlines.discard(first)
    assert await second.answer is NO_SENDER
    assert first.answer.result() is ANSWER


async def test_an_attempt_after_a_pause_has_a_timer_again() -> None:
    case = Case()
    assert await case.begin(0.01).answer is NO_SENDER
    await asyncio.sleep(0.02)
    assert await asyncio.wait_for(case.begin(0.01).answer, 1) is NO_SENDER


async def test_a_caller_who_left_harms_nobody() -> None:
    case = Case()
    left, other = case.begin(0.01), case.begin(0.01)
    left.answer.cancel()
    assert await other.answer is NO_SENDER


async def test_idle_waits_for_answers_but_not_for_ever() -> None:
    case = Case()
    await case.deadlines.idle(0.0)
    one, other = case.begin(5), case.begin(5)
    case.loop.call_later(0.01, one.settle, ANSWER)
    await case.deadlines.idle(0.03)
    assert (one.answer.done(), other.answer.done()) == (True, False)
    case.loop.call_later(0.01, other.settle, replace(ANSWER, code="x"))
    await asyncio.wait_for(case.deadlines.idle(5), 1)
    case.deadlines.close()

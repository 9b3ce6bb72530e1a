"""When a shared service is asked, and when it is left alone."""

from policycore.counters.breaker import Breaker


class HandClock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_opens_after_three_failures_in_a_row_and_says_so_once() -> None:
    breaker = Breaker(HandClock())
    assert [breaker.failed() for _ in range(4)] == [False, False, True, False]
    assert not breaker.closed


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = Breaker(HandClock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        assert not breaker.succeeded()
        assert breaker.closed


def test_one_caller_each_second_may_probe() -> None:
    clock = HandClock()
    breaker = Breaker(clock)
    assert not breaker.probe_due(), "a closed breaker needs no probe"
    for _ in range(3):
        breaker.failed()
    assert not breaker.probe_due()
    clock.seconds += 1.0
    assert [breaker.probe_due(), breaker.probe_due()] == [True, False]
    breaker.failed()
    clock.seconds += 1.0
    assert breaker.probe_due()
    assert breaker.succeeded()
    assert breaker.closed

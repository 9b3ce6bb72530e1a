"""What the latest tries at a destination tell."""

from policycore.dispatch.destinations import MOST_REMEMBERED, Destination


def test_the_first_success_wakes_what_an_earlier_process_left_waiting() -> None:
    destination = Destination(8)
    assert destination.passed(1, 0)
    assert not destination.passed(2, 0)


def test_a_success_after_an_outage_wakes_once() -> None:
    destination = Destination(8)
    destination.passed(1, 0)
    for number in (2, 3, 4):
        destination.failed(number)
    assert destination.passed(5, 0)
    assert not destination.passed(2, 1)


def test_a_message_that_passes_after_failing_is_a_recovery() -> None:
    destination = Destination(8)
    destination.passed(1, 0)
    destination.failed(2)
    assert destination.passed(2, 1)


def test_one_bad_message_among_good_ones_is_no_outage() -> None:
    destination = Destination(8)
    destination.passed(1, 0)
    for number in range(10, 20):
        destination.failed(2)
        assert not destination.passed(number, 0)


def test_others_passed_is_asked_between_two_failures() -> None:
    destination = Destination(8)
    assert not destination.failed(1), "nothing is known of its earlier failures"
    assert not destination.failed(1)
    destination.passed(2, 0)
    assert destination.failed(1)
    assert not destination.failed(1), "nobody passed since"


def test_what_it_remembers_is_bounded() -> None:
    destination = Destination(8)
    for number in range(MOST_REMEMBERED + 1):
        destination.failed(number)
    destination.passed(-1, 0)
    assert not destination.failed(0), "the oldest was forgotten"
    assert destination.failed(2)

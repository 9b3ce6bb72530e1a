"""When an instance is held back, who may try whether it answers again, and what counts as an answer."""

import pytest

from policycore.dispatch.instance_gates import Entry, InstanceGates, answered
from policycore.ports import AttemptOutcome, InstanceHold, Outcome

TIMED_OUT = AttemptOutcome(Outcome.UNKNOWN, "evolution_timeout")
ACCEPTED = AttemptOutcome(Outcome.ACCEPTED, external_message_id="x")


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(**more: float) -> tuple[InstanceGates, Seconds]:
    clock = Seconds()
    limits = {"most_under_way": 3, "failures_to_open": 2, "seconds": 10.0} | more
    return InstanceGates(clock, **limits), clock  # type: ignore[arg-type]


def attempt(gates: InstanceGates, outcome: AttemptOutcome | None) -> Entry:
    entry = gates.enter("ins_1")
    if entry is not Entry.HELD_BACK:
        gates.leave("ins_1", entry, outcome)
    return entry


@pytest.mark.parametrize(
    ("outcome", "code", "expected"),
    [
        (Outcome.ACCEPTED, "", True),
        (Outcome.REJECTED, "evolution_not_on_whatsapp", True),
        (Outcome.REJECTED, "cloud_unreachable", False),
        (Outcome.REJECTED, "waha_connect_timeout", False),
        (Outcome.REJECTED, "waha_tls_failed", False),
        (Outcome.UNKNOWN, "evolution_timeout", False),
        (Outcome.UNKNOWN, "evolution_server_failed", False),
        (Outcome.UNKNOWN, "sender_lost", None),
        (Outcome.NOT_ATTEMPTED, "guarded_pause", None),
        (Outcome.NOT_ATTEMPTED, "sender_overloaded", None),
        (Outcome.UNKNOWN, "sandbox_timeout", None),
    ],
)
def test_what_an_attempt_shows(outcome: Outcome, code: str, expected: bool | None) -> None:
    assert answered(AttemptOutcome(outcome, code)) is expected


def test_failures_in_a_row_open_it_and_others_do_not() -> None:
    gates, _ = made()
    for outcome in (TIMED_OUT, ACCEPTED, TIMED_OUT, None):
        assert attempt(gates, outcome) is Entry.ORDINARY
    assert gates.hold("ins_1") is None
    assert attempt(gates, TIMED_OUT) is Entry.ORDINARY
    assert gates.hold("ins_1") == InstanceHold("unanswered", 10.0)
    assert gates.hold("ins_2") is None
    assert attempt(gates, ACCEPTED) is Entry.HELD_BACK
    assert gates.openings == 1


def test_one_is_let_through_when_its_time_is_over_and_an_answer_closes_it() -> None:
    gates, clock = made()
    attempt(gates, TIMED_OUT)
    attempt(gates, TIMED_OUT)
    clock.now += 10
    assert gates.hold("ins_1", only_looking=True) is not None
    assert gates.hold("ins_1") is None
    assert gates.hold("ins_1") is not None
    probe = gates.enter("ins_1")
    assert probe is Entry.PROBE
    clock.now += 60
    assert gates.hold("ins_1") is not None
    assert gates.enter("ins_1") is Entry.HELD_BACK
    gates.leave("ins_1", probe, ACCEPTED)
    assert not gates.held
    assert attempt(gates, TIMED_OUT) is Entry.ORDINARY
    assert not gates.held


def test_who_was_let_through_and_never_came_is_followed_by_the_next() -> None:
    gates, clock = made()
    attempt(gates, TIMED_OUT)
    attempt(gates, TIMED_OUT)
    clock.now += 10
    assert gates.hold("ins_1") is None
    clock.now += 2
    assert gates.hold("ins_1") is None


def test_a_probe_that_fails_keeps_it_open_longer_up_to_a_bound() -> None:
    gates, clock = made()
    attempt(gates, TIMED_OUT)
    attempt(gates, TIMED_OUT)
    waits = []
    for _ in range(5):
        hold = gates.hold("ins_1")
        assert hold is not None
        waits.append(hold.seconds)
        clock.now += hold.seconds
        assert attempt(gates, TIMED_OUT) is Entry.PROBE
    assert waits == [10, 20, 40, 80, 80]


def test_an_attempt_from_before_closes_it_with_its_answer_and_prolongs_nothing_with_its_failure() -> None:
    gates, _ = made()
    early = [gates.enter("ins_1") for _ in range(2)]
    attempt(gates, TIMED_OUT)
    attempt(gates, TIMED_OUT)
    gates.leave("ins_1", early[0], TIMED_OUT)
    assert gates.hold("ins_1") == InstanceHold("unanswered", 10.0)
    gates.leave("ins_1", early[1], ACCEPTED)
    assert not gates.held


def test_a_probe_that_was_broken_off_leaves_room_for_another() -> None:
    gates, clock = made()
    attempt(gates, TIMED_OUT)
    attempt(gates, TIMED_OUT)
    clock.now += 10
    assert attempt(gates, None) is Entry.PROBE
    assert attempt(gates, ACCEPTED) is Entry.PROBE
    assert not gates.held


def test_an_instance_with_much_under_way_takes_nothing_new() -> None:
    gates, _ = made()
    entries = [gates.enter("ins_1") for _ in range(3)]
    hold = gates.hold("ins_1")
    assert hold is not None
    assert hold.why == "busy"
    gates.leave("ins_1", entries[0], ACCEPTED)
    assert gates.hold("ins_1") is None
    assert not gates.held


def test_no_failures_ever_open_it_when_the_breaker_is_off() -> None:
    gates, _ = made(failures_to_open=0)
    for _ in range(50):
        attempt(gates, TIMED_OUT)
    assert not gates.held

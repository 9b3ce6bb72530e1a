"""The guard: what pauses and opt-outs stop, who is obeyed, and silence."""

from datetime import UTC, datetime, timedelta

import pytest

from sender.guard import DEPARTED_SECONDS, Guard, GuardEntry
from sender.model import GuardScope, PermitClaims, WithheldError

START = datetime(2026, 1, 1, tzinfo=UTC)


class Time:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def guard(time: Time) -> Guard:
    return Guard(time.now, time.monotonic)


def claims(confirms_opt_out: bool = False, integration_id: str = "int_1") -> PermitClaims:
    return PermitClaims(
        "prm_1", "msg_1", "acc_1", "ins_1", integration_id, "psn_1", b"", b"", START, confirms_opt_out
    )


def verdict(guard: Guard, asked: PermitClaims | None = None) -> str:
    try:
        guard.ask(asked or claims())
    except WithheldError as withheld:
        return withheld.code
    return "passes"


def say(
    guard: Guard, *entries: GuardEntry, speaker: str = "a", version: int = 1, snapshot: bool = True
) -> bool:
    return guard.hear(speaker, version, entries, snapshot=snapshot)


def test_before_anybody_spoke_nothing_passes(guard: Guard) -> None:
    assert verdict(guard) == "guard_silent"


def test_after_a_snapshot_everything_passes(guard: Guard) -> None:
    assert say(guard)
    assert verdict(guard) == "passes"


def test_silence_begins_after_one_second(guard: Guard, time: Time) -> None:
    say(guard)
    time.seconds += 1.0
    assert verdict(guard) == "passes"
    time.seconds += 0.01
    assert verdict(guard) == "guard_silent"
    say(guard, snapshot=False)
    assert verdict(guard) == "passes"


def test_one_speaker_is_enough(guard: Guard, time: Time) -> None:
    say(guard, speaker="a")
    time.seconds += 5
    say(guard, speaker="b")
    assert verdict(guard) == "passes"


@pytest.mark.parametrize(
    ("scope", "scope_id"),
    [
        (GuardScope.PLATFORM, ""),
        (GuardScope.ACCOUNT, "acc_1"),
        (GuardScope.INSTANCE, "ins_1"),
        (GuardScope.INTEGRATION, "int_1"),
        (GuardScope.PERSON, "psn_1"),
    ],
)
def test_every_scope_stops(guard: Guard, scope: GuardScope, scope_id: str) -> None:
    say(guard, GuardEntry(scope, scope_id))
    assert verdict(guard) == f"guarded_{scope.name.lower()}"
    assert verdict(guard, claims(confirms_opt_out=True)) == f"guarded_{scope.name.lower()}"


@pytest.mark.parametrize("scope", [scope for scope in GuardScope if scope is not GuardScope.PLATFORM])
def test_other_ids_do_not_stop(guard: Guard, scope: GuardScope) -> None:
    say(guard, GuardEntry(scope, "another"))
    assert verdict(guard) == "passes"


def test_a_permit_without_integration_is_not_stopped_by_one(guard: Guard) -> None:
    say(guard, GuardEntry(GuardScope.INTEGRATION, "int_1"))
    assert verdict(guard, claims(integration_id="")) == "passes"


def test_an_opt_out_lets_its_confirmation_pass(guard: Guard) -> None:
    say(guard, GuardEntry(GuardScope.PERSON, "psn_1", opt_out=True))
    assert verdict(guard) == "guarded_person"
    assert verdict(guard, claims(confirms_opt_out=True)) == "passes"


def test_a_pause_beside_an_opt_out_stops_the_confirmation_too(guard: Guard) -> None:
    say(guard, GuardEntry(GuardScope.PERSON, "psn_1", opt_out=True), GuardEntry(GuardScope.PERSON, "psn_1"))
    assert verdict(guard, claims(confirms_opt_out=True)) == "guarded_person"


def test_until_ends_a_pause(guard: Guard, time: Time) -> None:
    say(guard, GuardEntry(GuardScope.ACCOUNT, "acc_1", until=time.now() + timedelta(seconds=0.5)))
    assert verdict(guard) == "guarded_account"
    time.seconds += 0.5
    assert verdict(guard) == "passes"


def test_a_snapshot_replaces_and_a_change_adds(guard: Guard) -> None:
    say(guard, GuardEntry(GuardScope.ACCOUNT, "acc_1"), version=1)
    say(guard, GuardEntry(GuardScope.PERSON, "psn_9"), version=2, snapshot=False)
    assert verdict(guard) == "guarded_account"
    say(guard, version=3)
    assert verdict(guard) == "passes"


def test_a_heartbeat_changes_nothing(guard: Guard) -> None:
    say(guard, GuardEntry(GuardScope.ACCOUNT, "acc_1"), version=4)
    say(guard, version=4, snapshot=False)
    assert verdict(guard) == "guarded_account"


def test_a_late_snapshot_does_not_lift_a_newer_guard(guard: Guard) -> None:
    say(guard, GuardEntry(GuardScope.ACCOUNT, "acc_1"), version=5)
    say(guard, version=4)
    assert verdict(guard) == "guarded_account"


def test_a_speaker_that_restarted_counts_anew(guard: Guard) -> None:
    say(guard, GuardEntry(GuardScope.ACCOUNT, "acc_1"), version=500)
    guard.hear("a", 1, [], snapshot=True, first_on_stream=True)
    assert verdict(guard) == "passes"
    guard.hear("a", 2, [], snapshot=True)
    assert verdict(guard) == "passes"


def test_all_speakers_are_obeyed(guard: Guard) -> None:
    say(guard, GuardEntry(GuardScope.ACCOUNT, "acc_1"), speaker="a")
    say(guard, speaker="b")
    assert verdict(guard) == "guarded_account"
    say(guard, speaker="a", version=2)
    assert verdict(guard) == "passes"


def test_a_speaker_that_fell_silent_is_obeyed_as_long_as_a_permit_lives(guard: Guard, time: Time) -> None:
    say(guard, GuardEntry(GuardScope.ACCOUNT, "acc_1"), speaker="a")
    time.seconds += DEPARTED_SECONDS
    say(guard, speaker="b")
    assert verdict(guard) == "guarded_account"
    time.seconds += 1
    say(guard, speaker="b", version=2)
    assert verdict(guard) == "passes"


def test_who_does_not_begin_with_a_snapshot_is_obeyed_but_not_counted(guard: Guard, time: Time) -> None:
    assert not say(guard, GuardEntry(GuardScope.ACCOUNT, "acc_1"), speaker="a", snapshot=False)
    assert verdict(guard) == "guard_silent"
    say(guard, speaker="b")
    assert verdict(guard) == "guarded_account"

"""The bounded part of `make faults`: kills at the steps, and one fault of each kind, in real processes."""

import pytest

from faults.catalogue import FAULTS, KILLS, Fault
from faults.kills import Reaper
from faults.rounds import SHORT_LEASES, Length, Pass, play
from faults.scene import Scene

BOUNDED = (
    KILLS,
    "redis: gone",
    "postgresql: killed",
    "network: reset",
    "webhook: batch with a broken element",
    "instance: takes and drops",
)
_SEED = 20


def _broken(done: Pass) -> list[str]:
    found = [f"{each.fault}: {violation}" for each in done.played for violation in each.violations]
    return found + done.unexpected


@pytest.mark.timeout(300)
async def test_promises_are_kept_while_processes_are_killed_and_servers_fail() -> None:
    said: list[str] = []
    length = Length(seconds=4.0, kill_seconds=8.0, whole=False, changes=SHORT_LEASES, timed=False)
    (done,) = await play([FAULTS[name] for name in BOUNDED], _SEED, length, said.append)
    assert _broken(done) == [], "\n".join(said)
    assert [played.fault for played in done.played] == list(BOUNDED)
    # What was tried was tried: work was accepted in every round, and processes were killed at steps of all services.
    assert all(played.accepted for played in done.played)
    assert {step.partition(":")[0] for step in done.kills} == {"edge", "policycore", "sender"}


async def _kill_senders(scene: Scene) -> None:
    await Reaper(scene.world.services, scene.rng, only="sender").reap(scene.seconds)


async def test_a_policy_core_that_would_send_again_what_a_dead_sender_had_is_found_out() -> None:
    again = {"policycore.dispatch.lanes:SENDER_LOST": "policycore.dispatch.lanes:NO_SENDER"}
    length = Length(kill_seconds=10.0, changes=again, rest_seconds=1.0)
    (done,) = await play([Fault("kill senders", _kill_senders, kills=True)], _SEED, length, lambda _: None)
    said = [
        violation.what for each in done.played for violation in each.violations if violation.promise == "G3"
    ]
    assert any("left 2 times" in what for what in said), said

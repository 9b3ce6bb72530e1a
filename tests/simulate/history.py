"""Owns one history: what is drawn from its seed, in which order it happens, and how it comes to rest."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from simulate import acts, troubles
from simulate.oracle import Violation, judge
from simulate.outside import Says, Written
from simulate.virtual_time import StuckError, VirtualLoop, run_virtually
from simulate.world import World

_LONGEST_SECONDS = 900.0
_REST_SECONDS = 60.0
_RESTS = 8
_LONGEST_RESTS = 90
"""Minutes. An event that failed four times waits for an hour."""

_CLOSES_SOON_SECONDS = 120.0

Act = Callable[[World], Coroutine[Any, Any, None] | object]

_ACTS: tuple[tuple[Act, int], ...] = (
    (acts.ask, 48),
    (lambda world: acts.write(world, Says.NOTHING), 10),
    (lambda world: acts.write(world, Says.STOP), 9),
    (lambda world: acts.write(world, Says.START), 6),
    (acts.pause, 7),
    (acts.suppress, 4),
    (troubles.change_instance, 2),
    (troubles.kill_core, 5),
    (troubles.kill_sender, 4),
    (troubles.lose_database, 3),
    (troubles.lose_counters, 4),
    (acts.link, 2),
    (troubles.lose_endpoint, 3),
)
_KINDS, _WEIGHTS = zip(*_ACTS, strict=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a history: what broke a promise, how much happened, and a number that stands for all that left."""

    seed: int
    violations: tuple[Violation, ...]
    requests: int
    taken: int
    kills: int
    fingerprint: int = 0


def run_history(seed: int, make_world: Callable[[int], World] = World) -> Outcome:
    """Runs the history of a seed from beginning to rest, and judges it. The same seed gives the same history."""
    loop = VirtualLoop()
    try:
        return run_virtually(loop, _run(seed, make_world))
    except StuckError as stuck:
        return Outcome(seed, (Violation("rest", str(stuck)),), 0, 0, 0)


async def _run(seed: int, make_world: Callable[[int], World]) -> Outcome:
    world = make_world(seed)
    await asyncio.sleep(1.0)
    for instance_id in ("ins_1", "ins_2"):
        for phone in acts.PHONES:
            if world.random.random() < 0.7:
                _ask_when_it_closes(
                    world, acts.write(world, Says.NOTHING, phone=phone, instance_id=instance_id)
                )
    count = world.random.randint(6, 18)
    length = world.random.choice((10.0, 40.0, 120.0))
    races_at = world.random.random() * length
    for _ in range(count):
        # Much happens at about the same moment, for that is when things go wrong.
        near = races_at + world.random.random() ** 2 * 2
        at = near if world.random.random() < 0.5 else world.random.random() * length
        [act] = world.random.choices(_KINDS, _WEIGHTS)
        world.go(_later(world, at, act))
    await _come_to_rest(world)
    violations = judge(world.store, world.outside, world.company, world.skew_seconds)
    violations += [Violation("history", failure) for failure in world.failures]
    if not world.everything_delivered:
        violations.append(Violation("G1", "events were left undelivered at the end"))
    if world.at_work or not world.everything_settled:
        violations.append(Violation("G1", "work was left undone at the end"))
    kills = sum(not speaker.process.alive for speaker in world.speakers)
    taken = world.outside.taken
    fingerprint = crc32(repr([(each.at, each.message_id) for each in taken]).encode(), world.store.commits)
    return Outcome(seed, tuple(violations), len(world.outside.requests), len(taken), kills, fingerprint)


def _ask_when_it_closes(world: World, written: Written) -> None:
    """Somebody replies at about the time at which a window closes."""
    seconds = acts.closes_in(world, written) - world.random.random() ** 2 * 15
    if 0 < seconds < _CLOSES_SOON_SECONDS and world.random.random() < 0.5:
        asked = acts.ask(world, phone=written.phone, instance_id=written.instance_id)
        world.go(_after(seconds, asked))


async def _after(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    await asyncio.sleep(seconds)
    await work


async def _later(world: World, seconds: float, act: Act) -> None:
    await asyncio.sleep(seconds)
    done = act(world)
    if isinstance(done, Coroutine):
        await done


async def _come_to_rest(world: World) -> None:
    """Waits until everybody has done what they meant to, heals what is broken, and lets the sweeps do their work."""
    while world.at_work and world.clock.seconds() < _LONGEST_SECONDS:
        await asyncio.wait(set(world.at_work), timeout=30.0)
    world.crash_rate = world.lost_rate = 0.0
    if world.endpoints is not None:
        world.endpoints.heal()
    for rest in range(_LONGEST_RESTS):
        # Receipts may be on their way up to a minute after the last message left.
        await asyncio.sleep(_REST_SECONDS)
        if not world.at_work and world.everything_settled and world.everything_delivered:
            return
        if rest >= _RESTS and world.everything_delivered:
            return

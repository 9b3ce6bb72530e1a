"""Plays rounds: a company works, a fault is made, everything is healed and comes to rest, and the oracle judges."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from faults.acts import finish, open_company, work
from faults.catalogue import Fault
from faults.clock import BEFORE_SECONDS
from faults.evidence import Evidence, Record
from faults.load import Client, session
from faults.oracle import Judgement, Violation, judge
from faults.scene import Scene
from faults.world import REST_SECONDS, Line, World, running_world

Tell = Callable[[str], None]

SHORT_LEASES: Mapping[str, float | str] = {"policycore.dispatch.dispatcher:LOST_SECONDS": 40.0}
"""What a dead policy core had handed out is given up sooner than in production; still later than any attempt ends."""

OFTEN: Mapping[str, float | str] = {
    "policycore.main:RECONCILE_SECONDS": 0.3,
    "policycore.main:RETENTION_SECONDS": 0.3,
    "policycore.dispatch.outbox:HEARTBEATS_IN_A_LEASE": 100,
    # 10 s. A second would reach every account as surely, and load the database with the accounts of many rounds.
    "policycore.store.retention:_LOOK_EVERY": "policycore.store.outbox_lines:FURTHER_EVERY",
}
"""What is done by the clock, and not for a caller, is done so often that processes die in the midst of it, too."""


@dataclass(frozen=True, slots=True)
class Length:
    """Seconds of work in a round, and in one that kills; `whole`: faults last as long as they are meant to.

    `changes` are constants of the services that differ from what is shipped; `rest_seconds` bounds the wait for rest;
    without `timed` the time that answers take is not judged.
    """

    seconds: float = 6.0
    kill_seconds: float = 20.0
    whole: bool = True
    changes: Mapping[str, float | str] = field(default_factory=dict)
    rest_seconds: float = REST_SECONDS
    timed: bool = True


@dataclass(slots=True)
class Played:
    """One round, and what came of it."""

    fault: str
    seed: int
    requests: int = 0
    accepted: int = 0
    checks: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)


@dataclass(slots=True)
class Pass:
    """What one world saw."""

    played: list[Played] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    kills_anywhere: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)


async def play(faults: Sequence[Fault], seed: int, length: Length, tell: Tell) -> list[Pass]:
    """One pass over these faults. Those whose clocks cross a border get a world of their own."""
    passes = []
    if os.geteuid() != 0:
        for fault in (each for each in faults if each.needs_root):
            tell(f"{fault.name}: not tried, for it takes root to mount a disk")
        faults = [fault for fault in faults if not fault.needs_root]
    usual = [fault for fault in faults if fault.border is None]
    if usual:
        passes.append(await _play_in_one_world(usual, seed, length, tell, None))
    for fault in faults:
        if fault.border is not None:
            border = fault.border(datetime.now(UTC))
            passes.append(await _play_in_one_world([fault], seed, length, tell, border))
    return passes


async def _play_in_one_world(
    faults: Sequence[Fault], seed: int, length: Length, tell: Tell, border: datetime | None
) -> Pass:
    result = Pass()
    shift_seconds = 0.0 if border is None else border.timestamp() - BEFORE_SECONDS - time.time()
    rounds: list[tuple[Played, Record, list[Line]]] = []
    async with running_world(shift_seconds, {**OFTEN, **length.changes}) as world:
        for fault in faults:
            record, lines = world.begin()
            record.slack_seconds = fault.slack_seconds
            tell(f"{fault.name} …")
            began, ended = await _work(world, fault, seed, length, border)
            if border is not None and not began < border.timestamp() < ended:
                world.services.unexpected.append(f"{fault.name}: the border was not crossed")
            accepted = sum(bool(request.accepted) for request in record.requests)
            rounds.append((Played(fault.name, seed, len(record.requests), accepted), record, lines))
        rests_from = time.monotonic()
        tell("resting")
        rested = await world.rest(length.rest_seconds)
        tell(f"at rest after {time.monotonic() - rests_from:.0f} s" if rested else "work was left over")
        ledger = await world.ledger()
        for played, record, lines in rounds:
            evidence = world.evidence(ledger, record, lines)
            found: Judgement = judge(evidence, timed=length.timed)
            played.checks, played.violations = found.checks, found.violations
            result.played.append(played)
            result.evidence.append(evidence)
        result.kills = world.services.kills.at_steps
        result.kills_anywhere = world.services.kills.anywhere
        result.unexpected = world.services.unexpected
        if result.unexpected or any(played.violations for played in result.played):
            tell(world.services.logs())
    return result


async def _work(
    world: World, fault: Fault, seed: int, length: Length, border: datetime | None
) -> tuple[float, float]:
    """Plays one round up to its healing; returns from when to when the company worked, by the world's clock."""
    rng = random.Random(f"{seed}/{fault.name}")
    seconds = length.kill_seconds if fault.kills else length.seconds
    async with session() as connections:
        client = Client(world, connections, rng)
        company = await open_company(world, client, fault.zone)
        if border is not None:
            seconds += max(0.0, border.timestamp() - world.clock.now())
        scene = Scene(world, company, client, random.Random(rng.random()), seconds, length.whole)
        began = world.clock.now()
        await asyncio.gather(work(company, client, seconds), fault.during(scene))
        ended = world.clock.now()
        await world.heal()
        await finish(company, client)
    return began, ended

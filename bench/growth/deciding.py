"""Times decisions on databases of several sizes, one batch on each in turn, so that noise meets all of them alike."""

import os
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.growth import fill
from bench.growth.curves import Curve
from policycore.checks import build_checks
from policycore.content.load import load_scorer
from policycore.store.config_reader import read_snapshot
from policycore.usecases.command import SubmitCommand
from policycore.usecases.decide_batch import BatchDecider
from servers.postgres import PostgresServer
from support.core_parts import CoreParts, open_core

BATCH = 32
_READINGS = 5
WARM_UP = 12
"""Batches that are not counted: the server keeps a plan for a statement after it ran some times."""


@dataclass
class Site:
    """A database of one size, and the policy core's decide path on it."""

    size: int
    database: str
    core: CoreParts
    decider: BatchDecider
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    _backends: tuple[int, ...] = ()

    async def decide(self, curve: Curve, chance: random.Random, *, counted: bool) -> None:
        """Decides one batch in one transaction. Errors: RuntimeError if another number was allowed than should be."""
        intents = curve.ask(chance, self.size, BATCH)
        commands = [SubmitCommand(intent, claim=os.urandom(32)) for intent in intents]
        cpu, began = self._cpu_seconds(), time.perf_counter()
        decided = await self.decider(commands)
        ended, cpu_after = time.perf_counter(), self._cpu_seconds()
        allowed = BATCH - int(BATCH * curve.refused)
        if len(decided.messages) != allowed:
            reasons = {answer.decision.reason.name for answer in decided.answers}
            raise RuntimeError(f"{len(decided.messages)} of {BATCH} were allowed, not {allowed}: {reasons}")
        if counted:
            self.seconds.append((ended - began) / BATCH)
            self.cpu_seconds.append((cpu_after - cpu) / BATCH)

    async def time_configuration(self) -> float:
        """The least ms of several times of reading the whole configuration, as every process does after a change."""
        took = []
        for _ in range(_READINGS):
            async with self.core.database.reading() as connection:
                began = time.perf_counter()
                await read_snapshot(
                    connection, lambda sealed, _place, _id: sealed.decode(), datetime.now(UTC)
                )
                took.append((time.perf_counter() - began) * 1e3)
        return min(took)

    async def know_backends(self) -> None:
        """Remembers the server's processes that work for this database."""
        async with self.core.database.reading() as connection:
            pids = await connection.scalars(
                text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
            )
            self._backends = tuple(pids)

    def _cpu_seconds(self) -> float:
        """Of this process and of the server's processes for this database."""
        return time.process_time() + sum(map(_ran_seconds, self._backends))


def _ran_seconds(pid: int) -> float:
    """Seconds on a processor, by the kernel's scheduler (first field of /proc/<pid>/schedstat, in nanoseconds)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except FileNotFoundError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """What a decision took at one size: medians over batches, in µs, and against those of the smallest size."""

    size: int
    wall_us: float
    cpu_us: float
    wall_ratio: float
    cpu_ratio: float


async def open_site(server: PostgresServer, curve: Curve, size: int) -> Site:
    """A database of its own, filled."""
    database = server.create_database()
    core = await open_core(server.url(database))
    engine = create_async_engine(server.url(database))
    await fill.allow_much(engine)
    # What the filled log copies: a decision that was really made.
    await core.inbound("Hello", phone=fill.phone_of(0))
    await core.reply("Hello, this is the service desk about your ticket.", phone_text=fill.phone_of(0))
    await core.dispatcher.drain(1.0)
    await curve.fill(engine, size, core.clock())
    await fill.settle(engine)
    await engine.dispose()
    await core.config.refresh()
    checks = build_checks(load_scorer())
    decider = BatchDecider(core.ledger, core.counters, checks, core.clock, os.urandom, core.senders.available)
    return Site(size, database, core, decider)


async def time_in_turn(curve: Curve, sites: Sequence[Site], batches: int) -> list[Point]:
    """Decides so many batches on every site, in an order that changes from round to round."""
    chance = random.Random(1)
    for site in sites:
        for _ in range(WARM_UP):
            site.core.clock.now = datetime.now(UTC)
            await site.decide(curve, chance, counted=False)
        await site.know_backends()
    for _ in range(batches):
        for site in chance.sample(list(sites), len(sites)):
            # The clock of these parts stands still unless it is moved, and PostgreSQL's does not.
            site.core.clock.now = datetime.now(UTC)
            await site.decide(curve, chance, counted=True)
    first = sites[0]
    return [
        Point(
            site.size,
            statistics.median(site.seconds) * 1e6,
            statistics.median(site.cpu_seconds) * 1e6,
            _ratio(site.seconds, first.seconds),
            _ratio(site.cpu_seconds, first.cpu_seconds),
        )
        for site in sites
    ]


def _ratio(values: Sequence[float], against: Sequence[float]) -> float:
    return statistics.median(values) / statistics.median(against)

"""Runs the rounds: every drive once in each round, one after the other, so that noise meets them all alike."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from bench.cpu import processor_seconds
from bench.load import Result
from bench.rows import Drive, Measured
from bench.shapes import ROOT, Shape, environment

MOST_PER_SECOND = 12_000
"""A bound on the load: a drive takes at most this many requests a second of its length."""


@dataclass(frozen=True, slots=True)
class Length:
    """How much is measured: rounds, and seconds of warm-up and of measured time in each drive."""

    rounds: int
    warm_up_seconds: float
    seconds: float


QUICK = Length(rounds=3, warm_up_seconds=1.5, seconds=4.0)
FULL = Length(rounds=7, warm_up_seconds=2.0, seconds=10.0)


async def run_drive(
    drive: Drive, shape: Shape, number: int, length: Length, instance: tuple[str, int]
) -> Measured:
    """One drive of one round: what the load generator found, and what the processes used meanwhile."""
    base_url, instance_pid = instance
    plan = {
        "addresses": [["127.0.0.1", port] for port in (shape.port, *shape.replica_ports)],
        "connections": drive.connections,
        "warm_up_seconds": length.warm_up_seconds,
        "seconds": length.seconds,
        "most_requests": int((length.warm_up_seconds + length.seconds) * MOST_PER_SECOND),
        "label": f"{drive.name}-{number}",
        "doors": [{"path": door.path, "secret": door.secret, "phones": door.phones} for door in shape.doors],
        "arrivals_url": f"{base_url}/arrivals",
    }
    load = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", cwd=ROOT, env=environment(), stdin=-1, stdout=-1, limit=1 << 20
    )
    roots = {**shape.processes, "instance": instance_pid, "load": load.pid}
    try:
        return await _follow(load, plan, roots)
    finally:
        if load.returncode is None:
            load.kill()
            await load.wait()


async def _follow(
    load: asyncio.subprocess.Process, plan: Mapping[str, object], roots: dict[str, int]
) -> Measured:
    if load.stdin is None or load.stdout is None:
        raise RuntimeError("the load generator has no pipes")
    load.stdin.write(json.dumps(plan).encode())
    load.stdin.close()
    used: dict[str, dict[str, float]] = {}
    while line := (await load.stdout.readline()).decode().strip():
        if line in ("begin", "end"):
            used[line] = processor_seconds(roots)
            continue
        result = Result(**json.loads(line))
        await load.wait()
        count = max(result.accepted, 1)
        cpu = {name: (used["end"][name] - used["begin"][name]) * 1e6 / count for name in roots}
        return Measured(result, cpu)
    raise RuntimeError(f"the load generator ended without a result (exit code {await load.wait()})")

"""Drives one edge, policy core and sender, and two of each on the same database and Redis, in turn."""

import asyncio
import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.rounds import Length, run_drive
from bench.rows import SERVICES, Drive, Measured
from bench.scenario import prepare
from bench.shapes import Shape, running_instance
from servers.postgres import running_postgres
from servers.redis import running_redis
from support.gateway import Gateway, free_port

LENGTH = Length(rounds=3, warm_up_seconds=1.5, seconds=4.0)
_CONNECTIONS = 64
_FEED_SECONDS = 1.5
"""By then a second edge knows all credentials."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two replicas against one: medians of replies a second, and of µs of processor time for a message in all
    services and in PostgreSQL; and how many answers were wrong.
    """

    one_per_second: float
    two_per_second: float
    one_cpu_us: float
    two_cpu_us: float
    checked: int
    wrong: int


def _second(first: Gateway) -> Gateway:
    """Another edge, policy core and sender with the same keys, database and Redis."""
    second = Gateway(first.folder / "second", first.database_url, first.redis_url, first.extra)
    second.folder.mkdir()
    edge, core, sender = (f"127.0.0.1:{free_port()}" for _ in range(3))
    second.base_url, second.core_address = f"http://{edge}", core
    second.environment = {
        **first.environment,
        "HOME": str(second.folder),
        "HUBGATE_DATA": str(second.folder),
        "HUBGATE_EDGE_LISTEN": edge,
        "HUBGATE_POLICYCORE_LISTEN": core,
        "HUBGATE_POLICYCORE_ADDRESS": core,
        "HUBGATE_SENDER_LISTEN": sender,
        "HUBGATE_SENDER_ADDRESSES": sender,
    }
    return second


@contextlib.asynccontextmanager
async def _one_and_two(folder: Path, instance_url: str) -> AsyncIterator[tuple[Shape, Shape]]:
    """The first replica alone, and with the second one beside it."""
    with (
        running_postgres({"shared_buffers": "128MB", "max_wal_size": "1GB"}) as postgres,
        running_redis() as redis,
    ):
        first = Gateway(folder, postgres.url(postgres.create_database()), redis.url)
        second = _second(first)
        try:
            await first.start()
            doors = await prepare(first, instance_url)
            for name in ("sender", "policycore", "edge"):
                second.start_part(name)
            await second.wait_ready()
            await asyncio.sleep(_FEED_SECONDS)
            processes = {name: process.pid for name, process in first.processes.items()}
            others = {f"{name} 2": process.pid for name, process in second.processes.items()}
            one = Shape(_port(first), doors, {**processes, "postgresql": postgres.pid})
            yield one, replace(one, processes=one.processes | others, replica_ports=(_port(second),))
        finally:
            second.stop()
            first.stop()


def _port(gateway: Gateway) -> int:
    return int(gateway.base_url.rpartition(":")[2])


async def measure(length: Length = LENGTH) -> Replicas:
    """Rounds of one replica and of two, in turn. Each replica has as many connections, so that batches are alike."""
    found: tuple[list[Measured], list[Measured]] = ([], [])
    with tempfile.TemporaryDirectory(prefix="hubgate-bench-") as folder, running_instance() as instance:
        place = Path(folder) / "first"
        place.mkdir()
        async with _one_and_two(place, instance[0]) as shapes:
            for number in range(1, length.rounds + 1):
                for name, shape, measured in zip(("one", "two"), shapes, found, strict=True):
                    drive = Drive(name, "production", _CONNECTIONS * (1 + len(shape.replica_ports)))
                    measured.append(await run_drive(drive, shape, number, length, instance))
    one, two = found
    return Replicas(
        statistics.median(each.rate for each in one),
        statistics.median(each.rate for each in two),
        statistics.median(_cpu(each) for each in one),
        statistics.median(_cpu(each) for each in two),
        sum(each.result.checked for each in (*one, *two)),
        sum(each.result.errors for each in (*one, *two)),
    )


def _cpu(measured: Measured) -> float:
    parts = (*SERVICES, "postgresql")
    return sum(used for name, used in measured.cpu.items() if name.removesuffix(" 2") in parts)

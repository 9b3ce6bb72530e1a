"""Faults of our own machines: databases, counters, clocks and deploys. Each lasts about as long as the round."""

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import redis.asyncio as redis
from google.protobuf.duration_pb2 import Duration

from faults.evidence import Outage
from faults.proxy import Weather
from faults.scene import Scene
from hubgate.policy.v1 import integrations_pb2
from servers.redis import running_redis
from support.gateway import CoreClient

WHOLE_PAUSE_SECONDS: Final = 30.0
_SHORT_PAUSE_SECONDS: Final = 4.0
_UNAUTHORISED = 401


@contextlib.asynccontextmanager
async def _outage(scene: Scene, what: str) -> AsyncIterator[None]:
    """Notes when something was gone for certain."""
    began_at = scene.world.clock.now()
    yield
    scene.world.record.outages.append(Outage(what, began_at, scene.world.clock.now()))


# --- deploys


async def rolling_restart(scene: Scene) -> None:
    """Every process is told to leave and comes back, one after the other, while the work goes on."""
    for process in list(scene.world.services.processes.values()):
        code = await scene.world.services.leave(process)
        if code != 0:
            scene.world.services.unexpected.append(f"{process.name} left with {code}")
        await asyncio.sleep(0.3)
        await scene.world.services.ready()


async def rotated_secrets(scene: Scene) -> None:
    """The webhook secret is rotated again and again; old ones go on counting for a while."""
    line = scene.company.main
    request = integrations_pb2.RotateSecretRequest(
        integration_id=line.integration_id, overlap=Duration(seconds=3_600)
    )

    async def rotate(core: CoreClient) -> Any:
        return await core.call(core.admin.RotateSecret, request)

    for _ in range(max(2, int(scene.seconds / 2))):
        rotated = await scene.world.administer(rotate)
        # The edges learn of it within a second; until then the old one is shown.
        await asyncio.sleep(1.2)
        line.secret = rotated.secret
        await asyncio.sleep(0.5)
    refused = [
        request.token
        for request in scene.world.record.requests
        if any(answer.status == _UNAUTHORISED for answer in request.answers)
    ]
    if refused:
        scene.world.services.unexpected.append(f"refused while secrets were rotated: {refused[:5]}")


# --- Redis


async def redis_gone(scene: Scene) -> None:
    """Redis is killed, and comes back empty."""
    await asyncio.sleep(scene.seconds * 0.4)
    await asyncio.to_thread(scene.world.redis.kill)
    async with _outage(scene, "redis"):
        await asyncio.sleep(scene.seconds * 0.6)
    await asyncio.to_thread(scene.world.redis.start)


async def redis_slow(scene: Scene) -> None:
    """Every byte to and from Redis takes five seconds."""
    proxy = scene.world.outside["policycore-redis"]
    await asyncio.sleep(scene.seconds * 0.4)
    proxy.weather = Weather(delay_seconds=5.0)
    async with _outage(scene, "redis"):
        await asyncio.sleep(scene.seconds * 0.6)
    proxy.clear()
    proxy.cut()


async def redis_read_only(scene: Scene) -> None:
    """Redis is somebody's replica for a while, and takes no writes."""
    async with _redis(scene.world.redis.url) as client:
        await asyncio.sleep(scene.seconds * 0.4)
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        async with _outage(scene, "redis"):
            await asyncio.sleep(scene.seconds * 0.6)
        await client.execute_command("REPLICAOF", "NO", "ONE")


async def redis_flushed(scene: Scene) -> None:
    """Everything in Redis is lost, again and again."""
    async with _redis(scene.world.redis.url) as client:
        for _ in range(int(scene.seconds / 0.4)):
            await client.execute_command("FLUSHALL")
            await asyncio.sleep(0.4)


async def redis_failed_over(scene: Scene) -> None:
    """Another Redis takes over, with what there was a second ago."""
    proxy = scene.world.outside["policycore-redis"]
    with running_redis() as other:
        await asyncio.sleep(scene.seconds * 0.4)
        async with _redis(scene.world.redis.url) as old, _redis(other.url) as new:
            held = [(key, await old.pttl(key), await old.dump(key)) async for key in old.scan_iter()]
            await asyncio.sleep(1.0)
            for key, life, value in held:
                if value is not None:
                    await new.restore(key, max(life, 0), value, replace=True)
        proxy.lead_to(other.port)
        proxy.reset()
        await asyncio.sleep(scene.seconds * 0.5)
        proxy.lead_to(scene.world.redis.port)
        proxy.reset()


@contextlib.asynccontextmanager
async def _redis(url: str) -> AsyncIterator[Any]:
    client = redis.Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


# --- PostgreSQL


async def postgres_killed(scene: Scene) -> None:
    """PostgreSQL is killed with -9, and started again."""
    for _ in range(2):
        await asyncio.sleep(scene.seconds * 0.25)
        await asyncio.to_thread(scene.world.postgres.kill)
        async with _outage(scene, "postgresql"):
            await asyncio.sleep(scene.seconds * 0.15)
        await asyncio.to_thread(scene.world.postgres.start)


async def postgres_storm(scene: Scene) -> None:
    """Somebody else takes every connection there is; those that the policy cores had are ended."""
    taken: list[Any] = []
    administrator = await asyncpg.connect(scene.world.postgres.url().replace("+asyncpg", ""))
    await administrator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hubgate'"
    )
    try:
        while True:
            taken.append(await asyncpg.connect(scene.world.dsn, timeout=2))
    except (asyncpg.PostgresError, OSError, TimeoutError):
        await asyncio.sleep(scene.seconds * 0.6)
    finally:
        await asyncio.gather(*(each.close(timeout=5) for each in (*taken, administrator)))


async def postgres_disk_full(scene: Scene) -> None:
    """The disk of the tables is full, and is made larger."""
    world = scene.world
    with _tiny_disk() as folder:
        world.postgres.execute(f"CREATE TABLESPACE tiny LOCATION '{folder}'")
        tables = ("decisions", "messages", "inbox", "outbox")
        try:
            for table in tables:
                await asyncio.to_thread(
                    world.postgres.execute, f"ALTER TABLE {table} SET TABLESPACE tiny", world.database
                )
            filler = folder.parent / "filler"
            _fill(filler)
            await asyncio.sleep(scene.seconds * 0.7)
            filler.unlink()
            await asyncio.sleep(scene.seconds * 0.3)
        finally:
            for table in tables:
                await asyncio.to_thread(
                    world.postgres.execute, f"ALTER TABLE {table} SET TABLESPACE pg_default", world.database
                )
            world.postgres.execute("DROP TABLESPACE tiny")


@contextlib.contextmanager
def _tiny_disk() -> Iterator[Path]:
    """A folder on a disk of its own, which PostgreSQL may write to. Mounting one takes root."""
    with tempfile.TemporaryDirectory(prefix="hubgate-disk-") as name:
        Path(name).chmod(0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", name], check=True)
        try:
            folder = Path(name) / "tables"
            folder.mkdir(mode=0o700)
            os.chown(folder, 65534, 65534)
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


def _fill(path: Path) -> None:
    """Takes all the room that is left."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"\0" * 65_536):
            pass


async def postgres_paused(scene: Scene) -> None:
    """PostgreSQL stands still, with every connection open."""
    await asyncio.sleep(scene.seconds * 0.2)
    pids = _family(scene.world.postgres.pid)
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        async with _outage(scene, "postgresql"):
            await asyncio.sleep(WHOLE_PAUSE_SECONDS if scene.whole else _SHORT_PAUSE_SECONDS)
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *map(int, children)]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


# --- clocks


async def _jump(scene: Scene, seconds: float) -> None:
    """The wall clock of one process after the other jumps, and jumps back."""
    usual = scene.world.clock.shift_seconds
    processes = list(scene.world.services.processes.values())
    scene.rng.shuffle(processes)
    for process in processes[:4]:
        process.control.shift(usual + seconds)
        await asyncio.sleep(scene.seconds / 4)
        process.control.shift(usual)


async def clock_ahead(scene: Scene) -> None:
    """Five minutes ahead."""
    await _jump(scene, 300.0)


async def clock_behind(scene: Scene) -> None:
    """Five minutes behind."""
    await _jump(scene, -300.0)


async def clock_back(scene: Scene) -> None:
    """Back by more than a window's length."""
    await _jump(scene, -25 * 3_600.0)

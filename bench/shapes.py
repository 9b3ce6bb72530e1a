"""Starts what is measured, as processes of its own, and stops it by process id."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.requests import Door
from bench.scenario import prepare
from servers.postgres import running_postgres
from servers.process import free_port
from servers.redis import running_redis
from support.gateway import Gateway

ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 15.0
_STOP_SECONDS = 10.0
_POSTGRES = {"shared_buffers": "128MB", "max_wal_size": "1GB", "autovacuum_naptime": "1min"}
"""PostgreSQL's own defaults, where the tests' server keeps smaller."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Something that takes replies at `port`: through which doors, and which processes work for it. Connections are
    shared out evenly over `port` and `replica_ports`.
    """

    port: int
    doors: list[Door]
    processes: dict[str, int]
    replica_ports: tuple[int, ...] = ()


def environment() -> dict[str, str]:
    """The environment of this harness's own processes: they find the harness, the starters and the contracts."""
    paths = (ROOT, ROOT / "tests", ROOT / "proto/gen")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in paths)}


@contextlib.contextmanager
def running(command: list[str], stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this harness, ended on leaving."""
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment(), stdout=stdout)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running_instance() -> Iterator[tuple[str, int]]:
    """The stand-in instance: its base URL and its process id."""
    with running(["bench.instance"], stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise RuntimeError("the stand-in instance has no output")
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}", process.pid


@contextlib.asynccontextmanager
async def production(folder: Path, instance_url: str) -> AsyncIterator[Shape]:
    """PostgreSQL with synchronous commit, Redis, and the three services as processes."""
    with running_postgres(_POSTGRES) as postgres, running_redis() as redis:
        gateway = Gateway(folder, postgres.url(postgres.create_database()), redis.url)
        async with _started(gateway, instance_url) as shape:
            shape.processes.update(postgresql=postgres.pid, redis=redis.pid)
            yield shape


@contextlib.asynccontextmanager
async def embedded(folder: Path, instance_url: str) -> AsyncIterator[Shape]:
    """SQLite, and the three services as processes."""
    gateway = Gateway(folder, f"sqlite+aiosqlite:///{folder}/hubgate.db")
    async with _started(gateway, instance_url) as shape:
        yield shape


@contextlib.asynccontextmanager
async def _started(gateway: Gateway, instance_url: str) -> AsyncIterator[Shape]:
    gateway.folder.mkdir(parents=True, exist_ok=True)
    try:
        await gateway.start()
        doors = await prepare(gateway, instance_url)
        pids = {name: process.pid for name, process in gateway.processes.items()}
        yield Shape(int(gateway.base_url.rpartition(":")[2]), doors, pids)
    finally:
        gateway.stop()


@contextlib.asynccontextmanager
async def hops(folder: Path, instance_url: str) -> AsyncIterator[Shape]:
    """The same three processes and wire, with the logic and the storage taken out."""
    edge, core, sender = free_port(), free_port(), free_port()
    parts = {
        "sender": ["--port", str(sender)],
        "core": ["--port", str(core), "--next-port", str(sender), "--base-url", instance_url],
        "edge": ["--port", str(edge), "--next-port", str(core)],
    }
    with contextlib.ExitStack() as stack:
        pids: dict[str, int] = {}
        for part, options in parts.items():
            process = stack.enter_context(running(["bench.hops", part, *options]))
            pids["policycore" if part == "core" else part] = process.pid
        for port in (sender, core, edge):
            await _listening(port)
        phones = tuple(f"+96650{number:07d}" for number in range(2_000))
        yield Shape(edge, [Door("/integrations/3cx/webhook/int_bench", "bench-secret", phones)], pids)


async def _listening(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError(f"nothing listens on port {port}")


SHAPES = {"production": production, "hops": hops, "embedded": embedded}
"""How each shape is started, by name."""

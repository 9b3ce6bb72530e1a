"""The gateway's six processes (two of each service), where each listens, and how each is started and killed."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from faults.code_steps import SERVICES, steps_of
from faults.control import Control
from faults.processes import Child, ForkServer
from faults.proxy import Proxy
from servers.process import free_port
from support.gateway import Gateway

REPLICAS = (1, 2)
NO_CHANGES: Mapping[str, float | str] = {}
"""The services as they are shipped."""
_KEPT = {"HUBGATE_LOG_RETENTION_MONTHS": "120", "HUBGATE_TEXT_RETENTION_DAYS": "3650"}
"""Retention does its rounds, and nothing of a round of faults is old enough for it."""

_READY_SECONDS = 30.0
_LEAVES_WITHIN_SECONDS = 25.0


@dataclass(slots=True, eq=False)
class Process:
    """One replica of a service."""

    service: str
    number: int
    port: int
    environ: dict[str, str]
    control: Control
    log: Path
    child: Child | None = None
    up_since: float = 0.0
    starts: int = 0

    @property
    def name(self) -> str:
        return f"{self.service}{self.number}"

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.child is not None and not self.child.ended.done()


@dataclass(slots=True)
class Kills:
    """How often processes were killed: by step, and anywhere else by service."""

    at_steps: Counter[str] = field(default_factory=Counter)
    anywhere: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(self.at_steps.values()) + sum(self.anywhere.values())


class Services:
    """Starts the processes behind proxies, starts again whatever ended, and counts what was killed."""

    def __init__(
        self,
        folder: Path,
        gateway: Gateway,
        outside: dict[str, Proxy],
        shift_seconds: float = 0.0,
        *,
        changes: Mapping[str, float | str] = NO_CHANGES,
    ) -> None:
        self.processes: dict[str, Process] = {}
        self.proxies: dict[str, Proxy] = {}
        self.steps = steps_of()
        self.kills = Kills()
        self.unexpected: list[str] = []
        self._gateway = gateway
        self._folder = folder
        self._shift = shift_seconds
        self._outside = outside
        self._forks = ForkServer(changes)
        self._keepers: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Starts everything; returns when both edges are ready."""
        await self._forks.start()
        ports = {f"{service}{number}": free_port() for service in SERVICES for number in REPLICAS}
        for number in REPLICAS:
            await self._proxy(f"client-edge{number}", ports[f"edge{number}"])
            await self._proxy(f"edge{number}-policycore{number}", ports[f"policycore{number}"])
            for other in REPLICAS:
                await self._proxy(f"policycore{number}-sender{other}", ports[f"sender{other}"])
        for name, port in ports.items():
            service, number = name[:-1], int(name[-1])
            environ = self._environ(service, number, port)
            control = Control(self._folder / f"{name}.control")
            control.shift(self._shift)
            self.processes[name] = Process(
                service, number, port, environ, control, self._folder / f"{name}.log"
            )
        for process in self.processes.values():
            await self.run(process)
            self._keepers.append(asyncio.create_task(self._keep(process)))
        await self.ready()

    async def _proxy(self, name: str, port: int) -> None:
        self.proxies[name] = await Proxy(name, port).start()

    def _environ(self, service: str, number: int, port: int) -> dict[str, str]:
        listen = f"127.0.0.1:{port}"
        environ = {**self._gateway.environment, f"HUBGATE_{service.upper()}_LISTEN": listen}
        environ["HUBGATE_LOG_LEVEL"] = "warning"
        environ.update(_KEPT)
        if service == "edge":
            core = self.proxies[f"edge{number}-policycore{number}"]
            environ["HUBGATE_POLICYCORE_ADDRESS"] = f"127.0.0.1:{core.port}"
        if service == "policycore":
            senders = [self.proxies[f"policycore{number}-sender{other}"] for other in REPLICAS]
            environ["HUBGATE_SENDER_ADDRESSES"] = ",".join(f"127.0.0.1:{each.port}" for each in senders)
            database = self._gateway.database_url.rpartition("/")[2]
            postgres = self._outside["policycore-postgresql"]
            environ["HUBGATE_DATABASE_URL"] = f"postgresql://hubgate@127.0.0.1:{postgres.port}/{database}"
            environ["HUBGATE_REDIS_URL"] = f"redis://127.0.0.1:{self._outside['policycore-redis'].port}/0"
        return environ

    async def run(self, process: Process) -> None:
        """Starts one process that is not running."""
        process.control.disarm()
        process.child = await self._forks.spawn(
            process.service,
            process.environ,
            process.log,
            process.control.path,
            list(self.steps[process.service]),
        )
        process.starts += 1
        process.up_since = time.monotonic()

    async def _keep(self, process: Process) -> None:
        """Starts the process again whenever it has ended."""
        while not self._closing:
            if process.child is not None:
                code = await asyncio.shield(process.child.ended)
                if code not in (0, -9) and not self._closing:
                    self.unexpected.append(f"{process.name} ended by itself with {code}")
                    await asyncio.sleep(0.2)
            if not self._closing:
                await self.run(process)

    async def kill_at(self, process: Process, step: str, passings: int, seconds: float) -> bool:
        """Has the process die at a step; anywhere, if it does not come there in time. True if it was at the step."""
        child = process.child
        if child is None or child.ended.done():
            return False
        process.control.arm(self.steps[process.service].index(step), passings)
        done, _ = await asyncio.wait({child.ended}, timeout=seconds)
        if done:
            self.kills.at_steps[f"{process.service}:{step}"] += 1
            return True
        process.control.disarm()
        await self.kill(process)
        return False

    async def kill(self, process: Process) -> None:
        """Kills the process wherever it is."""
        child = process.child
        if child is None or child.ended.done():
            return
        child.kill()
        await asyncio.shield(child.ended)
        self.kills.anywhere[process.service] += 1

    async def leave(self, process: Process) -> int:
        """Tells the process to end as a deploy does; returns its exit code. It is started again by itself."""
        child = process.child
        if child is None:
            return 0
        child.kill(signal.SIGTERM)
        done, _ = await asyncio.wait({child.ended}, timeout=_LEAVES_WITHIN_SECONDS)
        if not done:
            self.unexpected.append(f"{process.name} did not leave within {_LEAVES_WITHIN_SECONDS} s")
            child.kill()
            return await asyncio.shield(child.ended)
        return child.ended.result()

    async def ready(self) -> None:
        """Waits until both edges say that they are ready. Raises RuntimeError."""
        deadline = time.monotonic() + _READY_SECONDS
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            for number in REPLICAS:
                url = f"http://127.0.0.1:{self.processes[f'edge{number}'].port}/readyz"
                while not await _answers(client, url):
                    if time.monotonic() > deadline:
                        raise RuntimeError(f"edge{number} is not ready:\n{self.logs()}")
                    await asyncio.sleep(0.05)

    def logs(self, characters: int = 2_000) -> str:
        """The ends of all logs."""
        pieces = []
        for process in self.processes.values():
            text = process.log.read_text("utf-8", "replace") if process.log.exists() else ""
            pieces.append(f"--- {process.name}\n{text[-characters:]}")
        return "\n".join(pieces)

    async def stop(self) -> None:
        """Ends everything."""
        self._closing = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await self._forks.stop()
        for proxy in self.proxies.values():
            await proxy.stop()
        for process in self.processes.values():
            process.control.close()


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False

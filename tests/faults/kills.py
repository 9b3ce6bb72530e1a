"""The fault of all faults: processes are killed at the steps of their work, one after the other, while it goes on."""

import asyncio
import random
import time

from faults.replicas import REPLICAS, Services

AT_ONCE = 3
_COMES_THERE_SECONDS = 1.5
_SETTLED_SECONDS = 0.15
_MOST_PASSINGS = 3


class Reaper:
    """Kills at the steps that were tried least, at most three processes at a time, never both of a service.

    With `only`, processes of that service alone.
    """

    def __init__(self, services: Services, rng: random.Random, only: str = "") -> None:
        self._services = services
        self._rng = rng
        self._only = only
        self._busy: set[str] = set()
        self._tried: dict[tuple[str, str], int] = {}

    async def reap(self, seconds: float) -> None:
        """Kills until time is up."""
        ends_at = time.monotonic() + seconds
        await asyncio.gather(*(self._reap(ends_at) for _ in range(AT_ONCE)))

    async def _reap(self, ends_at: float) -> None:
        while time.monotonic() < ends_at:
            found = self._choose()
            if found is None:
                await asyncio.sleep(0.02)
                continue
            service, step = found
            self._busy.add(service)
            try:
                await self._kill(service, step)
            finally:
                self._busy.discard(service)

    def _choose(self) -> tuple[str, str] | None:
        """The service and step tried least so far, of the services nobody is at."""
        free = [
            (self._tried.get((service, step), 0), self._rng.random(), service, step)
            for service, steps in self._services.steps.items()
            if service not in self._busy and self._only in ("", service)
            for step in steps
        ]
        if not free:
            return None
        _, _, service, step = min(free)
        self._tried[service, step] = self._tried.get((service, step), 0) + 1
        return service, step

    async def _kill(self, service: str, step: str) -> None:
        process = self._services.processes[f"{service}{self._rng.choice(REPLICAS)}"]
        await asyncio.sleep(max(0.0, process.up_since + _SETTLED_SECONDS - time.monotonic()))
        await self._services.kill_at(
            process, step, self._rng.randint(1, _MOST_PASSINGS), _COMES_THERE_SECONDS
        )

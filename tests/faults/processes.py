"""The harness's side of the fork server: starts services as processes, and learns when and how they ended."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.code_steps import ROOT

_PATHS = (ROOT, ROOT / "tests", ROOT / "proto/gen")


@dataclass(slots=True, eq=False)
class Child:
    """One running process. `ended` holds its exit code: minus the signal's number, if a signal ended it."""

    pid: int
    ended: asyncio.Future[int]

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends it a signal, if it is still there."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ForkServer:
    """Starts processes, with some of their constants changed. `start` before use; `stop` ends all that it started."""

    def __init__(self, changes: Mapping[str, float | str]) -> None:
        self._changes = dict(changes)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._orders: deque[asyncio.Future[Child]] = deque()
        self._children: dict[int, Child] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Returns when everything is loaded."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(path) for path in _PATHS),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "faults.fork_server", cwd=ROOT, env=environment, stdin=-1, stdout=-1
        )
        self._reader = asyncio.create_task(self._read())
        await self._ready

    async def spawn(
        self, service: str, environ: dict[str, str], log: Path, control: Path, steps: list[str]
    ) -> Child:
        """A new process of a service; it has been started, and need not be ready yet."""
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the fork server was not started")
        answer: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._orders.append(answer)
        order = {
            "service": service,
            "environ": environ,
            "log": str(log),
            "control": str(control),
            "steps": steps,
            "changes": self._changes,
        }
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await answer

    async def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        while line := await self._process.stdout.readline():
            self._take(json.loads(line))
        for order in self._orders:
            if not order.done():
                order.set_exception(RuntimeError("the fork server ended"))
        if not self._ready.done():
            self._ready.set_exception(RuntimeError("the fork server did not start"))

    def _take(self, said: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        if "ready" in said:
            self._ready.set_result(None)
        elif "started" in said:
            child = Child(said["started"], loop.create_future())
            self._children[child.pid] = child
            ordered = self._orders.popleft()
            # Whoever ordered it may have given up meanwhile.
            if not ordered.done():
                ordered.set_result(child)
        elif said["ended"] in self._children:
            self._children.pop(said["ended"]).ended.set_result(said["code"])

    async def stop(self) -> None:
        """Ends the server and, with it, whatever still runs."""
        if self._process is None or self._process.stdin is None:
            return
        for child in list(self._children.values()):
            child.kill()
        self._process.stdin.close()
        await self._process.wait()
        if self._reader is not None:
            await self._reader

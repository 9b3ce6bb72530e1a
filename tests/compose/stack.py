"""The compose stack as an operator runs it: up, commands inside, kills, stops, what a container really may."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("edge-1", "edge-2", "policycore-1", "policycore-2", "sender-1", "sender-2")
LONG_RUNNING = ("proxy", *SERVICES, "postgres", "redis")
ONCE = ("certificates", "migrate")


def compose_command() -> list[str]:
    """Compose 2 if Docker has it, else Compose 1."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise SystemExit("There is neither `docker compose` nor `docker-compose` here.")


class Stack:
    """One project of the compose file. `secrets` and `settings` are its variables."""

    def __init__(self, project: str, variables: Mapping[str, str]) -> None:
        self._command = [*compose_command(), "--project-name", project]
        self._environ = {**os.environ, **variables}

    def compose(self, *arguments: str, timeout: float = 600) -> str:
        """Standard output of a compose command; ends the program if it fails."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._environ,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=timeout,
        )
        if done.returncode != 0:
            raise SystemExit(f"compose {' '.join(arguments)} failed with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def hubgate(self, *arguments: str) -> Any:
        """The JSON answer of the command line, run in a container of its own."""
        return json.loads(self.compose("run", "--rm", "-T", "hubgate", *arguments, "--json"))

    def container(self, service: str) -> str:
        """The id of a service's one container, running or not."""
        wanted = subprocess.run(
            [*self._command, "ps", "-q", *(["-a"] if self._command[1] == "compose" else []), service],
            cwd=ROOT,
            env=self._environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        if len(wanted) != 1:
            raise SystemExit(f"{service} has {len(wanted)} containers")
        return wanted[0]

    def inspect(self, service: str) -> Any:
        """What Docker knows about the container."""
        return json.loads(docker("inspect", self.container(service)))[0]

    def state(self, service: str) -> str:
        """`healthy`, `unhealthy`, `starting`, or what it is without a health check."""
        state = self.inspect(service)["State"]
        return str(state.get("Health", {}).get("Status") if state["Running"] else state["Status"])

    def wait_healthy(self, services: Sequence[str] = LONG_RUNNING, seconds: float = 180) -> None:
        """Waits until all are healthy."""
        deadline = time.monotonic() + seconds
        while states := {name: state for name in services if (state := self.state(name)) != "healthy"}:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"not healthy after {seconds:g} s: {states}\n{self.compose('logs', '--tail=20')}"
                )
            time.sleep(1)

    def kill(self, service: str) -> None:
        """kill -9, as a crash is to everybody else; Docker leaves it down."""
        docker("kill", "--signal", "KILL", self.container(service))

    def start(self, service: str) -> None:
        """Starts what was killed or stopped, as Docker's restart policy does after a crash of its own."""
        docker("start", self.container(service))

    def stop(self, service: str) -> int:
        """SIGTERM, and time to finish; the exit code."""
        docker("stop", "--time", "40", self.container(service))
        return int(self.inspect(service)["State"]["ExitCode"])


def docker(*arguments: str) -> str:
    """Standard output of a docker command; ends the program if it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"docker {' '.join(arguments)} failed: {done.stderr}")
    return done.stdout

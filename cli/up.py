"""Owns `hubgate up`: the whole product on one machine, three processes over an embedded store."""

import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Core
from cli.data_folder import RUN_FILE, DataFolder, data_folder
from cli.demo import make_demo, print_demo
from cli.errors import CliError, ExitCode
from cli.layout import Layout, make_layout
from cli.output import say, warn
from cli.ready import is_ready
from cli.supervisor import Part, Supervisor

READY_SECONDS = 60.0
_LOOK_SECONDS = 0.05


def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Make, once, a demo account with a sandbox to try it out.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address the edge listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="HUBGATE_PORT", min=1, max=65535, help="Port of the edge.")
    ] = 8080,
    data: Annotated[Path | None, typer.Option(help="Data folder; HUBGATE_DATA or .hubgate.")] = None,
) -> None:
    """Start the whole product here: edge, policy core and sender, with an embedded database. Ctrl-C stops it."""
    folder = DataFolder(data) if data is not None else data_folder(os.environ)
    # Databases and logs are for their owner only, like everything in the folder.
    os.umask(0o077)
    folder.create()
    with folder.locked():
        layout = make_layout(folder, os.environ, host, port, secrets.token_bytes, demo=demo)
        _Run(folder, layout, demo=demo).run()


class _Run:
    """One run of `up`, from the first process to the last."""

    def __init__(self, folder: DataFolder, layout: Layout, *, demo: bool) -> None:
        self._folder = folder
        self._layout = layout
        self._demo = demo
        self._signals = 0
        self._supervisor = Supervisor(tell=warn)

    def run(self) -> None:
        """Runs until a signal. Errors: `CliError`; nothing is left running then."""
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            edge = self._start()
            demo = self._make_demo() if self._demo else None
            # Whoever sees the edge ready may count on the demo: it is released only now.
            edge.release()
            ready = f"{self._layout.base_url}/readyz"
            if self._wait_for(lambda: is_ready(ready, timeout=2)):
                self._say_ready(demo)
            while not self._signals:
                self._supervisor.look()
                time.sleep(_LOOK_SECONDS)
            warn("Stopping: what is under way is finished first. Once more, and it stops at once.")
        finally:
            self._supervisor.stop(at_once=lambda: self._signals > 1)
            (self._folder.path / RUN_FILE).unlink(missing_ok=True)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self) -> Part:
        # In the order of need; the policy core brings its database up to date before it serves.
        self._start_part("sender")
        self._start_part("policycore", migrate=True)
        edge = self._start_part("edge", hold=True)
        self._folder.write_json(
            RUN_FILE,
            {
                "base_url": self._layout.base_url,
                "policycore_address": self._layout.policycore_address,
                "process": os.getpid(),
            },
        )
        return edge

    def _start_part(self, name: str, *, migrate: bool = False, hold: bool = False) -> Part:
        log = self._folder.path / "logs" / f"{name}.log"
        environ = environ_of(name, self._layout.environ)
        part = Part(name, f"{name}.main", environ, log, migrate=migrate, hold=hold)
        return self._supervisor.start(part)

    def _wait_for(self, ready: Callable[[], bool]) -> bool:
        """Watches over the parts until `ready`; False if a signal came first. Errors: `CliError` after a minute."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._signals:
            self._supervisor.look()
            if ready():
                return True
            if time.monotonic() > deadline:
                logs = self._folder.path / "logs"
                raise CliError(
                    ExitCode.PROBLEM, f"Not ready after {READY_SECONDS:g} s; the logs are in {logs}."
                )
            time.sleep(_LOOK_SECONDS)
        return False

    def _make_demo(self) -> dict[str, str] | None:
        core = Core(self._layout.policycore_address, self._layout.admin_token)
        try:
            if self._wait_for(lambda: core.answers(timeout=0.2)):
                return make_demo(core, self._folder, self._layout)
            return None
        finally:
            core.close()

    def _say_ready(self, demo: Mapping[str, str] | None) -> None:
        say(
            f"hubgate is ready at {self._layout.base_url} (data and logs in {self._folder.path}, Ctrl-C stops it)"
        )
        if demo is None:
            say("Next: `hubgate account create NAME` in another terminal, or start it with --demo.")
        else:
            print_demo(demo, open_sandbox=self._layout.environ["HUBGATE_SANDBOX"] == "open")

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self._signals += 1


_OWN_SECRETS = {
    "sender": frozenset({"HUBGATE_SENDER_TOKEN"}),
    "edge": frozenset({"HUBGATE_EDGE_TOKEN"}),
    "policycore": frozenset(
        {
            "HUBGATE_MASTER_KEY",
            "HUBGATE_PERMIT_KEY",
            "HUBGATE_EDGE_TOKEN",
            "HUBGATE_ADMIN_TOKEN",
            "HUBGATE_SENDER_TOKEN",
            "HUBGATE_DATABASE_URL",
            "HUBGATE_REDIS_URL",
        }
    ),
}


def environ_of(part: str, environ: Mapping[str, str]) -> dict[str, str]:
    """A service's environment: everything but the secrets of the others."""
    every_secret = frozenset({"HUBGATE_TOKEN"}).union(*_OWN_SECRETS.values())
    return {name: value for name, value in environ.items() if name not in every_secret - _OWN_SECRETS[part]}

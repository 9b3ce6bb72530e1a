"""Owns the three processes of `hubgate up`: starting, watching, starting again, and stopping them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cli.errors import CliError, ExitCode

STOP_SECONDS = 15.0
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_LIVED_WELL_SECONDS = 30.0
_WRONG_SETTINGS = 2
_LOG_BYTES = 20 * 1024 * 1024
_LOG_CHECK_SECONDS = 10.0


@dataclass(slots=True)
class Part:
    """One service: its module, its environment, and where its output goes."""

    name: str
    module: str
    environ: Mapping[str, str]
    log: Path
    migrate: bool = False
    hold: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    wait_seconds: float = _FIRST_WAIT_SECONDS
    start_again_at: float | None = None

    def start(self, monotonic: Callable[[], float]) -> None:
        """Starts the service in a process group of its own, so that Ctrl-C reaches only `up`."""
        arguments = [sys.executable, "-m", "cli.part", self.module, str(os.getpid())]
        if self.migrate:
            arguments.append("migrate")
        if self.hold:
            arguments.append("hold")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                arguments,
                env=dict(self.environ),
                stdin=subprocess.PIPE if self.hold else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        self.started_at = monotonic()
        self.start_again_at = None

    def release(self) -> None:
        """Lets a part run that was held; from now on it starts without waiting."""
        self.hold = False
        if self.process is not None and self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.write(b"\n")
                self.process.stdin.close()

    def last_words(self, lines: int = 8) -> str:
        """The end of its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 8192))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


@dataclass(slots=True)
class Supervisor:
    """Keeps parts running. `tell` gets one sentence about everything a person should know."""

    tell: Callable[[str], None]
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    parts: list[Part] = field(default_factory=list)
    _logs_checked_at: float = 0.0

    def start(self, part: Part) -> Part:
        """Starts a part and keeps it running from now on."""
        self.parts.append(part)
        part.start(self.monotonic)
        return part

    def look(self) -> None:
        """Starts again what has died and whose time has come.

        Errors: `CliError` if a part says that its settings are wrong: starting it again would not help.
        """
        now = self.monotonic()
        for part in self.parts:
            if part.start_again_at is not None:
                if now >= part.start_again_at:
                    part.start(self.monotonic)
            elif part.process is not None and (code := part.process.poll()) is not None:
                self._plan_restart(part, code, now)
        if now - self._logs_checked_at >= _LOG_CHECK_SECONDS:
            self._logs_checked_at = now
            self._bound_logs()

    def stop(self, *, at_once: Callable[[], bool]) -> None:
        """Stops every part, the last started first, so that each can finish while those it needs still run.

        Whoever takes longer than 15 s in all is killed; so is everyone as soon as `at_once` says so.
        """
        deadline = self.monotonic() + STOP_SECONDS
        for part in reversed(self.parts):
            process = part.process
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            while process.poll() is None and self.monotonic() < deadline and not at_once():
                self.sleep(0.02)
            if process.poll() is None:
                self.tell(f"{part.name} did not stop in time and is killed.")
                _kill_group(process)
                process.wait()

    def _plan_restart(self, part: Part, code: int, now: float) -> None:
        if code == _WRONG_SETTINGS:
            raise CliError(ExitCode.USAGE, f"{part.name} did not start: {part.last_words(1)}")
        if now - part.started_at >= _LIVED_WELL_SECONDS:
            part.wait_seconds = _FIRST_WAIT_SECONDS
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self.tell(
            f"{part.name} ended {how}; it is started again in {part.wait_seconds:g} s."
            f" The end of its log, {part.log}:\n{part.last_words(3)}"
        )
        part.start_again_at = now + part.wait_seconds
        part.wait_seconds = min(part.wait_seconds * 2, _LONGEST_WAIT_SECONDS)

    def _bound_logs(self) -> None:
        for part in self.parts:
            try:
                if part.log.stat().st_size > _LOG_BYTES:
                    # The service goes on appending to the same file, so it is copied and emptied.
                    shutil.copyfile(part.log, part.log.with_suffix(".log.1"))
                    os.truncate(part.log, 0)
            except OSError as error:
                self.tell(f"The log {part.log} could not be shortened: {error.strerror}.")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return

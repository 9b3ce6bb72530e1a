"""Owns the data folder: its lock, and the files in it that only their owner may read.

| File | Holds |
|---|---|
| `master.key` | the key secrets at rest are sealed with; lost with it are the secrets, so keep a copy |
| `permit.key` | the key permits are signed with |
| `edge.token`, `admin.token`, `sender.token` | tokens of the three services' callers |
| `run.json` | where the running product is reached |
| `demo.json` | the demo's ids and secrets |
| `hubgate.db` | the embedded database |
| `logs/` | what the three services wrote |
"""

import base64
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.errors import CliError, ExitCode

RUN_FILE = "run.json"
DEMO_FILE = "demo.json"
ADMIN_TOKEN_FILE = "admin.token"

RandomBytes = Callable[[int], bytes]


class DataFolder:
    """One data folder. Nothing is made before `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def create(self) -> None:
        """Makes the folder, for its owner only. Errors: `CliError`."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            (self.path / "logs").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise CliError(
                ExitCode.USAGE, f"The data folder {self.path} cannot be used: {error.strerror}."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process alone. Errors: `CliError` if another one has it."""
        with (self.path / "up.lock").open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read(20).strip() or "unknown"
                raise CliError(
                    ExitCode.USAGE,
                    f"Another `hubgate up` (process {holder}) uses the data folder {self.path}; stop it first,"
                    " or set HUBGATE_DATA to another folder.",
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def keep(self, name: str, make: Callable[[], str]) -> str:
        """The text of a secret file; made, for its owner only, if it is not there. Errors: `CliError`."""
        path = self.path / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return self._read(path)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            text = make()
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        return text

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON file of this folder, or None if it is not there or not whole."""
        try:
            found = json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Replaces a JSON file in one step; only its owner may read it."""
        path = self.path / name
        beside = path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(values, file, indent=2)
            file.write("\n")
        beside.replace(path)

    def admin_token(self) -> str | None:
        """The administrator's token, if the folder has one that this user may read."""
        # While the token is changed there are two, and the first is the one to show.
        return (self.read_secret(ADMIN_TOKEN_FILE) or "").partition(",")[0].strip() or None

    def read_secret(self, name: str) -> str | None:
        """The text of a secret file, if there is one that this user may read."""
        try:
            return (self.path / name).read_text("utf-8").strip() or None
        except OSError:
            return None

    def _read(self, path: Path) -> str:
        try:
            text = path.read_text("utf-8").strip()
        except OSError as error:
            raise CliError(ExitCode.USAGE, f"{path} cannot be read: {error.strerror}.") from error
        if not text:
            raise CliError(ExitCode.USAGE, f"{path} is empty; delete it to have a new one made.")
        return text


def data_folder(environ: Mapping[str, str]) -> DataFolder:
    """The folder HUBGATE_DATA names, or `.hubgate`."""
    return DataFolder(Path(environ.get("HUBGATE_DATA", "").strip() or ".hubgate"))


def new_key(random_bytes: RandomBytes) -> str:
    """32 random bytes in base64."""
    return base64.b64encode(random_bytes(32)).decode("ascii")


def new_permit_key(random_bytes: RandomBytes) -> str:
    """A key for permits: a name of its own, a colon and the seed in base64."""
    return f"k{random_bytes(4).hex()}:{new_key(random_bytes)}"


def new_token(random_bytes: RandomBytes) -> str:
    """A token with 256 random bits."""
    return base64.urlsafe_b64encode(random_bytes(32)).rstrip(b"=").decode("ascii")

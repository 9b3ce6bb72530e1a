"""Owns the embedded database as a file: having it to oneself, and reading its rows as PostgreSQL keeps them."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Float, LargeBinary, String, Table
from sqlalchemy.engine import make_url

from policycore.store import migrate
from policycore.store.store_errors import StoreRefused

_WAIT_SECONDS = 1.0
_UNKEEPABLE = "\x00"
_IN_ITS_PLACE = "\ufffd"

Row = tuple[Any, ...]


def place_of(url: str) -> Path:
    """Where the file of an embedded store is, or would be. Errors: `StoreRefused` if the URL names none."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise StoreRefused("This works on an embedded store (sqlite:///…) only.")
    return Path(parsed.database).absolute()


def path_of(url: str) -> Path:
    """The file of an embedded store. Errors: `StoreRefused` if the URL names none, or there is none."""
    path = place_of(url)
    if not path.is_file():
        raise StoreRefused(f"There is no embedded store at {path}.")
    return path


@contextmanager
def alone_with(path: Path) -> Iterator[sqlite3.Connection]:
    """The open store, which nobody else has open or can open meanwhile; in a transaction that the caller commits.

    Errors: `StoreRefused` if a service has it open, `sqlite3.Error` if it is no database.
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=_WAIT_SECONDS, isolation_level=None
    )
    try:
        # Exclusive before the first access: the lock is then on the file itself, and every open connection has a part
        # of that, whether it works or not (https://www.sqlite.org/wal.html#noshm).
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise StoreRefused(f"A service still uses {path}; stop the services first.") from None
        yield connection
    finally:
        connection.close()


def check_revision(connection: sqlite3.Connection) -> None:
    """Errors: `StoreRefused` if the store's schema is not this version's."""
    found = ""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        found = str((connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",))[0])
    if found != migrate.newest():
        raise StoreRefused(
            f"The embedded store's schema is at {found or 'nothing'}, and this version works on {migrate.newest()};"
            " run `hubgate migrate` on it first."
        )


class TableReader:
    """The rows of one table, in batches, as PostgreSQL keeps them. `replaced` counts texts that held a NUL."""

    def __init__(self, connection: sqlite3.Connection, table: Table) -> None:
        self._connection = connection
        self._table = table
        self._changes = [(place, change) for place, change in enumerate(self._conversions()) if change]
        self.replaced = 0

    def count(self) -> int:
        """How many rows there are."""
        return int(self._connection.execute(f'SELECT count(*) FROM "{self._table.name}"').fetchone()[0])  # noqa: S608

    def batches(self, size: int) -> Iterator[Sequence[Row]]:
        """The rows, by `size`; each has its columns in the table's order."""
        columns = ", ".join(f'"{column.name}"' for column in self._table.columns)
        cursor = self._connection.execute(f'SELECT {columns} FROM "{self._table.name}"')  # noqa: S608 - our own names
        while rows := cursor.fetchmany(size):
            yield [self._converted(row) for row in rows]

    def _converted(self, row: Row) -> Row:
        values = list(row)
        for place, change in self._changes:
            if values[place] is not None:
                values[place] = change(values[place])
        return tuple(values)

    def _conversions(self) -> list[Callable[[Any], Any] | None]:
        kinds: list[tuple[type[Any], Callable[[Any], Any]]] = [
            (Boolean, bool),
            (Float, float),
            (LargeBinary, bytes),
            (String, self._text),
        ]
        return [
            next((change for kind, change in kinds if isinstance(column.type, kind)), None)
            for column in self._table.columns
        ]

    def _text(self, value: str) -> str:
        if _UNKEEPABLE not in value:
            return value
        self.replaced += 1
        return value.replace(_UNKEEPABLE, _IN_ITS_PLACE)

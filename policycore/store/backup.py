"""Owns copies of the embedded store: making one while services work, and putting one back.

PostgreSQL has tools of its own for both; see docs/backup.md.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from policycore.ids import RandomBytes
from policycore.store.embedded_file import alone_with, path_of, place_of
from policycore.store.restoring import Fences, Restored, declare_moved, declare_restored
from policycore.store.store_errors import StoreDiffers, StoreRefused

_LOOK_SECONDS = 0.2

Progress = Callable[[str, str, int, int], None]
"""Called with what is done, to which file, and the bytes done and expected in all."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A back-up that is whole and on the disk."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PutBack:
    """A store that was put back. `replaced` is where the one before is now."""

    restored: Restored | None
    replaced: Path | None


async def back_up(url: str, file: Path, now: datetime, progress: Progress) -> BackedUp:
    """Writes one consistent state of the embedded store into a new file, while services work on it.

    Nobody can mistake the file for the store: a service that is started on it says what it is. Errors: `StoreRefused`
    if the file is there already, `StoreDiffers` if the copy is not sound, `sqlite3.Error`, `OSError`.
    """
    source = path_of(url)
    part = _begin(file)
    try:
        copying = asyncio.create_task(asyncio.to_thread(_copy, source, part))
        while not copying.done():
            await asyncio.wait([copying], timeout=_LOOK_SECONDS)
            progress("copying to", file.name, _size(part), _size(source))
        copying.result()
        await asyncio.to_thread(_close, part, now)
        _finish(part, file)
    finally:
        part.unlink(missing_ok=True)
    size = _size(file)
    progress("copying to", file.name, size, size)
    return BackedUp(file, size)


def _begin(file: Path) -> Path:
    if file.exists():
        raise StoreRefused(f"{file} is there already.")
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    _make(part)
    return part


def _make(path: Path) -> None:
    """It will hold what the store holds: it is for its owner only, from the first byte on."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _finish(part: Path, file: Path) -> None:
    part.rename(file)
    _sync(file.parent)


def _size(path: Path) -> int:
    return path.stat().st_size


async def put_back(
    url: str, file: Path, now: datetime, fences: Fences | None, random_bytes: RandomBytes
) -> PutBack:
    """Puts a back-up in the place of the embedded store at `url`; the one that was there is kept beside it. With
    `fences` it is declared restored first; without, that nothing was lost.

    Errors: `StoreRefused` if a service uses the store or the file is no back-up; those of SQLite and the system. The
    store is then as it was.
    """
    _require_back_up(file)
    path = place_of(url)
    fresh = path.with_name(path.name + ".restoring")
    _remove(fresh)
    try:
        _lay(file, fresh)
        restored = await _declare(f"sqlite+aiosqlite:///{fresh}", fences, random_bytes)
        with closing(sqlite3.connect(fresh)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        _sync(fresh)
        replaced = _exchange(path, fresh, now)
    finally:
        _remove(fresh)
    _sync(path.parent)
    return PutBack(restored, replaced)


def _lay(file: Path, fresh: Path) -> None:
    fresh.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make(fresh)
    shutil.copyfile(file, fresh)


def _remove(path: Path) -> None:
    for name in (path, *_beside(path)):
        name.unlink(missing_ok=True)


async def _declare(url: str, fences: Fences | None, random_bytes: RandomBytes) -> Restored | None:
    if fences is None:
        await declare_moved(url)
        return None
    return await declare_restored(url, fences, random_bytes)


def _exchange(path: Path, fresh: Path, now: datetime) -> Path | None:
    if not path.exists():
        for name in _beside(path):
            name.unlink(missing_ok=True)
        fresh.rename(path)
        return None
    kept = path.with_name(f"{path.name}.replaced-{now:%Y%m%d-%H%M%S-%f}")
    with alone_with(path) as store:
        store.execute("COMMIT")
        # What is in the journal goes into the file: beside another file it would spoil that one.
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.execute("PRAGMA journal_mode=DELETE")
        os.link(path, kept)
        fresh.replace(path)
    for name in _beside(path):
        name.unlink(missing_ok=True)
    return kept


def _copy(source: Path, part: Path) -> None:
    """One read transaction: writers go on, and what they write is not in the copy."""
    with closing(
        sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)
    ) as store:
        store.execute("VACUUM INTO ?", (str(part),))


def _close(part: Path, now: datetime) -> None:
    """Looks whether the copy is sound, and writes into it that it is one."""
    with closing(sqlite3.connect(part)) as copy:
        found = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            raise StoreDiffers(f"The copy is not sound: {found}.")
        sentence = (
            f"This is a back-up of {now:%Y-%m-%d %H:%M:%S}Z; `hubgate store restore` puts it in its place."
        )
        copy.execute("UPDATE store_state SET fence = ? WHERE id = 1", (sentence,))
        copy.commit()
    _sync(part)


def _require_back_up(file: Path) -> None:
    if not file.is_file():
        raise StoreRefused(f"There is no back-up at {file}.")
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as copy:
            fence = copy.execute("SELECT fence FROM store_state WHERE id = 1").fetchone()
    except sqlite3.DatabaseError:
        fence = None
    if fence is None or not fence[0]:
        raise StoreRefused(f"{file} is no back-up that `hubgate store backup` made.")


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def _sync(path: Path) -> None:
    """Has a file, or the names in a folder, on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A process's copy of the configuration: exact in transactions, at most half a second old outside them."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.errors import PolicyCoreError
from policycore.registry.changes import ConfigChanges
from policycore.registry.snapshot import Snapshot
from policycore.store.config_reader import Unseal, read_moment, read_snapshot
from policycore.store.engine import Database

_log = structlog.get_logger(__name__)


class ConfigCache:
    """Holds the newest snapshot. `at` is for transactions, `current` for everything else.

    A background task compares versions twice a second, so that changes made by another process are seen, and
    remembers when it last could: whoever must not act on old knowledge asks `age_seconds`.
    """

    def __init__(
        self,
        database: Database,
        unseal: Unseal,
        changes: ConfigChanges,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._unseal = unseal
        self._changes = changes
        self._clock = clock
        self._monotonic = monotonic
        self._snapshot: Snapshot | None = None
        self._confirmed_at = float("-inf")
        self._moment: tuple[datetime, float] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._published = ConfigChanges()
        self.subscribers: list[Callable[[], None]] = []

    def current(self) -> Snapshot:
        """The newest snapshot known here."""
        if self._snapshot is None:
            raise RuntimeError("the configuration was not loaded before it was used")
        return self._snapshot

    def age_seconds(self) -> float:
        """Seconds since this copy was last known to be the newest."""
        return self._monotonic() - self._confirmed_at

    def database_now(self) -> datetime:
        """The database's clock: as it was last read, at most about half a second ago, and has moved on since."""
        if self._moment is None:
            raise RuntimeError("the database's clock was not read before it was used")
        read, at = self._moment
        return read + timedelta(seconds=self._monotonic() - at)

    async def at(self, connection: AsyncConnection) -> tuple[datetime, Snapshot]:
        """The database's clock, and the configuration that is true in this transaction; read again if its
        version moved.
        """
        started = self._monotonic()
        now, version = await read_moment(connection, self._clock)
        return now, await self.confirmed(connection, now, version, started)

    async def confirmed(
        self, connection: AsyncConnection, now: datetime, version: int, asked_at: float
    ) -> Snapshot:
        """The configuration that is true in a transaction which found this `version` when the database's clock was
        `now`; it asked at `asked_at` seconds of the clock that never runs backwards.
        """
        self._moment = (now, self._monotonic())
        if self._snapshot is None or self._snapshot.version != version:
            await self._replace(connection)
        self._confirmed_at = max(self._confirmed_at, asked_at)
        return self.current()

    def seconds(self) -> float:
        """The clock that never runs backwards."""
        return self._monotonic()

    async def _replace(self, connection: AsyncConnection) -> None:
        fresh = await read_snapshot(connection, self._unseal, self._clock())
        # A rolled-back or older transaction must not put an older picture in the place of a newer one.
        if self._snapshot is None or fresh.version >= self._snapshot.version:
            self._snapshot = fresh
        self._published.notify()
        for told in self.subscribers:
            told()

    async def refresh(self) -> Snapshot:
        """Reads the newest configuration now."""
        async with self._database.reading() as connection:
            return (await self.at(connection))[1]

    async def wait(self, seconds: float) -> bool:
        """Returns True when another snapshot was put in place, or False after `seconds`."""
        return await self._published.wait(seconds)

    async def start(self) -> None:
        """Loads the configuration and begins to watch it."""
        await self.refresh()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ends the watching."""
        if self._watcher is not None:
            self._watcher.cancel()
            # A statement that is stuck in the database must not hold up the end.
            await asyncio.wait([self._watcher], timeout=2.0)

    async def _watch(self) -> None:
        while True:
            await self._changes.wait(0.5)
            try:
                async with asyncio.timeout(5):
                    await self.refresh()
            except (PolicyCoreError, SQLAlchemyError, OSError, TimeoutError) as error:
                _log.warning("configuration.unreadable", error=type(error).__name__)
                await asyncio.sleep(0.2)

"""Does on PostgreSQL, while the product runs, what a migration could only do under a lock that stops everybody.

Each step is a statement of its own and blocks no reader and no writer for longer than a moment. All are undone again if
the migration does not follow.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from policycore.store.types import to_microseconds

_TURN = 0x6F6E6C696E65
"""PostgreSQL advisory lock ("online" in ASCII): one migrator at a time takes these steps."""

_LEAST_AHEAD = timedelta(days=28)
"""So long the check on the policy log is true at least: if the migration never comes, somebody has time to see it."""

_LOCK_WAIT = "5s"
_BOUND = "decisions_before_"
_INDEXES = {
    "ix_decisions_integration": "decisions (integration_id, log_id)",
    "ix_outbox_integration": "outbox (integration_id, number)",
    "ix_conversation_bindings_person_id": "conversation_bindings (person_id)",
}
"""Before 0004."""

_OUTBOX_INDEXES = {
    "ix_outbox_waiting_webhook": (
        "outbox (webhook_id, number) WHERE state = 'pending' AND webhook_id IS NOT NULL"
    ),
    "ix_outbox_waiting_integration": (
        "outbox (integration_id, number) WHERE state = 'pending' AND integration_id IS NOT NULL"
    ),
    "ix_outbox_given_up": "outbox (settled_at) WHERE state IN ('failed', 'blocked')",
}
"""Before 0006."""

_WINDOW_INDEXES = {"ix_windows_last_inbound_at": "windows (last_inbound_at)"}
"""Before 0012."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def prepared(
    url: str, revision: str | None, clock: Callable[[], datetime] = _utc_now
) -> AsyncIterator[None]:
    """The steps before the migrations that follow `revision`; if those fail, what would do harm is taken away again.

    Errors: SQLAlchemy's `DBAPIError` if the database cannot be reached or a lock not be had.
    """
    if revision is None or revision >= "0012":
        yield
        return
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await _take_turn(connection)
            if await _is_ordinary(connection):
                await _build_indexes(connection, _INDEXES)
                await _bound_log(connection, clock())
            if revision < "0006":
                await _build_indexes(connection, _OUTBOX_INDEXES)
            await _build_indexes(connection, _WINDOW_INDEXES)
            try:
                yield
            except BaseException:
                await _forget_bounds(connection)
                raise
    finally:
        await engine.dispose()


async def _take_turn(connection: AsyncConnection) -> None:
    """Waits without a snapshot: building an index waits for everybody who has one, this migrator's rival included.

    The turn ends with the connection, when the migration is over: a rival who came in between would take away the check
    that this one relies on.
    """
    mine = text(f"SELECT pg_try_advisory_lock({_TURN})")
    while not await connection.scalar(mine):  # noqa: ASYNC110 - whoever has it is another process
        await asyncio.sleep(0.2)


async def _is_ordinary(connection: AsyncConnection) -> bool:
    found = await connection.scalar(text("SELECT relkind FROM pg_class WHERE oid = to_regclass('decisions')"))
    return found in ("r", b"r")


async def _build_indexes(connection: AsyncConnection, wanted: Mapping[str, str]) -> None:
    """Waits for transactions that are under way, however long; nobody waits for this."""
    for index, place in wanted.items():
        valid = await connection.scalar(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)"), {"index": index}
        )
        if valid is False:
            await connection.execute(text(f"DROP INDEX CONCURRENTLY {index}"))
        if not valid:
            await connection.execute(text(f"CREATE INDEX CONCURRENTLY {index} ON {place}"))


async def _bound_log(connection: AsyncConnection, now: datetime) -> None:
    await _forget_bounds(connection)
    bound = to_microseconds(_next_month(now + _LEAST_AHEAD))
    check = f"ADD CONSTRAINT {_BOUND}{bound} CHECK (decided_at < {bound}) NOT VALID"
    await connection.execute(text(f"ALTER TABLE decisions {check}"))
    await connection.execute(text(f"ALTER TABLE decisions VALIDATE CONSTRAINT {_BOUND}{bound}"))


async def _forget_bounds(connection: AsyncConnection) -> None:
    """A check that is left behind would refuse decisions once its moment has come."""
    await connection.execute(text(f"SET lock_timeout = '{_LOCK_WAIT}'"))
    if not await _is_ordinary(connection):
        return
    names = await connection.scalars(
        text(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'decisions'::regclass AND contype = 'c'"
            " AND starts_with(conname, :beginning)"
        ),
        {"beginning": _BOUND},
    )
    for name in names.all():
        await connection.execute(text(f"ALTER TABLE decisions DROP CONSTRAINT {name}"))


def _next_month(moment: datetime) -> datetime:
    return (moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(
        day=1
    )

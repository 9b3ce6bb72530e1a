"""The outbox: which rows are due, who holds them, and what became of them.

A *line* is the pending rows of one destination and one person, oldest first; only its head is leased. A row
that was set
aside stands outside its line: it is leased when it is due, and holds up nobody. It is marked by `settled_at`
on a row that
is still pending. A destination is an integration or a customer webhook; their ids never collide.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ports import OutboxRow, OutboxSettlement
from policycore.store.engine import Database
from policycore.store.outbox_lines import OutboxLines
from policycore.store.tables import outbox
from policycore.store.types import Instant, to_microseconds

SET_ASIDE = "set_aside"
"""The state of a settlement that keeps its row pending but takes it out of its line."""

HELD_BY_ONE_DESTINATION = 16
"""At most so many rows of one destination are under lease at once, over all processes."""

_PENDING = "pending"
_COLUMNS = (
    outbox.c.number,
    outbox.c.id,
    outbox.c.account_id,
    outbox.c.integration_id,
    outbox.c.webhook_id,
    outbox.c.person_id,
    outbox.c.event_name,
    outbox.c.body,
    outbox.c.attempts,
    outbox.c.created_at,
    outbox.c.leased_until,
)


class SqlOutbox:
    """Implements `OutboxStore`. Time is the database's."""

    def __init__(self, database: Database, held_by_one_destination: int = HELD_BY_ONE_DESTINATION) -> None:
        self._database = database
        self._most_held = held_by_one_destination
        self._lines = OutboxLines(held_by_one_destination)

    async def lease(self, limit: int, seconds: float, without: Collection[str] = ()) -> list[OutboxRow]:
        """Leases at most `limit` due rows for `seconds`, oldest first; none of the destinations in `without`."""
        # Candidates are found without a lock; whoever was quicker is seen when they are locked.
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            numbers = await self._candidates(connection, now, limit, without)
        if not numbers:
            return []
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            wanted = select(outbox.c.number).where(outbox.c.number.in_(numbers), _free(now))
            statement = (
                update(outbox)
                .where(outbox.c.number.in_(wanted.with_for_update(skip_locked=True)))
                .values(leased_until=now + timedelta(seconds=seconds))
                .returning(*_COLUMNS)
            )
            rows = (await connection.execute(statement)).all()
        return sorted((OutboxRow(*row) for row in rows), key=lambda row: row.number)

    async def extend(self, leases: Mapping[int, datetime], seconds: float) -> dict[int, datetime]:
        """Lets leases last for `seconds` from now. `leases` says of each row until when it was ours; a row whose lease
        ended, or was taken over, is left out of what is returned: until when each is ours now.
        """
        by_end: dict[datetime, list[int]] = {}
        for number, end in leases.items():
            by_end.setdefault(end, []).append(number)
        kept: set[int] = set()
        async with self._database.transaction() as connection:
            until = await self._database.now(connection) + timedelta(seconds=seconds)
            for end, numbers in sorted(by_end.items()):
                mine = (outbox.c.number.in_(sorted(numbers)), outbox.c.leased_until == end, _is_pending())
                extended = update(outbox).where(*mine).values(leased_until=until).returning(outbox.c.number)
                kept.update((await connection.execute(extended)).scalars())
        return dict.fromkeys(kept, until)

    async def settle(self, settlements: Sequence[OutboxSettlement]) -> None:
        """Records what became of leased rows, in one transaction.

        A row that was settled meanwhile by whoever leased it after us keeps what that one said, unless ours
        was
        delivered: that is a fact. A state of `set_aside` leaves the row pending and takes it out of its line.
        """
        if not settlements:
            return
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            # One order for all, so that two processes never wait for each other.
            ordered = sorted(settlements, key=lambda settlement: settlement.number)
            await connection.execute(_SETTLE, [_settlement_values(each, now) for each in ordered])

    async def wake_destination(self, *, integration_id: str | None, webhook_id: str | None) -> int:
        """Makes everything that waits in line for a destination due now; returns how many rows.

        A row that was set aside keeps its own time: the destination was well when it failed.
        """
        if webhook_id is not None:
            its_own: tuple[ColumnElement[bool], ...] = (outbox.c.webhook_id == webhook_id,)
        else:
            its_own = (outbox.c.integration_id == integration_id, outbox.c.webhook_id.is_(None))
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            woken = await connection.execute(
                update(outbox)
                .where(
                    _is_pending(),
                    outbox.c.next_attempt_at > now,
                    *its_own,
                    outbox.c.settled_at.is_(None),
                )
                .values(next_attempt_at=now)
            )
            return woken.rowcount

    async def next_due_seconds(self, without: Collection[str] = ()) -> float | None:
        """Seconds until the next row may be leased (0 if one may now), or None if none waits; but for the destinations
        in `without`.
        """
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            if self._database.is_postgres:
                due = await self._lines.first_due(connection, now, without)
                return None if due is None else max(0.0, (due - to_microseconds(now)) / 1_000_000)
            line = _line(now).subquery("line")
            free_at = case(
                (line.c.leased_until > line.c.next_attempt_at, line.c.leased_until),
                else_=line.c.next_attempt_at,
            )
            first: datetime | None = (
                await connection.execute(
                    select(func.min(free_at, type_=Instant)).where(_may_go(line), _not_of(line, without))
                )
            ).scalar_one()
        return None if first is None else max(0.0, (first - now).total_seconds())

    async def _candidates(
        self, connection: AsyncConnection, now: datetime, limit: int, without: Collection[str]
    ) -> list[int]:
        if self._database.is_postgres:
            return await self._lines.candidates(connection, now, limit, without)
        line = _line(now).cte("line")
        ranked = (
            select(
                line.c.number,
                line.c.held,
                func.row_number().over(partition_by=line.c.destination, order_by=line.c.number).label("rank"),
            )
            .where(
                _may_go(line),
                _not_of(line, without),
                line.c.next_attempt_at <= now,
                or_(line.c.leased_until.is_(None), line.c.leased_until <= now),
            )
            .subquery("ranked")
        )
        statement = (
            select(ranked.c.number)
            .where(ranked.c.rank + ranked.c.held <= self._most_held)
            .order_by(ranked.c.number)
            .limit(limit)
        )
        return list((await connection.execute(statement)).scalars())


async def count_given_up(connection: AsyncConnection, since: datetime) -> int:
    """How many deliveries failed for good or were blocked since then, and were neither replayed nor discarded."""
    # Written out, so that PostgreSQL sees that the partial index serves.
    given_up = [literal(state, literal_execute=True) for state in ("failed", "blocked")]
    query = select(func.count()).where(outbox.c.state.in_(given_up), outbox.c.settled_at > since)
    return (await connection.execute(query)).scalar_one()


def _destination() -> ColumnElement[Any]:
    return func.coalesce(outbox.c.webhook_id, outbox.c.integration_id)


def _is_pending() -> ColumnElement[bool]:
    # Written out, so that PostgreSQL sees that the partial index serves.
    return outbox.c.state == literal(_PENDING, literal_execute=True)


def _free(now: datetime) -> ColumnElement[bool]:
    return and_(
        _is_pending(),
        outbox.c.next_attempt_at <= now,
        or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= now),
    )


def _line(now: datetime) -> Select[Any]:
    """Every pending row with the head of its line and how many of its destination are under lease.

    SQLite's way, for one process and a modest outbox; PostgreSQL's is in `outbox_lines`.
    """
    destination = _destination()
    in_line = case((outbox.c.settled_at.is_(None), outbox.c.number))
    leased = case((outbox.c.leased_until > now, 1), else_=0)
    return select(
        outbox.c.number,
        outbox.c.person_id,
        outbox.c.settled_at,
        outbox.c.next_attempt_at,
        outbox.c.leased_until,
        destination.label("destination"),
        func.min(in_line).over(partition_by=(destination, outbox.c.person_id)).label("head"),
        func.sum(leased).over(partition_by=destination).label("held"),
    ).where(_is_pending())


def _may_go(line: CTE | Subquery) -> ColumnElement[bool]:
    """Heads of lines, rows that were set aside, and rows that concern no person."""
    return or_(line.c.settled_at.is_not(None), line.c.person_id.is_(None), line.c.number == line.c.head)


def _not_of(line: CTE | Subquery, without: Collection[str]) -> ColumnElement[bool]:
    return line.c.destination.not_in(sorted(without))


_SETTLE = (
    update(outbox)
    .where(
        outbox.c.number == bindparam("b_number"),
        outbox.c.state == _PENDING,
        or_(bindparam("b_state") == "sent", outbox.c.attempts <= bindparam("b_attempts")),
    )
    .values(
        state=bindparam("b_state"),
        attempts=bindparam("b_attempts"),
        next_attempt_at=bindparam("b_next_attempt_at", type_=Instant),
        leased_until=None,
        last_http_status=bindparam("b_http_status"),
        last_error=bindparam("b_error"),
        settled_at=case(
            (bindparam("b_ends") == 1, bindparam("b_now", type_=Instant)), else_=outbox.c.settled_at
        ),
    )
)


def _settlement_values(settlement: OutboxSettlement, now: datetime) -> dict[str, Any]:
    return {
        "b_number": settlement.number,
        "b_state": _PENDING if settlement.state == SET_ASIDE else settlement.state,
        "b_ends": 0 if settlement.state == _PENDING else 1,
        "b_attempts": settlement.attempts,
        "b_next_attempt_at": settlement.next_attempt_at,
        "b_http_status": settlement.http_status,
        "b_error": settlement.error,
        "b_now": now,
    }

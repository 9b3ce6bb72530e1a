"""Finds on PostgreSQL which rows of the outbox may go, at a cost that does not grow with what waits for one of them.

Every destination that something waits for is found by one look into an index, and of each only its oldest rows are
read: the head of a line is always among the oldest, so a row that is found to be a head is one. Where the oldest rows
of a destination are all waiting for one that failed, younger lines of it are not seen by this; one such destination
is looked through further from time to time.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.store.types import to_microseconds

OLDEST: Final = 128
"""So many rows of each destination are looked at."""

FURTHER: Final = 20_000
"""So many of one that gave nothing."""

FURTHER_EVERY: Final = timedelta(seconds=10)

_DESTINATIONS: Final = """
{name}(id) AS (
    (SELECT {column} FROM outbox WHERE state = 'pending' AND {column} IS NOT NULL ORDER BY {column} LIMIT 1)
    UNION ALL
    SELECT (
        SELECT {column} FROM outbox WHERE state = 'pending' AND {column} > {name}.id ORDER BY {column} LIMIT 1
    ) FROM {name} WHERE {name}.id IS NOT NULL
)"""

# Not "=", and ordered by both: for one value and by number alone, PostgreSQL may read the whole table in the order of
# its primary key, in the hope of finding enough rows early.
_OLDEST_OF: Final = """
    SELECT {name}.id AS destination, waiting.*
    FROM {name} CROSS JOIN LATERAL (
        SELECT number, person_id, settled_at, next_attempt_at, coalesce(leased_until, 0) AS leased_until
        FROM outbox
        WHERE state = 'pending' AND {column} >= {name}.id AND {column} <= {name}.id{more}
        ORDER BY {column}, number LIMIT :oldest
    ) AS waiting
    WHERE {name}.id IS NOT NULL AND {name}.id <> ALL (CAST(:without AS text[]))"""

_LINES: Final = """
lines AS (
    SELECT *,
        min(number) FILTER (WHERE settled_at IS NULL) OVER (PARTITION BY destination, person_id) AS head,
        count(*) FILTER (WHERE leased_until > :now) OVER (PARTITION BY destination) AS held,
        count(*) OVER (PARTITION BY destination) AS seen
    FROM oldest
), going AS (
    SELECT destination, number, held, seen, greatest(next_attempt_at, leased_until) AS free_at
    FROM lines WHERE settled_at IS NOT NULL OR person_id IS NULL OR number = head
)"""

_BOTH: Final = (
    {"name": "webhooks", "column": "webhook_id", "more": ""},
    {"name": "integrations", "column": "integration_id", "more": " AND webhook_id IS NULL"},
)


def _statement(
    ending: str, destinations: Sequence[dict[str, str]] = _BOTH, *, named: bool = False
) -> TextClause:
    if named:
        found = ", ".join(
            f"{each['name']}(id) AS (SELECT CAST(:destination AS text))" for each in destinations
        )
    else:
        found = ", ".join(_DESTINATIONS.format(**each) for each in destinations)
    oldest = " UNION ALL ".join(_OLDEST_OF.format(**each) for each in destinations)
    return text(f"WITH RECURSIVE {found}, oldest AS ({oldest}), {_LINES} {ending}")


_CHOSEN: Final = """, ranked AS (
    SELECT number, held, row_number() OVER (PARTITION BY destination ORDER BY number) AS place
    FROM going WHERE free_at <= :now
), chosen AS (
    SELECT number FROM ranked WHERE place + held <= :most_held ORDER BY number LIMIT :rows
), starved AS (
    SELECT destination FROM going GROUP BY destination, seen
    HAVING seen >= :oldest AND min(free_at) > :now ORDER BY random() LIMIT 1
)
SELECT number, NULL AS destination FROM chosen UNION ALL SELECT NULL, destination FROM starved"""

_CANDIDATES: Final = _statement(_CHOSEN)
_CANDIDATES_OF_ONE: Final = _statement(_CHOSEN, named=True)
_FIRST: Final = _statement("SELECT min(free_at) FROM going")


class OutboxLines:
    """Which rows may go. `most_held` rows of one destination are under lease at once."""

    def __init__(self, most_held: int, oldest: int = OLDEST) -> None:
        self._most_held = most_held
        self._oldest = oldest
        self._further_at: datetime | None = None

    async def candidates(
        self, connection: AsyncConnection, now: datetime, limit: int, without: Collection[str]
    ) -> list[int]:
        """Numbers of at most `limit` rows that may be leased, oldest first; none of the destinations in `without`."""
        wanted = self._wanted(now, without) | {"most_held": self._most_held, "rows": limit}
        rows = (await connection.execute(_CANDIDATES, wanted)).all()
        found = sorted(row.number for row in rows if row.number is not None)
        starved = next((row.destination for row in rows if row.number is None), None)
        if starved is not None and (self._further_at is None or now >= self._further_at):
            self._further_at = now + FURTHER_EVERY
            further = wanted | {"oldest": FURTHER, "destination": starved}
            rows = (await connection.execute(_CANDIDATES_OF_ONE, further)).all()
            found += [row.number for row in rows if row.number is not None]
        return found[:limit]

    async def first_due(
        self, connection: AsyncConnection, now: datetime, without: Collection[str]
    ) -> int | None:
        """When the next row may go, in microseconds; None if none waits. Not of the destinations in `without`."""
        due: int | None = (await connection.execute(_FIRST, self._wanted(now, without))).scalar()
        return due

    def _wanted(self, now: datetime, without: Collection[str]) -> dict[str, Any]:
        return {"now": to_microseconds(now), "oldest": self._oldest, "without": sorted(without)}

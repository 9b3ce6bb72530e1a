"""Owns the monthly partitions of the policy log on PostgreSQL: made ahead, found by name, dropped as a whole.

A decision never waits for one: whatever no month takes goes into the default partition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import exists, select, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.store.tables import decisions
from policycore.store.types import to_microseconds

MONTHS_AHEAD = 3
_PARENT = "decisions"
_DEFAULT = "decisions_default"
_BEFORE = "decisions_before_"
_MONTHLY = "decisions_"

_MAKING_WAIT = "2s"
"""Making a partition waits so long for those who are reading the log; decisions do not wait meanwhile."""

_DROPPING_WAIT = "200ms"
"""Dropping one stops decisions while it waits, so it does not wait long, and is tried again later."""


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month in UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        """The month of a moment in UTC."""
        return cls(moment.year, moment.month)

    def later(self, months: int) -> "Month":
        """So many months later; earlier if negative."""
        count = self.year * 12 + self.number - 1 + months
        return Month(count // 12, count % 12 + 1)

    @property
    def first(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04d}_{self.number:02d}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of the policy log. All its rows were decided before the month `end`; None is the default one."""

    name: str
    end: Month | None

    @property
    def monthly(self) -> bool:
        """Whether it holds one month and nothing else."""
        return self.end is not None and not self.name.startswith(_BEFORE)


async def read_partitions(connection: AsyncConnection) -> list[Partition]:
    """Every partition that this module knows by its name."""
    names = await connection.scalars(
        text(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
            " WHERE inhparent = to_regclass(:parent) ORDER BY relname"
        ),
        {"parent": _PARENT},
    )
    found = []
    for name in names:
        if name == _DEFAULT:
            found.append(Partition(name, None))
        elif name.startswith(_BEFORE):
            found.append(Partition(name, _month(name.removeprefix(_BEFORE))))
        elif name.startswith(_MONTHLY):
            found.append(Partition(name, _month(name.removeprefix(_MONTHLY)).later(1)))
    return found


def missing_months(partitions: Sequence[Partition], now: datetime, ahead: int = MONTHS_AHEAD) -> list[Month]:
    """This month and so many after it, without those that have a partition."""
    months = [Month.of(now).later(number) for number in range(ahead + 1)]
    names = {partition.name for partition in partitions}
    begins = max((each.end for each in partitions if each.end is not None and not each.monthly), default=None)
    return [month for month in months if name_of(month) not in names and (begins is None or month >= begins)]


def name_of(month: Month) -> str:
    """The name of a month's partition."""
    return f"{_MONTHLY}{month}"


def making(month: Month) -> tuple[str, ...]:
    """The statements that make a month's partition, for one transaction."""
    name = name_of(month)
    span = f"FROM ({to_microseconds(month.first)}) TO ({to_microseconds(month.later(1).first)})"
    return (
        f"CREATE TABLE {name} (LIKE {_PARENT} INCLUDING DEFAULTS)",
        f"ALTER TABLE {name} ADD CONSTRAINT pk_{name} PRIMARY KEY (log_id)",
        f"ALTER TABLE {name} ADD CONSTRAINT uq_{name}_id UNIQUE (id)",
        # Unlike CREATE TABLE ... PARTITION OF, this stops nobody who inserts.
        f"ALTER TABLE {_PARENT} ATTACH PARTITION {name} FOR VALUES {span}",
    )


async def make_partition(connection: AsyncConnection, month: Month) -> bool:
    """Makes the partition of a month, in the transaction of the connection. False if the default partition holds rows
    of that month already: they stay there, and those that follow go there too.

    Errors: SQLAlchemy's `DBAPIError` if a lock is not to be had in time.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_MAKING_WAIT}'"))
    stray = table(_DEFAULT, decisions.c.decided_at._copy())
    if await connection.scalar(
        select(exists().where(stray.c.decided_at >= month.first, stray.c.decided_at < month.later(1).first))
    ):
        return False
    for statement in making(month):
        await connection.execute(text(statement))
    return True


async def months_in_default(connection: AsyncConnection) -> tuple[Month, Month] | None:
    """The months of the first and of the last row that went into the default partition; None if it is empty."""
    rows = table(_DEFAULT, decisions.c.log_id._copy(), decisions.c.decided_at._copy())
    # By number, which rises with time: there is an index, however many rows there are.
    first = await connection.scalar(select(rows.c.decided_at).order_by(rows.c.log_id).limit(1))
    last = await connection.scalar(select(rows.c.decided_at).order_by(rows.c.log_id.desc()).limit(1))
    return None if first is None or last is None else (Month.of(first), Month.of(last))


async def drop_partition(connection: AsyncConnection, partition: Partition) -> None:
    """Drops a partition with its rows. Errors: SQLAlchemy's `DBAPIError` if the lock is not to be had at once."""
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_DROPPING_WAIT}'"))
    await connection.execute(text(f"DROP TABLE {partition.name}"))


def _month(written: str) -> Month:
    year, _, number = written.partition("_")
    return Month(int(year), int(number))

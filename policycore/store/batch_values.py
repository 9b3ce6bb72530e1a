"""Statements over the values of a batch, whose text is the same however many there are.

A statement is then compiled once by SQLAlchemy and prepared once by the server, and a batch of rows is one
statement rather than one for each row. PostgreSQL takes a column of values as an array; SQLite has no arrays
and no network between, and takes one parameter for each value.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    String,
    Table,
    Text,
    any_,
    bindparam,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

POSTGRESQL = "postgresql"


def one_of(dialect: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`column` is one of the values of the list parameter `name`."""
    if dialect == POSTGRESQL:
        return column == any_(_array(name, column.type))
    return column.in_(bindparam(name, expanding=True))


def one_of_rows(dialect: str, columns: Sequence[ColumnElement[Any]], name: str) -> ColumnElement[bool]:
    """`columns` together are one of the rows that `rows_parameter` makes parameters of."""
    if dialect == POSTGRESQL:
        arrays = [_array(f"{name}_{place}", column.type) for place, column in enumerate(columns)]
        return tuple_(*columns).in_(select(*_unnested(arrays, [f"c{p}" for p in range(len(arrays))]).c))
    return tuple_(*columns).in_(bindparam(name, expanding=True))


def rows_parameter(dialect: str, name: str, rows: Collection[tuple[Any, ...]]) -> dict[str, Any]:
    """Parameters for `one_of_rows`; `rows` must not be empty."""
    if dialect == POSTGRESQL:
        return {f"{name}_{place}": list(values) for place, values in enumerate(zip(*rows, strict=True))}
    return {name: list(rows)}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to insert into a table; all name the same columns.

    With `adds`, a row whose primary key is there already adds its value of that column to it.
    """

    table: Table
    rows: Sequence[Mapping[str, Any]]
    adds: str = ""


async def insert_rows(connection: AsyncConnection, *parts: Rows) -> None:
    """Inserts the rows of every part, in their order; PostgreSQL takes all parts in one statement."""
    parts = tuple(part for part in parts if part.rows)
    if not parts:
        return
    if connection.dialect.name != POSTGRESQL:
        for part in parts:
            await connection.execute(_insert_each(part.table, part.adds), part.rows)
        return
    shapes = tuple((part.table, tuple(part.rows[0]), part.adds) for part in parts)
    columns = {
        f"{table.name}_{name}": [row[name] for row in part.rows]
        for part, (table, names, _) in zip(parts, shapes, strict=True)
        for name in names
    }
    await connection.execute(_insert_together(shapes), columns)


_Shape = tuple[Table, tuple[str, ...], str]
"""A table, the columns that are written, and the one that is added to, if any."""


@cache
def _insert_together(shapes: tuple[_Shape, ...]) -> postgresql.Insert:
    *others, last = [_insert_unnested(*shape) for shape in shapes]
    for place, other in enumerate(others):
        last = last.add_cte(other.cte(f"insert_{place}"))
    return last


def _insert_unnested(table: Table, names: tuple[str, ...], adds: str) -> postgresql.Insert:
    arrays = [_array(f"{table.name}_{name}", table.c[name].type) for name in names]
    values = select(*_unnested(arrays, names).c)
    statement = postgresql.insert(table).from_select(list(names), values, include_defaults=False)
    return _adding(statement, table, adds)


@cache
def _insert_each(table: Table, adds: str) -> sqlite.Insert:
    return _adding(sqlite.insert(table), table, adds)


_Insert = TypeVar("_Insert", sqlite.Insert, postgresql.Insert)


def _adding(statement: _Insert, table: Table, adds: str) -> _Insert:
    if not adds:
        return statement
    total = table.c[adds] + statement.excluded[adds]
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(index_elements=keys, set_={adds: total})


def _array(name: str, item: TypeEngine[Any]) -> Any:
    # A cast to VARCHAR(n)[] would cut what is too long, where a column refuses it.
    return bindparam(name, type_=ARRAY(Text() if isinstance(item, String) else item, dimensions=1))


def _unnested(arrays: Sequence[Any], names: Sequence[str]) -> Any:
    return func.unnest(*arrays).table_valued(*names).render_derived(name="batch")

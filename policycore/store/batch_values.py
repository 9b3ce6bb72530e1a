"""Statements over the values of a batch, whose text is the same however many there are.

A statement is then compiled once by SQLAlchemy and prepared once by the server, and a batch of rows is one
statement rather than one for each row. PostgreSQL takes a column of values as an array; SQLite has no arrays
and no network between, and takes one parameter for each value.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    String,
    Table,
    Text,
    any_,
    bindparam,
    func,
    insert,
    select,
    tuple_,
)
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


async def insert_rows(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, in their order, in one statement. All rows name the same columns. None is no work."""
    if not rows:
        return
    if connection.dialect.name == POSTGRESQL:
        names = tuple(rows[0])
        columns = {f"v_{name}": [row[name] for row in rows] for name in names}
        await connection.execute(_insert_unnested(table, names), columns)
    else:
        await connection.execute(_insert_each(table), rows)


@cache
def _insert_unnested(table: Table, names: tuple[str, ...]) -> Insert:
    arrays = [_array(f"v_{name}", table.c[name].type) for name in names]
    return insert(table).from_select(list(names), select(*_unnested(arrays, names).c), include_defaults=False)


@cache
def _insert_each(table: Table) -> Insert:
    return insert(table)


def _array(name: str, item: TypeEngine[Any]) -> Any:
    # A cast to VARCHAR(n)[] would cut what is too long, where a column refuses it.
    return bindparam(name, type_=ARRAY(Text() if isinstance(item, String) else item))


def _unnested(arrays: Sequence[Any], names: Sequence[str]) -> Any:
    return func.unnest(*arrays).table_valued(*names).render_derived(name="batch")

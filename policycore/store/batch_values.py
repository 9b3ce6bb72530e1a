"""Statements over the values of a batch, whose text is the same however many there are.

A statement is then compiled once by SQLAlchemy and prepared once by the server, and a batch of rows is one
statement rather than one for each row. PostgreSQL takes a column of values as an array; SQLite has no arrays
and no network between, and takes one parameter for each value.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import (
    ColumnElement,
    Dialect,
    String,
    Table,
    Text,
    any_,
    bindparam,
    false,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from policycore.store.direct import driver_of
from policycore.store.types import Instant, to_microseconds

POSTGRESQL = "postgresql"
_DRIVERS_DIALECT: Final[Dialect] = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


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

    Columns in `same` mostly have one value in a whole batch; if they do, it travels once. With `adds`, a row whose
    primary key is there already adds its value of that column to it; with `replaces`, it replaces those columns, and
    with `if_other` only if that column differs. What the columns in `returns` are then is given back, by PostgreSQL.
    """

    table: Table
    rows: Sequence[Mapping[str, Any]]
    adds: str = ""
    replaces: tuple[str, ...] = ()
    if_other: str = ""
    same: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()

    @property
    def shape(self) -> "_Shape":
        """Everything a statement depends on."""
        first = self.rows[0]
        one = self.same and all(row[name] == first[name] for row in self.rows for name in self.same)
        same = self.same if one else ()
        return _Shape(self.table, tuple(first), self.adds, self.replaces, self.if_other, same, self.returns)


class _Shape(NamedTuple):
    table: Table
    names: tuple[str, ...]
    adds: str
    replaces: tuple[str, ...]
    if_other: str
    same: tuple[str, ...]
    returns: tuple[str, ...]


async def insert_rows(connection: AsyncConnection, *parts: Rows) -> Sequence[Sequence[Any]]:
    """Inserts the rows of every part, in their order; PostgreSQL takes all parts in one statement.

    Returns what the one part that `returns` something gave back, on PostgreSQL.
    """
    parts = tuple(part for part in parts if part.rows)
    if not parts:
        return ()
    if connection.dialect.name != POSTGRESQL:
        for part in parts:
            await connection.execute(_insert_each(part.shape), part.rows)
        return ()
    by_name = {(part.table.name, name): part.rows for part in parts for name in part.rows[0]}
    statement, parameters = _insert_together(tuple(part.shape for part in parts))
    values = []
    for parameter in parameters:
        rows = by_name[parameter.table, parameter.column]
        if parameter.once:
            values.append(parameter.driver_value(rows[0][parameter.column]))
        else:
            values.append([parameter.driver_value(row[parameter.column]) for row in rows])
    return await driver_of(connection).fetch(statement, *values)


class _Parameter(NamedTuple):
    """A parameter of a statement as the driver takes it: one value of a column, or those of all rows."""

    table: str
    column: str
    once: bool
    is_moment: bool

    def driver_value(self, value: Any) -> Any:
        """The value as the column keeps it."""
        return to_microseconds(value) if self.is_moment and value is not None else value


@cache
def _insert_together(shapes: tuple[_Shape, ...]) -> tuple[str, list[_Parameter]]:
    """The statement as the driver takes it, and its parameters in order."""
    parts = [_insert_unnested(shape).cte(f"insert_{place}") for place, shape in enumerate(shapes)]
    returning = [part for part, shape in zip(parts, shapes, strict=True) if shape.returns]
    query = select(*returning[0].c) if returning else select(literal_column("1")).where(false())
    for part in parts:
        query = query.add_cte(part)
    compiled = query.compile(dialect=_DRIVERS_DIALECT)
    named = {
        f"{shape.table.name}_{name}": _Parameter(
            shape.table.name, name, name in shape.same, isinstance(shape.table.c[name].type, Instant)
        )
        for shape in shapes
        for name in shape.names
    }
    return str(compiled), [named[name] for name in compiled.positiontup or ()]


def _insert_unnested(shape: _Shape) -> Any:
    table = shape.table
    many = [name for name in shape.names if name not in shape.same]
    arrays = [_array(f"{table.name}_{name}", table.c[name].type) for name in many]
    batch = _unnested(arrays, many).c
    columns = [
        bindparam(f"{table.name}_{name}", type_=_as_kept(table.c[name].type))
        if name in shape.same
        else batch[name]
        for name in shape.names
    ]
    statement = postgresql.insert(table).from_select(
        list(shape.names), select(*columns), include_defaults=False
    )
    statement = _settling_conflicts(statement, shape)
    return statement.returning(*(table.c[name] for name in shape.returns)) if shape.returns else statement


@cache
def _insert_each(shape: _Shape) -> sqlite.Insert:
    return _settling_conflicts(sqlite.insert(shape.table), shape)


_Insert = TypeVar("_Insert", sqlite.Insert, postgresql.Insert)


def _settling_conflicts(statement: _Insert, shape: _Shape) -> _Insert:
    table, excluded = shape.table, statement.excluded
    changes: dict[str, ColumnElement[Any]] = {name: excluded[name] for name in shape.replaces}
    if shape.adds:
        changes[shape.adds] = table.c[shape.adds] + excluded[shape.adds]
    if not changes:
        return statement
    condition = table.c[shape.if_other] != excluded[shape.if_other] if shape.if_other else None
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(index_elements=keys, set_=changes, where=condition)


def _array(name: str, item: TypeEngine[Any]) -> Any:
    return bindparam(name, type_=ARRAY(_as_kept(item), dimensions=1))


def _as_kept(item: TypeEngine[Any]) -> TypeEngine[Any]:
    # A cast to VARCHAR(n) would cut what is too long, where a column refuses it.
    return Text() if isinstance(item, String) else item


def _unnested(arrays: Sequence[Any], names: Sequence[str]) -> Any:
    return func.unnest(*arrays).table_valued(*names).render_derived(name="batch")

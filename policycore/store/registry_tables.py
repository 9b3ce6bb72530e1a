"""Owns reading and writing the registry's tables: one class for all that have an id and a creation time."""

import json
from collections.abc import Mapping
from dataclasses import Field, asdict
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, Table, and_, delete, insert, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.errors import Malformed
from policycore.registry.errors import AlreadyExistsError
from policycore.registry.pages import Filter, Key, Page, PageRequest, write_token
from policycore.store.types import from_microseconds, to_microseconds

JSON_COLUMNS = frozenset({"rights", "account_ids", "allowed_addresses", "event_names"})
"""Columns that keep a list of words as JSON text."""


class _Row(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


RowT = TypeVar("RowT", bound=_Row)


class TableRows(Generic[RowT]):
    """The rows of one table, as dataclasses whose fields are called like the columns.

    With `locking` a row that is looked up stays locked until the transaction ends. `unique` says which
    field must be unique, and in which words to complain.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        table: Table,
        row_type: type[RowT],
        *,
        locking: bool,
        unique: tuple[str, str] = ("id", "exists."),
    ) -> None:
        self._connection = connection
        self._table = table
        self._row_type = row_type
        self._locking = locking
        self._unique = unique

    async def add(self, row: RowT) -> None:
        """Inserts. Errors: `AlreadyExistsError`."""
        try:
            await self._connection.execute(insert(self._table).values(_to_columns(asdict(row))))
        except IntegrityError as error:
            raise AlreadyExistsError(*self._unique) from error

    async def find(self, row_id: str) -> RowT | None:
        """The row, or None."""
        query = select(self._table).where(self._table.c.id == row_id)
        if self._locking:
            query = query.with_for_update()
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else row_of(self._row_type, row)

    async def change(self, row_id: str, changes: Mapping[str, object]) -> None:
        """Sets columns. Errors: `AlreadyExistsError`."""
        try:
            await self._connection.execute(
                update(self._table).where(self._table.c.id == row_id).values(_to_columns(changes))
            )
        except IntegrityError as error:
            raise AlreadyExistsError(*self._unique) from error

    async def remove(self, row_id: str) -> None:
        """Deletes."""
        await self._connection.execute(delete(self._table).where(self._table.c.id == row_id))

    async def page(self, request: PageRequest, wanted: Filter, *, newest_first: bool = False) -> Page[RowT]:
        """One page, by time of creation and id."""
        columns = (self._table.c.created_at, self._table.c.id)
        after: tuple[Any, ...] | None = None
        if request.after is not None:
            after = (page_moment(request.after[0]), request.after[1])
        query = select(self._table).where(*conditions(self._table, wanted))
        query = keyset(query, columns, after, request.size, newest_first=newest_first)
        found = (await self._connection.execute(query)).mappings().all()
        rows = tuple(row_of(self._row_type, row) for row in found[: request.size])
        if len(found) <= request.size:
            return Page(rows)
        last = found[request.size - 1]
        return Page(rows, write_token((to_microseconds(last["created_at"]), last["id"])))


def page_moment(part: int | str) -> datetime:
    """The moment in a page's key. Errors: `Malformed` for one that no calendar has."""
    try:
        return from_microseconds(int(part))
    except OverflowError:
        raise Malformed("page_token", "is not a token that this list gave out.") from None


def keyset(
    query: Select[Any],
    columns: tuple[ColumnElement[Any], ...],
    after: tuple[Any, ...] | None,
    size: int,
    *,
    newest_first: bool,
) -> Select[Any]:
    """The query for one page, and one row more that tells whether another follows."""
    order = [column.desc() if newest_first else column.asc() for column in columns]
    if after is not None:
        query = query.where(_beyond(columns, after, newest_first=newest_first))
    return query.order_by(*order).limit(size + 1)


def conditions(table: Table, wanted: Filter) -> list[ColumnElement[bool]]:
    """The filter as conditions."""
    found: list[ColumnElement[bool]] = [table.c[name] == value for name, value in wanted.equal.items()]
    found += [table.c[name].in_(sorted(values)) for name, values in wanted.among.items()]
    found += [table.c[name].is_(None) for name in wanted.absent]
    found += [or_(table.c[name].is_(None), table.c[name] > moment) for name, moment in wanted.after.items()]
    return found


def row_of(row_type: type[RowT], row: RowMapping) -> RowT:
    """A row of a table as its dataclass."""
    values = {
        name: tuple(json.loads(row[name])) if name in JSON_COLUMNS else row[name]
        for name in row_type.__dataclass_fields__
    }
    return row_type(**values)


def number_page(rows: list[Any], size: int, key: str) -> tuple[list[Any], str]:
    """The rows of a page by one number, and the token of the next."""
    if len(rows) <= size:
        return rows, ""
    number: Key = (int(getattr(rows[size - 1], key)),)
    return rows[:size], write_token(number)


def _beyond(
    columns: tuple[ColumnElement[Any], ...], after: tuple[Any, ...], *, newest_first: bool
) -> ColumnElement[bool]:
    """(a, b) beyond (x, y), written out, for an index may end before the last column. The bound on the first column
    alone is where both databases enter the index: from the alternatives they would read it from its end.
    """
    alternatives = []
    for position, column in enumerate(columns):
        same = [columns[before] == after[before] for before in range(position)]
        beyond = column < after[position] if newest_first else column > after[position]
        alternatives.append(and_(*same, beyond))
    if len(columns) == 1:
        return alternatives[0]
    first = columns[0] <= after[0] if newest_first else columns[0] >= after[0]
    return and_(first, or_(*alternatives))


def _to_columns(values: Mapping[str, object]) -> dict[str, object]:
    return {
        name: json.dumps(value, ensure_ascii=False) if name in JSON_COLUMNS else value
        for name, value in values.items()
    }

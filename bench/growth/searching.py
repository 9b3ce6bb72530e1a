"""Times what people look for in the logs, and looks at what the database reads for it."""

import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, text

from bench.growth import fill
from policycore.registry.pages import Filter, PageRequest
from policycore.store.direct import driver_of
from policycore.store.engine import Database
from policycore.store.log_queries import SqlLogReader
from policycore.store.message_queries import find_message

PAGE = 50
TIMES = 30
_WHOLE = {"Sort", "Aggregate", "WindowAgg"}
_FEW = 4 * PAGE
"""A few rows that were found may be sorted: there are several ways to a short list."""


@dataclass(frozen=True, slots=True)
class Search:
    """Something looked for: how to look, and how many rows there must be."""

    says: str
    look: Callable[[Database], Awaitable[int]]
    finds: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What a search in a log of a size took: median and slowest in ms; rows the database read for it; steps of its plan
    that read or sort a whole.
    """

    says: str
    size: int
    median_ms: float
    slowest_ms: float
    rows_read: int
    whole: tuple[str, ...]


def _decisions(after: int | None = None, **equal: object) -> Callable[[Database], Awaitable[int]]:
    request = PageRequest(PAGE, None if after is None else (after,))

    async def look(database: Database) -> int:
        return len((await SqlLogReader(database).decisions(Filter(equal=equal), request)).rows)

    return look


def _messages(after: tuple[int, str] | None = None, **equal: object) -> Callable[[Database], Awaitable[int]]:
    async def look(database: Database) -> int:
        page = await SqlLogReader(database).messages(Filter(equal=equal), PageRequest(PAGE, after))
        return len(page.rows)

    return look


def _message(message_id: str) -> Callable[[Database], Awaitable[int]]:
    """A message by its id or the back end's, and the decision it rests on, as `GetMessage` and `Explain` find them."""

    async def look(database: Database) -> int:
        message = await find_message(database, "acc_1", message_id)
        if message is None or await SqlLogReader(database).decision(message.log_id, None) is None:
            return 0
        return 1

    return look


def _decision(decision_id: str) -> Callable[[Database], Awaitable[int]]:
    async def look(database: Database) -> int:
        return 0 if await SqlLogReader(database).decision(None, decision_id) is None else 1

    return look


async def searches(database: Database, rows: int) -> list[Search]:
    """What is looked for in a log of so many filled rows."""
    middle = fill.FIRST_NUMBER + rows // 2 // fill.MESSAGE_OF_EVERY * fill.MESSAGE_OF_EVERY
    async with database.reading() as connection:
        found = await connection.execute(
            text(
                "SELECT messages.id, external_id, decisions.id AS decision_id, created_at FROM messages"
                " JOIN decisions ON decisions.log_id = messages.log_id WHERE messages.log_id = :log_id"
                " AND external_id = :external_id AND messages.instance_id = 'ins_1'"
            ),
            {"log_id": middle, "external_id": f"x{middle}"},
        )
        row = found.one()
    account: dict[str, Any] = {"account_id": "acc_1"}
    person = f"per_{7:020d}"
    some, busy = (min(PAGE, rows // each) for each in (fill.LOG_PERSONS, fill.LOG_INTEGRATIONS))
    return [
        Search("decisions of an account, first page", _decisions(**account), PAGE),
        Search("decisions of an account, a page from the middle", _decisions(middle, **account), PAGE),
        Search("decisions of a person", _decisions(**account, person_id=person), some),
        Search(
            f"of a person with {fill.QUIET_ROWS}, a year ago",
            _decisions(**account, person_id=fill.QUIET_PERSON),
            fill.QUIET_ROWS,
        ),
        Search("decisions of an integration", _decisions(**account, integration_id="int_7"), busy),
        Search(
            f"of an integration with {fill.QUIET_ROWS}, a year ago",
            _decisions(**account, integration_id=fill.QUIET_INTEGRATION),
            fill.QUIET_ROWS,
        ),
        Search(
            "of that integration, asked over all accounts",
            _decisions(integration_id=fill.QUIET_INTEGRATION),
            fill.QUIET_ROWS,
        ),
        Search("a message by its id, with its decision", _message(row.id), 1),
        Search("a message by the back end's id, with its decision", _message(row.external_id), 1),
        Search("a decision by its id", _decision(row.decision_id), 1),
        Search("messages of an account, first page", _messages(**account), PAGE),
        Search(
            "messages of an account, a page from the middle",
            _messages((row.created_at, row.id), **account),
            PAGE,
        ),
    ]


async def look(database: Database, search: Search, size: int) -> Looked:
    """Looks, several times, in a log of a size, and explains the statements.

    Errors: RuntimeError if not all rows were found.
    """
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        rows = await search.look(database)
        took.append((time.perf_counter() - began) * 1e3)
        if rows < search.finds:
            raise RuntimeError(f"{search.says}: {rows} rows were found, not {search.finds}")
    with statements(database) as seen:
        await search.look(database)
    plans = [await explain(database, *each) for each in seen]
    return Looked(
        search.says,
        size,
        statistics.median(took),
        max(took),
        sum(rows_read(plan) for plan in plans),
        tuple(sorted({step for plan in plans for step in whole_steps(plan)})),
    )


async def row_bytes(database: Database, rows: int) -> float:
    """Bytes of disk for each of the policy log's rows, with indexes."""
    async with database.reading() as connection:
        size = "sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('decisions') WHERE isleaf"
        return float(await connection.scalar(text(f"SELECT {size}")) or 0) / rows


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Sequence[Any]]]]:
    """The statements that SQLAlchemy sends meanwhile, with their parameters."""
    seen: list[tuple[str, Sequence[Any]]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def explain(database: Database, statement: str, parameters: Sequence[Any]) -> dict[str, Any]:
    """The plan PostgreSQL follows, with the rows it really read."""
    async with database.reading() as connection:
        rows = await driver_of(connection).fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *parameters)
    # SQLAlchemy has the driver read JSON.
    plan: dict[str, Any] = rows[0][0][0]["Plan"]
    return plan


def _steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _steps(child)


def rows_read(plan: dict[str, Any]) -> int:
    """Rows that its scans gave or threw away."""
    total = 0
    for step in _steps(plan):
        if "Scan" in step["Node Type"]:
            thrown = step.get("Rows Removed by Filter", 0) + step.get("Rows Removed by Index Recheck", 0)
            total += (step["Actual Rows"] + thrown) * step["Actual Loops"]
    return int(total)


def whole_steps(plan: dict[str, Any]) -> list[str]:
    """Scans without an index, and steps that sort or count more than a few rows before they give one."""
    found = []
    for step in _steps(plan):
        name = step["Node Type"]
        below = sum(child["Actual Rows"] * child["Actual Loops"] for child in step.get("Plans", ()))
        if name == "Seq Scan" or (name in _WHOLE and below > _FEW):
            found.append(name)
    return found

"""A page of a list costs a page, however much there is and however far back it lies."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from bench.growth import fill
from bench.growth.searching import PAGE, TIMES, explain, look, rows_read, searches, statements, whole_steps
from policycore.registry.pages import Filter, PageRequest
from policycore.store import tables
from policycore.store.log_queries import SqlLogReader
from policycore.store.partitions import Month
from support.core_parts import CoreParts, open_core

ROWS = 12_000
MOST_READ = 2 * (PAGE + 1) + 2 * (fill.MONTHS + 5)
"""A page and one row more, each with what is joined to it, and a row or two of every partition."""


@pytest.fixture
async def core(postgres_url: str) -> AsyncIterator[CoreParts]:
    parts = await open_core(postgres_url)
    await parts.inbound("Hello")
    await parts.reply("Hello, this is the service desk about your ticket.")
    engine = create_async_engine(postgres_url)
    await fill.fill_log(engine, ROWS, Month.of(parts.clock()))
    await fill.settle(engine)
    await engine.dispose()
    yield parts
    await parts.close()


async def test_no_search_reads_counts_or_sorts_the_whole_log(core: CoreParts) -> None:
    assert TIMES > 6, "the server keeps one plan for a statement after it ran some times"
    for search in await searches(core.database, ROWS):
        found = await look(core.database, search, ROWS)
        assert (found.says, found.whole) == (search.says, ())
        assert found.rows_read <= MOST_READ, search.says


async def test_the_security_log_and_the_audit_log_are_searched_by_index(core: CoreParts) -> None:
    now = core.clock()
    async with core.database.transaction() as connection:
        refusals = [
            {
                "minute": now,
                "surface": "3cx",
                "target": f"int_{n}",
                "reason": "r",
                "source_address": "",
                "count": 1,
            }
            for n in range(2_000)
        ]
        entries = [
            {"occurred_at": now, "actor": "a", "act": "b", "account_id": f"acc_{n}"} for n in range(2_000)
        ]
        await connection.execute(insert(tables.refusals), refusals)
        await connection.execute(insert(tables.audit_entries), entries)
    reader = SqlLogReader(core.database)
    with statements(core.database) as seen:
        assert len((await reader.refusals(Filter(equal={"target": "int_7"}), PageRequest(PAGE))).rows) == 1
        assert (
            len((await reader.audit_entries(Filter(equal={"account_id": "acc_7"}), PageRequest(PAGE))).rows)
            == 1
        )
    for statement, parameters in seen:
        assert rows_read(await explain(core.database, statement, parameters)) == 1


async def test_a_page_from_the_end_reads_a_page(core: CoreParts) -> None:
    engine = create_async_engine(core.database.engine.url)
    async with engine.connect() as connection:
        oldest = (
            await connection.execute(tables.messages.select().order_by(tables.messages.c.created_at))
        ).all()
    await engine.dispose()
    place = PAGE + 10
    request = PageRequest(PAGE, (int(oldest[place].created_at.timestamp() * 1_000_000), oldest[place].id))
    with statements(core.database) as seen:
        page = await SqlLogReader(core.database).messages(Filter(equal={"account_id": "acc_1"}), request)
    assert [view.message_id for view in page.rows] == [row.id for row in reversed(oldest[10:place])]
    [(statement, parameters)] = seen
    plan = await explain(core.database, statement, parameters)
    assert whole_steps(plan) == []
    assert rows_read(plan) <= MOST_READ

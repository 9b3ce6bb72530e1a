"""The policy log on PostgreSQL: made of months, while it is used, and never in the way of a decision."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from policycore.errors import DatabaseUnavailable
from policycore.metrics import Metrics
from policycore.reasons import Verdict
from policycore.registry.pages import Filter, PageRequest
from policycore.retention_watch import RetentionWatch
from policycore.store import migrate, tables
from policycore.store.log_queries import SqlLogReader
from policycore.store.online_steps import prepared
from policycore.store.partitions import Month, make_partition, missing_months, read_partitions
from policycore.store.retention import Keeping, Retention
from policycore.store.types import to_microseconds
from policycore.system_watch import CoreWatch
from support.core_parts import CoreParts, open_core

COLUMNS = (
    "log_id, id, decided_at, account_id, integration_id, person_id, caller, source, event_type, purpose,"
    " phone_masked, conversation_id, verdict, reason, action, risk_score, rules_version, explanation,"
    " findings_json, inputs_json"
)
INSERT = (
    f"INSERT INTO decisions ({COLUMNS}) SELECT nextval('decision_log_ids'), 'dec_' || gen_random_uuid(),"
    " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, 'acc_1', 'int_1', 'per_1', 'edge', 'threecx', 2,"
    " 'support', '', '', 1, 1, 1, 0, 1, '', '[]', '{}' RETURNING log_id"
)


def _to_0003(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "0003")


@pytest.fixture
async def older_url(postgres_url: str) -> str:
    """A database as the version before partitions left it, with rows in the policy log."""
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.run_sync(_to_0003)
        for _ in range(20):
            await connection.execute(text(INSERT))
    await engine.dispose()
    return postgres_url


@pytest.fixture
async def core(postgres_url: str) -> AsyncIterator[CoreParts]:
    parts = await open_core(postgres_url)
    yield parts
    await parts.close()


async def ask(url: str, statement: str) -> list[Any]:
    driver = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return list(await driver.fetch(statement))
    finally:
        await driver.close()


async def checks_of(url: str) -> list[str]:
    rows = await ask(
        url,
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace",
    )
    return [row[0] for row in rows]


async def partitions_of(url: str) -> list[str]:
    rows = await ask(
        url, "SELECT relid::regclass::text FROM pg_partition_tree('decisions') WHERE isleaf ORDER BY 1"
    )
    return [row[0] for row in rows]


async def test_a_new_installation_has_this_month_three_more_and_a_default(postgres_url: str) -> None:
    await migrate.upgrade(postgres_url)
    now = Month.of(datetime.now(UTC))
    months = [f"decisions_{now.later(number)}" for number in range(4)]
    assert await partitions_of(postgres_url) == sorted([*months, "decisions_default"])


async def test_numbers_and_ids_are_unique_in_every_partition(older_url: str) -> None:
    await migrate.upgrade(older_url)
    rows = await ask(
        older_url,
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype IN ('p', 'u') AND conrelid IN (SELECT relid FROM pg_partition_tree('decisions'))",
    )
    found = {(row[0], row[1]) for row in rows}
    for partition in await partitions_of(older_url):
        assert (partition, "PRIMARY KEY (log_id)") in found
        assert (partition, "UNIQUE (id)") in found


async def test_what_was_there_before_is_a_partition_of_its_own(older_url: str) -> None:
    before = await ask(older_url, "SELECT * FROM decisions ORDER BY log_id")
    await migrate.upgrade(older_url)
    assert await ask(older_url, "SELECT * FROM decisions ORDER BY log_id") == before
    [old] = [name for name in await partitions_of(older_url) if "before" in name]
    bound = Month(*map(int, old.removeprefix("decisions_before_").split("_")))
    assert bound.first - datetime.now(UTC) >= timedelta(days=28)
    [(count,)] = await ask(older_url, f"SELECT count(*) FROM {old}")
    assert count == len(before)
    # What follows now still goes there, and nothing is left that would refuse what comes after its end.
    await ask(older_url, INSERT)
    [(count,)] = await ask(older_url, f"SELECT count(*) FROM {old}")
    assert count == len(before) + 1
    assert await checks_of(older_url) == []
    later = to_microseconds(bound.later(40).first)
    await ask(
        older_url, INSERT.replace("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", str(later))
    )
    [(count,)] = await ask(older_url, "SELECT count(*) FROM decisions_default")
    assert count == 1


async def test_old_code_writes_while_the_log_is_taken_apart(older_url: str) -> None:
    """With statements that were prepared before; none is refused, none is lost."""
    written: list[int] = []
    begun, stop = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        driver = await asyncpg.connect(older_url.replace("+asyncpg", ""))
        statement = await driver.prepare(INSERT)
        while not stop.is_set():
            written.append(await statement.fetchval())
            begun.set()
        written.append(await statement.fetchval())
        await driver.close()

    writers = [asyncio.create_task(write()) for _ in range(4)]
    await begun.wait()
    await migrate.upgrade(older_url)
    stop.set()
    await asyncio.gather(*writers)
    rows = await ask(older_url, "SELECT log_id FROM decisions")
    assert {row[0] for row in rows} >= set(written)
    assert len(rows) == len(written) + 20
    assert "decisions_default" in await partitions_of(older_url)


async def test_an_upgrade_that_fails_leaves_no_check_behind(older_url: str) -> None:
    with contextlib.suppress(RuntimeError):
        async with prepared(older_url, "0003"):
            [name] = await checks_of(older_url)
            assert name.startswith("decisions_before_")
            raise RuntimeError("the migration failed")
    assert await checks_of(older_url) == []
    # And one that was killed before it could clean up does not stand in the way of the next.
    bound = to_microseconds(datetime.now(UTC) + timedelta(days=40))
    await ask(
        older_url,
        f"ALTER TABLE decisions ADD CONSTRAINT decisions_before_{bound} CHECK (decided_at < {bound})",
    )
    assert await migrate.upgrade(older_url) == migrate.newest()
    assert await checks_of(older_url) == []


async def test_several_migrators_at_once_take_the_log_apart_once(older_url: str) -> None:
    assert set(await asyncio.gather(*(migrate.upgrade(older_url) for _ in range(3)))) == {migrate.newest()}
    [(count,)] = await ask(older_url, "SELECT count(*) FROM decisions")
    assert count == 20


async def _drop_months(connection: AsyncConnection) -> None:
    for partition in await read_partitions(connection):
        if partition.end is not None:
            await connection.execute(text(f"DROP TABLE {partition.name}"))


async def test_a_missing_month_refuses_no_decision(core: CoreParts, postgres_url: str) -> None:
    async with core.database.transaction() as connection:
        await _drop_months(connection)
    await core.inbound("Hello")
    first = await core.reply("An answer.", key="k", body_digest=b"d")
    assert first.decision.verdict is Verdict.ALLOW
    assert await ask(postgres_url, "SELECT log_id FROM decisions_default") != []
    metrics = Metrics()
    await RetentionWatch(Retention(core.database, Keeping()), metrics, time.monotonic).run()
    assert metrics.registry.get_sample_value("hubgate_retention_months_without_partition") == 1
    assert len(await partitions_of(postgres_url)) == 4
    removed = await Retention(core.database, Keeping()).run()
    # This month stays in the default partition, for its first rows are there; the next three were made.
    assert (removed.made, removed.strays) == (0, 1)
    repeat = await core.reply("An answer.", key="k", body_digest=b"d")
    assert (repeat.duplicate, repeat.log_id) == (True, first.log_id)
    found = await SqlLogReader(core.database).decision(None, first.decision_id)
    assert found is not None
    assert found.log_id == first.log_id


async def _shown(core: CoreParts) -> tuple[bool, str]:
    watch = CoreWatch(core.database, core.counters, [], core.config.current, core.clock)
    [part] = [each for each in (await watch.look()).components if each.name == "policy log"]
    return part.healthy, part.explanation


async def test_administrators_are_told_of_months_without_a_partition(
    core: CoreParts, postgres_url: str
) -> None:
    await core.inbound("Hello")
    await core.reply("In its month.")
    assert (await _shown(core))[0]
    async with core.database.transaction() as connection:
        await _drop_months(connection)
    decided = await core.reply("In no month.")
    healthy, words = await _shown(core)
    assert not healthy
    this = Month.of(core.clock())
    assert f"holds decisions of {this.first:%Y-%m}, " in words
    # That of a month that is over is told; there is nothing left that could be done about it.
    long_ago = this.later(-2)
    moment = to_microseconds(long_ago.first)
    await ask(postgres_url, f"UPDATE decisions SET decided_at = {moment} WHERE log_id = {decided.log_id}")
    healthy, words = await _shown(core)
    assert healthy
    assert f"holds decisions of {long_ago.first:%Y-%m}, " in words
    await core.reply("Another one.")
    healthy, words = await _shown(core)
    assert not healthy
    assert f"of {long_ago.first:%Y-%m} to {this.first:%Y-%m}, " in words


async def test_months_are_made_ahead_once(core: CoreParts) -> None:
    async with core.database.transaction() as connection:
        partitions = await read_partitions(connection)
        assert missing_months(partitions, core.clock()) == []
        in_spring = datetime.now(UTC) + timedelta(days=200)
        for month in missing_months(partitions, in_spring):
            assert await make_partition(connection, month)
        assert missing_months(await read_partitions(connection), in_spring) == []


async def test_months_that_are_over_are_dropped_whole(core: CoreParts, postgres_url: str) -> None:
    this = Month.of(core.clock())
    async with core.database.transaction() as connection:
        for back in (1, 2, 3):
            assert await make_partition(connection, this.later(-back))
    await core.inbound("Hello")
    for back in (3, 2, 1, 0):
        decided = await core.reply(f"An answer of {back} months ago.")
        moment = to_microseconds(this.later(-back).first)
        await ask(postgres_url, f"UPDATE decisions SET decided_at = {moment} WHERE log_id = {decided.log_id}")
    removed = await Retention(core.database, Keeping(log_months=1)).run()
    assert (removed.partitions, removed.decisions) == (2, 0)
    kept = {f"decisions_{this.later(number)}" for number in range(-1, 4)}
    assert set(await partitions_of(postgres_url)) == kept | {"decisions_default"}
    page = await SqlLogReader(core.database).decisions(Filter(equal={"account_id": "acc_1"}), PageRequest(1))
    assert len(page.rows) == 1
    rest = await SqlLogReader(core.database).decisions(
        Filter(equal={"account_id": "acc_1"}), PageRequest(5, (page.rows[0].log_id,))
    )
    assert len(rest.rows) == 1


async def test_a_month_in_use_is_not_waited_for(core: CoreParts, postgres_url: str) -> None:
    """Somebody reads the log for a long time: the month is dropped later, and decisions go on."""
    old = Month.of(core.clock()).later(-5)
    async with core.database.transaction() as connection:
        assert await make_partition(connection, old)
    engine = create_async_engine(postgres_url)
    async with engine.begin() as reader:
        await reader.execute(select(tables.decisions.c.log_id))
        with pytest.raises(DatabaseUnavailable):
            await Retention(core.database, Keeping(log_months=1)).run()
        await core.inbound("Hello")
        assert (await core.reply("An answer.")).decision.verdict is Verdict.ALLOW
    await engine.dispose()
    removed = await Retention(core.database, Keeping(log_months=1)).run()
    assert removed.partitions == 1

"""The migrated schema is the one the tables describe, on both databases."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from policycore.store import migrate
from policycore.store.tables import accounts, persons

metadata = accounts.metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/deep/below/hubgate.db"
    return str(request.getfixturevalue("postgres_url"))


def _not_of_a_partition(_: Any, name: str | None, kind: str, *__: Any) -> bool:
    """Partitions come and go, and it is they who keep ids of the policy log unique."""
    return not (
        (kind == "table" and str(name).startswith("decisions_"))
        or (kind == "unique_constraint" and name == "uq_decisions_id")
    )


def _differences(connection: Connection) -> list[Any]:
    on_postgres = connection.dialect.name == "postgresql"
    opts: dict[str, Any] = {"compare_type": True, "compare_server_default": on_postgres}
    if on_postgres:
        opts["include_object"] = _not_of_a_partition
    return list(compare_metadata(MigrationContext.configure(connection, opts=opts), metadata))


async def test_migrated_schema_is_the_tables(empty_database: str) -> None:
    assert await migrate.current(empty_database) is None
    assert await migrate.upgrade(empty_database) == migrate.newest()
    assert await migrate.current(empty_database) == migrate.newest()
    engine = create_async_engine(empty_database)
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(_differences) == []
            rows = (await connection.execute(text("SELECT id, version FROM config_state"))).all()
            assert [tuple(row) for row in rows] == [(1, 1)]
    finally:
        await engine.dispose()


async def test_postgresql_has_every_sequence(postgres_url: str) -> None:
    await migrate.upgrade(postgres_url)
    engine = create_async_engine(postgres_url)
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(lambda sync: set(inspect(sync).get_sequence_names()))
    finally:
        await engine.dispose()
    assert {sequence.name for sequence in metadata._sequences.values()} <= found


async def test_partial_indexes_are_partial(empty_database: str) -> None:
    await migrate.upgrade(empty_database)
    engine = create_async_engine(empty_database)
    source = (
        "SELECT sql FROM sqlite_master WHERE name = 'ix_outbox_due'"
        if engine.dialect.name == "sqlite"
        else "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_outbox_due'"
    )
    try:
        async with engine.connect() as connection:
            assert "WHERE" in str((await connection.execute(text(source))).scalar_one())
    finally:
        await engine.dispose()


async def test_two_at_once_and_again(empty_database: str) -> None:
    revisions = await asyncio.gather(*(migrate.upgrade(empty_database) for _ in range(3)))
    assert set(revisions) == {migrate.newest()}
    assert await migrate.upgrade(empty_database) == migrate.newest()


async def test_a_failed_migration_leaves_nothing_behind(empty_database: str) -> None:
    await migrate.upgrade(empty_database)
    engine = create_async_engine(empty_database)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE audit_entries"))
        await connection.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(Exception, match="exist"):
        await migrate.upgrade(empty_database)
    async with engine.begin() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 0
        with pytest.raises(Exception, match="audit_entries"):
            await connection.execute(text("SELECT 1 FROM audit_entries"))
    await engine.dispose()


def _upgrade_to_0002(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "0002")


async def test_who_was_joined_before_joins_were_dated_was_joined_by_now(empty_database: str) -> None:
    if empty_database.startswith("sqlite"):
        Path(str(make_url(empty_database).database)).parent.mkdir(parents=True)
    engine = create_async_engine(empty_database)
    people = "INSERT INTO persons (id, account_id, merged_into, created_at) VALUES"
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade_to_0002)
        await connection.execute(
            text(f"{people} ('per_1', 'acc_1', 'per_2', 1), ('per_2', 'acc_1', NULL, 1)")
        )
    before = datetime.now(UTC)
    assert await migrate.upgrade(empty_database) == migrate.newest()
    async with engine.connect() as connection:
        rows = (await connection.execute(select(persons.c.id, persons.c.merged_at))).all()
    await engine.dispose()
    joined = {row.id: row.merged_at for row in rows}
    assert joined["per_2"] is None
    assert joined["per_1"] is not None
    assert before <= joined["per_1"] <= datetime.now(UTC)

"""A migration does not make those wait who work on the database meanwhile, and gives up rather than doing so."""

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from policycore.store import migrate
from policycore.store.engine import open_database
from policycore.store.home import move_in, needed_revision
from policycore.store.store_errors import StoreOutdated

FIXTURE = Path(__file__).parents[2] / "fixtures/migrations/9999_next.py"


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The migrations as the next version has them; gives the revision before."""
    newest = migrate.newest()
    scripts = tmp_path / "migrations"
    shutil.copytree(Path(migrate.__file__).parent / "migrations", scripts)
    (scripts / "versions/9999_next.py").write_text(FIXTURE.read_text().replace("{newest}", newest))
    monkeypatch.setattr(migrate, "_SCRIPTS", scripts)
    return newest


async def test_readers_go_on_while_a_migration_waits_for_a_lock(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, next_version: str
) -> None:
    with monkeypatch.context() as before:
        before.setattr(migrate, "_SCRIPTS", Path(migrate.__file__).parent / "migrations")
        assert await migrate.upgrade(postgres_url) == next_version
    engine = create_async_engine(postgres_url)
    async with engine.connect() as holder, engine.connect() as reader:
        await holder.begin()
        await holder.execute(text("SELECT 1 FROM messages"))
        migration = asyncio.create_task(migrate.upgrade(postgres_url))
        await _waits_for_a_lock(postgres_url)
        for _ in range(3):
            await asyncio.wait_for(reader.execute(text("SELECT 1 FROM messages")), 10)
            await reader.rollback()
        assert not migration.done()
        await holder.rollback()
        assert await migration == "9999"
    await engine.dispose()


async def _waits_for_a_lock(url: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER%'"
    )
    async with engine.connect() as connection, asyncio.timeout(30):
        while not (await connection.execute(query)).scalar_one():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
    await engine.dispose()


async def test_a_lock_that_is_never_had_leaves_everything_as_it_was(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, next_version: str
) -> None:
    with monkeypatch.context() as before:
        before.setattr(migrate, "_SCRIPTS", Path(migrate.__file__).parent / "migrations")
        await migrate.upgrade(postgres_url)
    monkeypatch.setattr(migrate, "_LOCK_PAUSES", (0.01,))
    engine = create_async_engine(postgres_url)
    async with engine.connect() as holder:
        await holder.begin()
        await holder.execute(text("SELECT 1 FROM persons"))
        with pytest.raises(Exception, match="lock timeout"):
            await migrate.upgrade(postgres_url)
        await holder.rollback()
    await engine.dispose()
    assert await migrate.current(postgres_url) == next_version


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_a_service_wants_its_schema_and_takes_a_later_one(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/core.db"
    if store == "postgresql":
        url = request.getfixturevalue("postgres_url")
    database = open_database(url)
    with pytest.raises(StoreOutdated, match="hubgate migrate"):
        await move_in(database)
    await migrate.upgrade(url)
    assert int(migrate.newest()) == needed_revision()
    await move_in(database)
    for revision, fits in (("9999", True), (f"{needed_revision() - 1:04d}", False)):
        async with database.transaction() as connection:
            await connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
        if fits:
            await move_in(database)
        else:
            with pytest.raises(StoreOutdated, match=revision):
                await move_in(database)
    await database.close()

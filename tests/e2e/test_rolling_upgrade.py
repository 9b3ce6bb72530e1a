"""An upgrade while requests flow: the schema first, then one replica after the other, and no request is refused."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from policycore.store import migrate
from support.replicas import Replicas, busy_desk
from support.traffic import flowing

FIXTURE = Path(__file__).parents[1] / "fixtures/migrations/9999_next.py"


async def _migrate_to_next(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older side is a fixture: for services that were built for today's schema, this one is the next version's."""
    scripts = folder / "migrations"
    shutil.copytree(Path(migrate.__file__).parent / "migrations", scripts)
    (scripts / "versions/9999_next.py").write_text(FIXTURE.read_text().replace("{newest}", migrate.newest()))
    monkeypatch.setattr(migrate, "_SCRIPTS", scripts)
    assert await migrate.upgrade(url) == "9999"


async def test_schema_first_then_one_replica_after_the_other(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas = Replicas(tmp_path, postgres_url)
    try:
        await replicas.start()
        async with busy_desk(replicas) as desk, flowing(desk.write, tasks=3) as traffic:
            await traffic.more(20)
            await _migrate_to_next(postgres_url, tmp_path, monkeypatch)
            await traffic.more(20)
            for gateway in list(replicas.gateways):
                await replicas.change(gateway, ("edge", "policycore", "sender"))
                await traffic.more(10)
        assert set(traffic.answers) <= {"sent", "pending"}, traffic.answers
        engine = create_async_engine(postgres_url)
        async with engine.connect() as connection:
            written = text("SELECT count(*) FROM messages WHERE outbound AND counted_by_the_next_version = 0")
            assert (await connection.execute(written)).scalar_one() == traffic.count
        await engine.dispose()
    finally:
        replicas.stop()

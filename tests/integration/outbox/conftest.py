"""An empty outbox on each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from integration.outbox.outbox_rows import Rows

from policycore.store.engine import open_database
from policycore.store.schema import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
async def rows(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rows]:
    url = (
        f"sqlite+aiosqlite:///{tmp_path}/outbox.db"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgres_url"))
    )
    database = open_database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield Rows(database)
    await database.close()

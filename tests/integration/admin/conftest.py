"""The AdminService over a fresh database of each kind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.admin_core import AdminCore, running_admin_core


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/hubgate.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest_asyncio.fixture
async def core(database_url: str) -> AsyncIterator[AdminCore]:
    """The AdminService over it."""
    async with running_admin_core(database_url) as running:
        yield running


@pytest_asyncio.fixture
async def sqlite_core(tmp_path: Path) -> AsyncIterator[AdminCore]:
    """The AdminService over SQLite, for what no database changes."""
    async with running_admin_core(f"sqlite+aiosqlite:///{tmp_path}/hubgate.db") as running:
        yield running

"""The policy core's parts, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.core_parts import CoreParts, open_core


@pytest.fixture(params=["sqlite", "postgres"])
async def core(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CoreParts]:
    """One account, one sandbox instance `ins_1`, one integration `int_1`; see `support.core_parts`."""
    url: Any = f"sqlite+aiosqlite:///{tmp_path}/core.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    parts = await open_core(url)
    yield parts
    await parts.close()

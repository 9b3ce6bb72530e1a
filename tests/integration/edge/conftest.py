"""Fixtures of the edge's integration tests."""

from collections.abc import AsyncIterator

import pytest_asyncio
from integration.edge.edge_under_test import Edge, running_edge


@pytest_asyncio.fixture
async def edge() -> AsyncIterator[Edge]:
    """A ready edge in front of a scripted policy core, with an open sandbox."""
    async with running_edge() as running:
        yield running

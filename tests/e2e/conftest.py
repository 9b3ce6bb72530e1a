"""One gateway for each kind of store, shared by the tests of a process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from support.desk import Desk, open_desk
from support.gateway import CoreClient, Gateway


@pytest.fixture(scope="session")
def gateways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Gives a running gateway by store, started when it is first asked for."""
    running: dict[str, Gateway] = {}

    def get(store: str) -> Gateway:
        if store not in running:
            folder = tmp_path_factory.mktemp(f"gateway-{store}")
            if store == "sqlite":
                gateway = Gateway(folder, f"sqlite+aiosqlite:///{folder}/hubgate.db")
            else:
                server = request.getfixturevalue("postgres_server")
                redis = request.getfixturevalue("redis_server")
                gateway = Gateway(folder, server.url(server.create_database()), redis.url)
            running[store] = gateway
            asyncio.run(gateway.start())
        return running[store]

    yield get
    for gateway in running.values():
        gateway.stop()


@pytest.fixture(params=["sqlite", "postgres_redis"])
def gateway(request: pytest.FixtureRequest, gateways: Any) -> Gateway:
    """The whole product on one kind of store."""
    found: Gateway = gateways(request.param)
    return found


@pytest.fixture
def running_gateway(gateways: Any) -> Gateway:
    """The whole product on its default store."""
    found: Gateway = gateways("sqlite")
    return found


@pytest.fixture
async def core(running_gateway: Gateway) -> AsyncIterator[CoreClient]:
    """The policy core, called as an administrator."""
    async with CoreClient(running_gateway.core_address, running_gateway.admin_token) as client:
        yield client


@pytest.fixture
async def http(running_gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """The edge, called without credentials."""
    async with httpx.AsyncClient(base_url=running_gateway.base_url, trust_env=False, timeout=15) as client:
        yield client


@pytest.fixture
async def desk(running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient) -> Desk:
    """A support desk of this test's own."""
    return await open_desk(running_gateway, core, http)

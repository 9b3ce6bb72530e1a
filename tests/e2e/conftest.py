"""One gateway for each kind of store, shared by the tests of a process."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from support.gateway import Gateway


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

"""A real sender for every test that asks for one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
import structlog
import uvloop

from peers import running_sender
from peers.running_sender import RunningSender

StartSender = Callable[..., Awaitable[RunningSender]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_ON_BOTH_LOOPS = {"test_connections", "test_egress_door", "test_hostile_answers"}


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """What stands directly on sockets runs on the standard library's loop, and on the one of production."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if item.path.stem in _ON_BOTH_LOOPS:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture(autouse=True)
def quiet_logs() -> None:
    """Logs of the sender under test do not mix with the report."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


@pytest.fixture
async def start_sender() -> AsyncIterator[StartSender]:
    """Starts senders; keyword arguments are settings without `HUBGATE_`."""
    running: list[RunningSender] = []

    async def start(**env: str) -> RunningSender:
        running.append(await running_sender.start_sender(**env))
        return running[-1]

    yield start
    for made in running:
        await made.close()


@pytest.fixture
async def sender(start_sender: StartSender) -> RunningSender:
    """A sender that may reach loopback."""
    return await start_sender()

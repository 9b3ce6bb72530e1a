"""A real sender for every test that asks for one."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog

from peers import running_sender
from peers.running_sender import RunningSender

StartSender = Callable[..., Awaitable[RunningSender]]


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

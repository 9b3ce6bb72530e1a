"""Unit tests open no socket: whoever needs one is an integration test, or says why with `allow_sockets`."""

from collections.abc import Iterator

import pytest
import pytest_socket


@pytest.fixture(autouse=True)
def no_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Blocks sockets, save the local pair that an event loop wakes itself with."""
    if request.node.get_closest_marker("allow_sockets"):
        yield
        return
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()

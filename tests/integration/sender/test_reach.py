"""Whether an address answers, by a real sender: names, connections, answers, gateways and refused addresses."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from hubgate.sender.v1 import sender_service_pb2 as pb
from peers.running_sender import METADATA, RunningSender
from support.gateway import free_port

StartSender = Callable[..., Awaitable[RunningSender]]
GREETING = {"success": True, "service": "hubgate"}


@pytest.fixture
async def place() -> AsyncIterator[str]:
    """A server: a gateway at `/gateway/`, something else at `/other/`, trouble at `/broken`."""

    async def gateway(request: web.Request) -> web.Response:
        return web.json_response(GREETING)

    async def other(request: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    async def broken(request: web.Request) -> web.Response:
        return web.Response(status=500)

    async def options(request: web.Request) -> web.Response:
        return web.Response(status=204 if request.method == "OPTIONS" else 418)

    app = web.Application()
    app.router.add_get("/gateway/", gateway)
    app.router.add_get("/other/", other)
    app.router.add_route("*", "/broken", broken)
    app.router.add_route("*", "/events", options)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def _check(sender: RunningSender, url: str, gateway: bool = False) -> Any:
    request = pb.CheckDestinationRequest(url=url, gateway=gateway)
    return await sender.stub.CheckDestination(request, metadata=METADATA, timeout=15)


async def test_how_far_it_comes(start_sender: StartSender, place: str) -> None:
    sender = await start_sender()
    found = await _check(sender, f"{place}/gateway", gateway=True)
    assert (found.failure, found.http_status, found.is_gateway) == ("", 200, True)
    found = await _check(sender, f"{place}/other/", gateway=True)
    assert (found.failure, found.http_status, found.is_gateway) == ("", 200, False)
    found = await _check(sender, f"{place}/events")
    assert (found.failure, found.http_status, found.is_gateway) == ("", 204, False)
    assert (await _check(sender, f"{place}/broken")).http_status == 500
    assert (await _check(sender, f"http://127.0.0.1:{free_port()}/")).failure == "connect_refused"
    assert (await _check(sender, place.replace("http:", "https:"))).failure == "tls_failed"
    assert (await _check(sender, "http://no-such-name.invalid/")).failure == "dns_failed"


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://10.0.0.1/", "http://[::1]/", "ftp://x/", "", "http://["]
)
async def test_refused_addresses_are_not_asked(start_sender: StartSender, url: str) -> None:
    found = await _check(await start_sender(), url)
    assert found.failure in ("address_refused", "bad_request")
    assert found.http_status == 0

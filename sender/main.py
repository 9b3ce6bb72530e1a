"""Composition root of the sender: reads settings, builds objects, serves until told to stop."""

import asyncio
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
import uvloop
from prometheus_client import CollectorRegistry, start_http_server

from certificates.folder import Certificates, CertificatesError
from sender.addresses import AddressPolicy
from sender.backend_door import BackendDoor
from sender.backends.registry import BACKENDS
from sender.deliver import Delivery, Route
from sender.destinations.registry import DESTINATIONS
from sender.egress import Egress
from sender.guard import Guard
from sender.logs import configure_logs
from sender.look_up import LookUps
from sender.names import SystemNames
from sender.pbx.desk import PbxDesk
from sender.pbx.reader import PbxReader
from sender.pbx.socket import PbxSockets
from sender.pbx.tokens import Tokens
from sender.pbx.watch import Pace
from sender.permit import PermitDesk
from sender.post import Posting
from sender.reach import Reaching
from sender.record import Recorder
from sender.rpc.server import SenderServer
from sender.rpc.servicer import SenderServicer
from sender.sandbox_door import SandboxDoor
from sender.settings import Settings, SettingsError, read_settings
from sender.turns import Turns

ATTEMPTS_IN_ALL = 2_048
ATTEMPTS_PER_INSTANCE = 512
LOOK_UPS_IN_ALL = 16
LOOK_UPS_PER_INSTANCE = 1
CHECKS_IN_ALL = 16
CHECKS_PER_HOST = 2
POSTS_IN_ALL = 1_024
POSTS_PER_HOST = 128
DRAIN_SECONDS = 10.0
_NAME_SERVER_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Parts:
    names: SystemNames
    egress: Egress
    own_network: Egress
    delivery: Delivery
    servicer: SenderServicer


def _build(settings: Settings, registry: CollectorRegistry) -> _Parts:
    policy = AddressPolicy(settings.allowed_private_ranges, https_required=not settings.development)
    names = SystemNames(_NAME_SERVER_SECONDS)
    egress = Egress(policy, names.lookup)
    own_network = Egress(
        AddressPolicy(settings.allowed_private_ranges, https_required=False, nothing_else=True), names.lookup
    )
    backend_door = egress if settings.development else BackendDoor(egress, own_network)
    sandbox = SandboxDoor(asyncio.sleep)
    recorder = Recorder(registry)
    guard = Guard(_now, time.monotonic)
    routes = {
        name: Route(backend, sandbox if name == "sandbox" else backend_door)
        for name, backend in BACKENDS.items()
    }
    delivery = Delivery(
        permits=PermitDesk(settings.permit_public_keys, _now),
        guard=guard,
        routes=routes,
        turns=Turns(ATTEMPTS_IN_ALL, ATTEMPTS_PER_INSTANCE),
        recorder=recorder,
        monotonic=time.monotonic,
    )
    posting = Posting(
        destinations=DESTINATIONS,
        door=egress,
        turns=Turns(POSTS_IN_ALL, POSTS_PER_HOST),
        recorder=recorder,
        now=_now,
        monotonic=time.monotonic,
    )
    look_ups = LookUps(routes, Turns(LOOK_UPS_IN_ALL, LOOK_UPS_PER_INSTANCE), time.monotonic)
    reaching = Reaching(egress, Turns(CHECKS_IN_ALL, CHECKS_PER_HOST), time.monotonic)
    servicer = SenderServicer(delivery, posting, look_ups, reaching, guard, recorder, _pbx_desk(egress))
    return _Parts(names, egress, own_network, delivery, servicer)


def _pbx_desk(egress: Egress) -> PbxDesk:
    tokens = Tokens(egress)
    return PbxDesk(PbxReader(egress, tokens), PbxSockets(egress, tokens), _now, random.random, Pace())


async def serve(settings: Settings, stop: asyncio.Event, ready: Callable[[str], None] | None = None) -> None:
    """Serves until `stop` is set, then finishes what is under way, for at most 10 s.

    `ready` is called with `host:port` once calls are answered. Raises OSError if an address is taken.
    """
    registry = CollectorRegistry()
    parts = _build(settings, registry)
    server = SenderServer(
        parts.servicer,
        settings.tokens,
        with_reflection=settings.development,
        credentials=Certificates(settings.tls_folder).server_credentials() if settings.tls_folder else None,
    )
    metrics = _start_metrics(settings, registry)
    await parts.egress.open()
    await parts.own_network.open()
    try:
        address = await server.start(settings.listen)
        structlog.get_logger("sender").info("serving", address=address)
        if ready is not None:
            ready(address)
        await stop.wait()
        await _drain(server, parts)
    finally:
        await server.stop(0.5)
        await parts.egress.close()
        await parts.own_network.close()
        parts.names.close()
        if metrics is not None:
            metrics()


async def _drain(server: SenderServer, parts: _Parts) -> None:
    """Takes nothing new and waits for what is under way."""
    await server.say_leaving()
    parts.delivery.close()
    await parts.delivery.idle(DRAIN_SECONDS)
    parts.servicer.end_streams()
    structlog.get_logger("sender").info("stopping", given_up=parts.delivery.under_way)


def _start_metrics(settings: Settings, registry: CollectorRegistry) -> Callable[[], None] | None:
    if not settings.metrics_listen:
        return None
    host, _, port = settings.metrics_listen.rpartition(":")
    web, thread = start_http_server(int(port), host.strip("[]"), registry)

    def close() -> None:
        web.shutdown()
        web.server_close()
        thread.join()

    return close


def _now() -> datetime:
    return datetime.now(UTC)


async def _serve_until_signal(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop, lambda _: _tune_collector())


def _tune_collector() -> None:
    """Long-lived objects are set apart, and collections made rarer: half the p99 under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def main(env: Mapping[str, str] | None = None) -> int:
    """Runs the sender as its own process. 0 after a clean stop, 1 if it cannot listen, 2 for settings."""
    try:
        settings = read_settings(os.environ if env is None else env)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logs(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve_until_signal(settings))
    except CertificatesError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"The sender cannot start: {error}.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

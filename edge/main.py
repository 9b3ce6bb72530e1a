"""The edge's composition root: reads settings, builds everything, serves, and drains when told to stop."""

import asyncio
import contextlib
import gc
import os
import random
import resource
import secrets
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Final

import structlog
import uvicorn
import uvloop

from certificates.folder import Certificates, CertificatesError
from edge.api.admin_decisions import AdminDecisions
from edge.api.documents import Documents
from edge.api.sandbox import Sandbox
from edge.api.send_message import SendApi
from edge.api.system import SystemState
from edge.app import Routes, create_app
from edge.clients.policycore import PolicyCore
from edge.connection import ConnectionLimits, protocol_with
from edge.credential_feed import CredentialFeed
from edge.credentials import CUT_OFF_SECONDS, CredentialCache
from edge.errors import SettingsError
from edge.gate import Gate
from edge.metrics import EdgeMetrics
from edge.metrics_app import MetricsApp
from edge.refusals import RefusalLog, RefusalReporter
from edge.settings import Listen, Settings, read_settings
from edge.webhooks.crm_doors import ContactLookUp, CrmTemplate
from edge.webhooks.dialect_route import DialectWebhook
from edge.webhooks.routes import ThreecxWebhook
from edge.webhooks.sms_routes import SmsProvider
from edge.webhooks.whatsapp_routes import WhatsappWebhook

DRAIN_SECONDS: Final = 10
KEEP_ALIVE_SECONDS: Final = 75
_BACKLOG: Final = 2_048
_OTHER_FILES: Final = 256
"""Open files that are no client's: streams to the policy core, the log, the listeners."""
_UNREAD_MILLISECONDS: Final = 60_000

Ready = Callable[[str], None]
"""Called once the edge listens, with the `host:port` it really has."""


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers of its own: whoever calls `serve` decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    ready: Ready | None = None,
    cut_off_seconds: float = CUT_OFF_SECONDS,
    limits: ConnectionLimits | None = None,
) -> None:
    """Serves until `stop` is set, then finishes what is under way.

    Raises OSError if it cannot listen, CertificatesError if its certificate cannot be used.

    `cut_off_seconds` is how long callers are served on credentials that the policy core does not confirm,
    `limits` what clients may take; without it, as many connections as the process may open.
    """
    certificates = Certificates(settings.tls_folder) if settings.tls_folder else None
    core = PolicyCore(settings.policycore_address, settings.token, jitter=_jitter, certificates=certificates)
    cache = CredentialCache(cut_off_seconds)
    refusals = RefusalLog()
    metrics = EdgeMetrics()
    feed = CredentialFeed(cache, core.watch_credentials, time.monotonic, _jitter)
    gate = Gate(cache, refusals, metrics, settings.trusted_proxies, time.time, time.monotonic)
    routes = _routes(settings, core, gate, feed)
    app = create_app(routes, metrics, time.monotonic)
    reporter = RefusalReporter(refusals, core.report_refusals)
    listener = _listener(settings.listen)
    try:
        async with _running(core, feed, reporter), _metrics_served(settings.metrics_listen, metrics, gate):
            host, port = listener.getsockname()[:2]
            structlog.get_logger("edge.main").info("edge_listens", host=host, port=port)
            if ready is not None:
                ready(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            leave = _leave(stop, routes.system, settings.leave_seconds)
            await _serve_until(app, listener, leave, limits or _room())
    finally:
        listener.close()


def _routes(settings: Settings, core: PolicyCore, gate: Gate, feed: CredentialFeed) -> Routes:
    return Routes(
        threecx=ThreecxWebhook(gate, core),
        crm_lookup=ContactLookUp(gate, core),
        crm_template=CrmTemplate(gate, core, settings.public_url),
        sms=SmsProvider(gate, core, lambda: uuid.uuid4().hex),
        dialect=DialectWebhook(gate, core),
        whatsapp=WhatsappWebhook(gate, core, secrets.token_urlsafe(32)),
        send_api=SendApi(gate, core),
        admin=AdminDecisions(gate, core),
        sandbox=Sandbox(gate, core, settings.sandbox, lambda: uuid.uuid4().hex),
        system=SystemState(gate, feed, settings.environment),
        documents=Documents(),
    )


def _jitter() -> float:
    """A factor of 0.8 to 1.2, so that many edges do not come back at the same instant."""
    return random.uniform(0.8, 1.2)


@contextlib.asynccontextmanager
async def _running(core: PolicyCore, feed: CredentialFeed, reporter: RefusalReporter) -> AsyncIterator[None]:
    core.start()
    tasks = [
        asyncio.create_task(feed.run()),
        asyncio.create_task(reporter.run()),
        asyncio.create_task(core.keep_certificates()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await reporter.flush()
        await core.close()


@contextlib.asynccontextmanager
async def _metrics_served(listen: Listen | None, metrics: EdgeMetrics, gate: Gate) -> AsyncIterator[None]:
    if listen is None:
        yield
        return
    stop = asyncio.Event()
    listener = _listener(listen)
    host, port = listener.getsockname()[:2]
    structlog.get_logger("edge.main").info("metrics_listen", host=host, port=port)
    serving = _serve_until(MetricsApp(metrics, gate), listener, stop.wait(), ConnectionLimits())
    task = asyncio.create_task(serving)
    try:
        yield
    finally:
        stop.set()
        await task
        listener.close()


async def _leave(stop: asyncio.Event, system: SystemState, seconds: float) -> None:
    """Returns when it is time to close: after `stop`, and after a proxy has had time to see that we are leaving."""
    await stop.wait()
    system.leaving = True
    if seconds:
        structlog.get_logger("edge.main").info("edge_leaves", seconds=seconds)
        await asyncio.sleep(seconds)


async def _serve_until(
    app: Any, listener: socket.socket, leave: Coroutine[Any, Any, object], limits: ConnectionLimits
) -> None:
    """Serves until `leave` returns, and finishes what is under way."""
    config = uvicorn.Config(
        app,
        http=protocol_with(limits),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopped = asyncio.create_task(leave)
    try:
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        stopped.cancel()


def _room() -> ConnectionLimits:
    """Connections that leave files for everything else, after asking the system for as many as it grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ConnectionLimits().connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        soft = wanted
    return ConnectionLimits(connections=max(min(soft, wanted) - _OTHER_FILES, soft // 2))


def _listener(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    listener = socket.create_server((listen.host, listen.port), family=family, backlog=_BACKLOG)
    # Inherited by every connection: head and body of an answer go out at once, not 40 ms apart.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A client that does not read its answers is let go (Linux only).
    if (user_timeout := getattr(socket, "TCP_USER_TIMEOUT", None)) is not None:
        listener.setsockopt(socket.IPPROTO_TCP, user_timeout, _UNREAD_MILLISECONDS)
    return listener


def configure_logging(level: str) -> None:
    """JSON lines on standard error, from `level` on."""
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop, lambda _: _tune_collector())


def _tune_collector() -> None:
    """What was built until now stays: the collector need not look at it again, which halves the slowest answers."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def main(environ: Mapping[str, str] | None = None) -> int:
    """Runs the edge until SIGINT or SIGTERM; the exit code: 0 stopped, 1 cannot listen, 2 wrong settings."""
    try:
        settings = read_settings(os.environ if environ is None else environ)
    except SettingsError as error:
        sys.stderr.write(f"edge: {error}\n")
        return 2
    configure_logging(settings.log_level)
    try:
        uvloop.run(_run(settings))
    except CertificatesError as error:
        sys.stderr.write(f"edge: {error}\n")
        return 2
    except OSError as error:
        listen = settings.listen
        sys.stderr.write(f"edge: cannot listen on {listen.host}:{listen.port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

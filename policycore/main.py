"""Composition root of the policy core: reads settings, builds objects, serves until told to stop."""

import asyncio
import gc
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog
import uvloop
from prometheus_client import start_http_server
from sqlalchemy.exc import SQLAlchemyError

from certificates.folder import CertificatesError
from policycore.assembly import PolicyCore, Surroundings, assemble
from policycore.errors import PolicyCoreError
from policycore.logs import configure_logs
from policycore.registry.credentials import token_id
from policycore.registry.sealing import SealingError, key_id
from policycore.settings import Settings, SettingsError, read_settings
from policycore.store.store_errors import StoreFenced

DRAIN_SECONDS = 10.0
SWEEP_SECONDS = 5.0
RECONCILE_SECONDS = 2.0
AFTER_HOURS_SECONDS = 3.0
"""How often chats are looked through that arrived while a business was closed."""
RETENTION_SECONDS = 60.0
WINDOWS_SECONDS = 30.0
CLEAN_EVERY = 12
"""Expired rows are removed at every twelfth sweep: once a minute."""

_COUNT_EVERY = 15
"""Unknown messages are counted, settled ones forgotten, and acknowledgements looked at, at every fifteenth round."""


def _now() -> datetime:
    return datetime.now(UTC)


async def serve(settings: Settings, stop: asyncio.Event, ready: Callable[[str], None] | None = None) -> None:
    """Serves until `stop` is set, then finishes what is under way, for at most 10 s.

    `ready` is called with `host:port` once calls are answered. Raises OSError if an address is taken, and
    SQLAlchemy's errors if the database cannot be read.
    """
    log = structlog.get_logger("policycore")
    core = await assemble(Surroundings(settings, _now, time.monotonic, secrets.token_bytes))
    metrics = None
    if settings.metrics_listen:
        host, _, port = settings.metrics_listen.rpartition(":")
        metrics = start_http_server(int(port), host.strip("[]"), core.use_cases.metrics.registry)
    try:
        await core.start()
        address = await core.server.start(settings.listen)
        log.info("serving", address=address, keys=key_ids(settings))
        if ready is not None:
            ready(address)
        keepers = [
            asyncio.create_task(_keep_house(core)),
            asyncio.create_task(core.invariants.run_every(settings.invariants_every_seconds)),
            asyncio.create_task(core.retention.run_every(RETENTION_SECONDS)),
            asyncio.create_task(core.windows.run_every(WINDOWS_SECONDS)),
            asyncio.create_task(_reconcile(core)),
            asyncio.create_task(core.after_hours.run_every(AFTER_HOURS_SECONDS)),
            asyncio.create_task(core.ways.keep_certificates()),
        ]
        await stop.wait()
        for keeper in keepers:
            keeper.cancel()
        log.info("stopping")
        await core.server.say(serving=False)
        await core.drain(DRAIN_SECONDS)
    finally:
        await core.close()
        if metrics is not None:
            metrics[0].shutdown()
            metrics[0].server_close()


def key_ids(settings: Settings) -> dict[str, list[str]]:
    """The ids of the keys this process works with, the current one first: what a rotation is followed by."""
    return {
        "master": [key_id(each) for each in settings.master_keys],
        "permit": [settings.permit_key.key_id],
        "edge": [token_id(each) for each in settings.edge_tokens],
        "admin": [token_id(each) for each in settings.admin_tokens],
        "sender": [token_id(settings.sender_token)],
    }


async def _keep_house(core: PolicyCore) -> None:
    """Takes up what dead processes left, and removes what has expired."""
    log = structlog.get_logger("policycore")
    rounds = 0
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        rounds += 1
        core.observe()
        try:
            taken_up = await core.dispatcher.sweep()
            if taken_up:
                log.info("sweep.taken_up", messages=taken_up)
            await core.dispatcher.match_receipts()
            await core.note_token_uses()
            if rounds % CLEAN_EVERY == 0:
                await core.dispatcher.clean()
        except (PolicyCoreError, SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("sweep.failed", error=type(error).__name__)


async def _reconcile(core: PolicyCore) -> None:
    """Looks for messages whose outcome is unknown, beside everything else: a slow back end holds up nobody."""
    log = structlog.get_logger("policycore")
    rounds = 0
    while True:
        await asyncio.sleep(RECONCILE_SECONDS)
        rounds += 1
        try:
            await core.reconciler.run_round()
            if rounds % _COUNT_EVERY == 0:
                await core.count_unknowns()
                await core.look_at_acknowledgements()
        except (PolicyCoreError, SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("reconcile.failed", error=type(error).__name__)


def _tune_collector() -> None:
    """Everything built so far lives as long as the process; what follows is mostly short-lived."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await serve(settings, stop, lambda _: _tune_collector())


def main(environ: Mapping[str, str] | None = None) -> int:
    """Runs the policy core; returns the exit code: 0 stopped, 1 failed, 2 wrong settings."""
    try:
        settings = read_settings(os.environ if environ is None else environ)
    except SettingsError as error:
        sys.stderr.write(f"policycore: {error}\n")
        return 2
    configure_logs(settings.log_level)
    try:
        uvloop.run(_run(settings))
    except (SealingError, CertificatesError, StoreFenced) as error:
        # A wrong master key or certificate is a wrong setting, a fence needs a person: starting again would not help.
        sys.stderr.write(f"policycore: {error}\n")
        return 2
    except (OSError, PolicyCoreError) as error:
        sys.stderr.write(f"policycore: {error}\n")
        return 1
    except SQLAlchemyError as error:
        sys.stderr.write(
            f"policycore: HUBGATE_DATABASE_URL: the database cannot be used ({type(error).__name__}).\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

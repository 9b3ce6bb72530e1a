"""Builds the policy core's objects and knows in which order they start and stop."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from policycore.after_commit import GUARDED_FOR, AfterCommit
from policycore.checks import build_checks
from policycore.content.load import load_scorer
from policycore.counters.memory import MemoryCounters
from policycore.counters.redis import RedisCounters, open_client
from policycore.dispatch.addresses import resolve_posting
from policycore.dispatch.dispatcher import Dispatcher
from policycore.dispatch.guards import GuardBroadcaster
from policycore.dispatch.links import SenderLink
from policycore.dispatch.outbox import OutboxWorker
from policycore.dispatch.permits import PermitSigner
from policycore.dispatch.senders import SenderPool
from policycore.ids import RandomBytes, new_id
from policycore.metrics import Metrics
from policycore.optout.match import Match, match
from policycore.optout.words import load as load_words
from policycore.optout.words import packaged_folder as word_folder
from policycore.ports import Counters
from policycore.registry.changes import ConfigChanges
from policycore.registry.registry import build_registry
from policycore.registry.sealing import Sealing
from policycore.rpc.admin_service import AdminServicer
from policycore.rpc.identity import HEALTH, REFLECTION, IdentityInterceptor, built_in_identities
from policycore.rpc.policy import PolicyServicer, PolicyUseCases
from policycore.rpc.server import PolicyServer
from policycore.settings import Settings
from policycore.store.config_cache import ConfigCache
from policycore.store.decisions import SqlDecisionLedger
from policycore.store.engine import Database, open_database
from policycore.store.events import SqlEventLedger
from policycore.store.log_queries import SqlDeliveryReplays, SqlLogReader
from policycore.store.outbox import SqlOutbox
from policycore.store.registry_store import SqlRegistryStore
from policycore.system_watch import CoreWatch
from policycore.usecases.decide_batch import BatchDecider
from policycore.usecases.record_events import EventRecorder
from policycore.usecases.submit import Submitter

FRESH_SECONDS = 1.5
"""A copy of the configuration older than this guards nobody: senders then stop by themselves."""

_UNSEALED = 20_000


@dataclass(slots=True)
class PolicyCore:
    """The running parts."""

    database: Database
    config: ConfigCache
    events: SqlEventLedger
    dispatcher: Dispatcher
    submitter: Submitter
    recorder: EventRecorder
    outbox: OutboxWorker
    senders: SenderPool
    guards: GuardBroadcaster
    links: list[SenderLink]
    server: PolicyServer
    metrics: Metrics
    redis: Any = None

    async def start(self) -> None:
        """Starts everything but the server. The configuration was loaded before."""
        await self.guards.start()
        await self.senders.start()
        await self.outbox.start()

    def observe(self) -> None:
        """Sets the gauges."""
        self.metrics.configuration_age.set(self.config.age_seconds())
        self.metrics.senders_available.set(1 if self.senders.available() else 0)

    async def drain(self, seconds: float) -> None:
        """Takes no new calls and finishes what is under way."""
        await self.server.stop(seconds / 2)
        await self.submitter.drain()
        await self.recorder.drain()
        await self.dispatcher.drain(seconds / 2)

    async def close(self) -> None:
        """Stops everything, in the reverse order."""
        await self.server.stop(0)
        await self.outbox.stop()
        await self.senders.close(0.5)
        await self.guards.close()
        for link in self.links:
            await link.close()
        await self.config.stop()
        await self.database.close()
        if self.redis is not None:
            await self.redis.aclose()


async def assemble(
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    monotonic: Callable[[], float],
    random_bytes: RandomBytes,
) -> PolicyCore:
    """Builds the policy core over its database and loads the configuration."""
    database = open_database(settings.database_url, clock)
    sealing = Sealing(settings.master_key, random_bytes)
    changes = ConfigChanges()
    config = ConfigCache(database, lru_cache(maxsize=_UNSEALED)(sealing.unseal), changes, clock, monotonic)
    try:
        await config.start()
    except BaseException:
        await database.close()
        raise
    counters, redis = _counters(settings, monotonic)
    links = [SenderLink(address, settings.sender_token, monotonic) for address in settings.sender_addresses]
    key = settings.permit_key
    senders = SenderPool(links, PermitSigner(key.key_id, key.seed, random_bytes), monotonic)
    guards = GuardBroadcaster(
        links,
        config.current,
        lambda: config.age_seconds() < FRESH_SECONDS,
        clock,
        new_id("pcr_", random_bytes),
    )
    ledger = SqlDecisionLedger(database, config.at)
    events = SqlEventLedger(database, config.at)
    outbox = OutboxWorker(
        SqlOutbox(database),
        senders,
        resolve_posting(config.current),
        clock,
        random.SystemRandom().random,
        ready=senders.available,
    )
    dispatcher = Dispatcher(
        events,
        senders,
        counters,
        config.current,
        clock,
        random_bytes,
        deliveries_waiting=outbox.wake,
        states_changed=changes.notify,
        opted_out=lambda person_id: guards.opted_out(person_id, clock() + GUARDED_FOR),
    )
    after = AfterCommit(dispatcher, guards, changes, outbox.wake, clock)
    words = load_words(word_folder())

    def match_opt_out(text: str, language: str) -> Match:
        return match(text, words, language_hint=language or None)

    recorder = EventRecorder(events, match_opt_out, after, random_bytes)
    dispatcher.record = recorder.record
    decider = BatchDecider(
        ledger, counters, build_checks(load_scorer()), clock, random_bytes, senders.available
    )
    submitter = Submitter(decider, ledger, events, counters, dispatcher, clock)
    metrics = Metrics()
    use_cases = PolicyUseCases(database, config, submitter, recorder, metrics, monotonic)
    registry = build_registry(
        store=SqlRegistryStore(database, changes.notify),
        log_reader=SqlLogReader(database),
        replays=SqlDeliveryReplays(database),
        sealing=sealing,
        probe=senders,
        guards=guards,
        system=CoreWatch(database, counters, links, config.current, clock),
        wake_outbox=outbox.wake,
        random_bytes=random_bytes,
        plain_http=settings.development,
    )
    server = PolicyServer(
        PolicyServicer(use_cases),
        AdminServicer(registry),
        [_identity(settings, config, clock)],
        with_reflection=settings.development,
    )
    return PolicyCore(
        database,
        config,
        events,
        dispatcher,
        submitter,
        recorder,
        outbox,
        senders,
        guards,
        links,
        server,
        metrics,
        redis,
    )


def _counters(settings: Settings, monotonic: Callable[[], float]) -> tuple[Counters, Any]:
    twin = MemoryCounters(monotonic)
    if settings.redis_url is None:
        return twin, None
    client = open_client(settings.redis_url)
    return RedisCounters(client, twin, monotonic), client


def _identity(settings: Settings, config: ConfigCache, clock: Callable[[], datetime]) -> IdentityInterceptor:
    exempt = (HEALTH, REFLECTION) if settings.development else (HEALTH,)
    return IdentityInterceptor(
        built_in_identities(settings.edge_token, settings.admin_token),
        lambda digest: config.current().service_tokens.get(digest),  # noqa: PLW0108 - the newest one, each time
        clock,
        exempt,
    )

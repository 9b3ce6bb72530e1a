"""Builds the policy core's objects and knows in which order they start and stop."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from certificates.folder import RENEWAL_LOOK_SECONDS, Certificates
from policycore.after_commit import GUARDED_FOR, AfterCommit
from policycore.checks import build_checks
from policycore.content.load import load_scorer
from policycore.counters.memory import MemoryCounters
from policycore.counters.redis import RedisCounters, open_client
from policycore.dispatch.addresses import resolve_posting
from policycore.dispatch.dispatcher import Dispatcher
from policycore.dispatch.guards import GuardBroadcaster
from policycore.dispatch.instance_gates import InstanceGates
from policycore.dispatch.links import SenderLink
from policycore.dispatch.opt_out_watch import OptOutWatch
from policycore.dispatch.outbox import OutboxWorker
from policycore.dispatch.pbx_senders import PbxSenderPool
from policycore.dispatch.pbx_watcher import PbxWatcher
from policycore.dispatch.permits import PermitSigner
from policycore.dispatch.reconciler import Reconciler
from policycore.dispatch.senders import SenderPool
from policycore.ids import RandomBytes, new_id
from policycore.invariants.watch import InvariantWatch
from policycore.metrics import Metrics
from policycore.optout.match import Match, match
from policycore.optout.words import load as load_words
from policycore.optout.words import packaged_folder as word_folder
from policycore.ports import Counters
from policycore.registry.changes import ConfigChanges
from policycore.registry.registry import Registry, build_registry
from policycore.registry.sealing import Sealing
from policycore.retention_watch import RetentionWatch
from policycore.rpc.admin_service import AdminServicer
from policycore.rpc.identity import HEALTH, REFLECTION, IdentityInterceptor, built_in_identities
from policycore.rpc.policy import PolicyServicer, PolicyUseCases
from policycore.rpc.server import PolicyServer
from policycore.settings import Settings
from policycore.store.acknowledgements import SqlAcknowledgements
from policycore.store.calendars import SqlChats
from policycore.store.call_folds import SqlCallFolds
from policycore.store.config_cache import ConfigCache
from policycore.store.connection_reads import SqlConnectionReads
from policycore.store.contact_queries import SqlContacts
from policycore.store.decisions import SqlDecisionLedger
from policycore.store.engine import Database, open_database
from policycore.store.events import SqlEventLedger
from policycore.store.home import move_in
from policycore.store.invariant_store import SqlInvariantStore
from policycore.store.log_queries import SqlDeliveryReplays, SqlLogReader
from policycore.store.message_authors import SqlMessageAuthors
from policycore.store.outbox import SqlOutbox
from policycore.store.policy_reads import SqlPolicyReads
from policycore.store.registry_store import SqlRegistryStore
from policycore.store.registry_uses import record_token_uses
from policycore.store.retention import Keeping, Retention
from policycore.store.threecx_watches import SqlPbxLedger
from policycore.store.unknowns import SqlUnknownLedger
from policycore.store.window_notices import SqlWindowNotices
from policycore.system_watch import CoreWatch
from policycore.usecases.after_hours import AfterHours
from policycore.usecases.announce_windows import WindowAnnouncer
from policycore.usecases.check_connection import ConnectionCheck, ConnectionParts
from policycore.usecases.crm_reports import CrmReports
from policycore.usecases.decide_batch import BatchDecider
from policycore.usecases.gateway_lines import GatewayLines
from policycore.usecases.learn_authors import Authors
from policycore.usecases.look_up_contact import ContactLookUp
from policycore.usecases.record_events import EventRecorder
from policycore.usecases.settle_unknown import UnknownMessages
from policycore.usecases.submit import Submitter
from policycore.usecases.tell_missed_calls import MissedCalls
from policycore.usecases.watch_acknowledgements import AcknowledgementWatch
from policycore.window_watch import WindowWatch

FRESH_SECONDS = 1.5
"""A copy of the configuration older than this guards nobody: senders then stop by themselves."""

_UNSEALED = 20_000


@dataclass(slots=True)
class PolicyCore:
    """The running parts."""

    database: Database
    config: ConfigCache
    use_cases: PolicyUseCases
    dispatcher: Dispatcher
    outbox: OutboxWorker
    ways: "_Ways"
    opt_outs: OptOutWatch
    server: PolicyServer
    leaving: asyncio.Event
    identities: IdentityInterceptor
    invariants: InvariantWatch
    retention: RetentionWatch
    reconciler: Reconciler
    unknowns: SqlUnknownLedger
    acknowledgements: AcknowledgementWatch
    pbx_watcher: PbxWatcher
    windows: WindowWatch
    after_hours: AfterHours

    async def start(self) -> None:
        """Starts everything but the server. The configuration was loaded before."""
        if self.ways.redis is not None:
            await self.ways.redis.warm_up()
        # Senders that lost the process before this one listen to whoever speaks first: it must know by then.
        await self.opt_outs.look()
        await self.ways.guards.start()
        self.opt_outs.start()
        self.config.subscribers.append(self.ways.guards.changed)
        await self.ways.senders.start()
        await self.outbox.start()
        await self.pbx_watcher.start()

    def observe(self) -> None:
        """Sets the gauges."""
        metrics = self.use_cases.metrics
        metrics.configuration_age.set(self.config.age_seconds())
        metrics.senders_available.set(1 if self.ways.senders.available() else 0)
        metrics.show_held_back(self.ways.gates.held, self.ways.gates.openings)

    async def count_unknowns(self) -> None:
        """Forgets unknown messages that are settled, and sets the gauges of the others."""
        await self.unknowns.clean()
        unknown, to_settle = await self.unknowns.count()
        self.use_cases.metrics.unknown_messages.set(unknown)
        self.use_cases.metrics.unknown_to_settle.set(to_settle)

    async def look_at_acknowledgements(self) -> None:
        """Marks instances whose sends are not acknowledged, unmarks others, and sets the gauge."""
        self.use_cases.metrics.instances_unacknowledged.set(await self.acknowledgements.look())

    async def note_token_uses(self) -> None:
        """Moves the last-used marks of service tokens forward."""
        uses = self.identities.take_uses()
        if uses:
            await record_token_uses(self.database, uses)

    async def drain(self, seconds: float) -> None:
        """Takes no new calls and finishes what is under way. Guards outlive it: without one nothing is sent."""
        self.leaving.set()
        await self.pbx_watcher.stop()
        await self.server.stop(seconds / 2)
        await self.use_cases.submitter.drain()
        await self.use_cases.recorder.drain()
        await self.use_cases.lines.drain()
        await self.dispatcher.drain(seconds / 2)

    async def close(self) -> None:
        """Stops everything, in the reverse order."""
        await self.server.stop(0)
        await self.pbx_watcher.stop()
        await self.outbox.stop(2.0)
        await self.ways.senders.close(0.5)
        await self.opt_outs.stop()
        await self.ways.guards.close()
        for link in self.ways.links:
            await link.close()
        await self.config.stop()
        await self.database.close()
        if self.ways.redis is not None:
            await self.ways.redis.close()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What comes from outside: settings, the two clocks, randomness."""

    settings: Settings
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    random_bytes: RandomBytes


@dataclass(frozen=True, slots=True)
class _Ways:
    """The ways out: counters, the senders with their guards, and the gates of the instances."""

    counters: Counters
    redis: RedisCounters | None
    links: list[SenderLink]
    senders: SenderPool
    guards: GuardBroadcaster
    gates: InstanceGates
    certificates: Certificates | None

    async def keep_certificates(self) -> None:
        """Has new calls to the senders show a renewed certificate. Returns at once if there is none."""
        while self.certificates is not None:
            await asyncio.sleep(RENEWAL_LOOK_SECONDS)
            # Reading files is quick, but not this loop's business.
            renewed = await asyncio.to_thread(self.certificates.renewed)
            for link in self.links:
                await link.look_after_channels(renewed=renewed)


async def assemble(around: Surroundings) -> PolicyCore:
    """Builds the policy core over its database and loads the configuration."""
    settings, clock = around.settings, around.clock
    database = open_database(settings.database_url, clock)
    current, *others = settings.master_keys
    sealing = Sealing(current, around.random_bytes, others)
    changes = ConfigChanges()
    config = await _loaded(around, database, sealing, changes)
    ways = _ways(around, config)
    outbox = OutboxWorker(
        SqlOutbox(database),
        ways.senders,
        resolve_posting(config.current, config.database_now),
        clock,
        random.SystemRandom().random,
        ready=ways.senders.available,
    )
    use_cases, dispatcher = _use_cases(around, database, config, changes, ways, outbox)
    unknowns = SqlUnknownLedger(database, config.at)
    connections = _connections(around, database, config, changes, ways, use_cases)
    registry = _registry(around, database, sealing, config, changes, ways, outbox, unknowns, connections)
    identities = _identity(settings, config, clock)
    leaving = asyncio.Event()
    server = _server(settings, use_cases, registry, identities, leaving)
    invariants = InvariantWatch(SqlInvariantStore(database), use_cases.metrics, around.monotonic)
    keeping = Keeping(
        settings.log_retention_months, settings.text_retention_days, settings.bounds.deliveries_kept_days
    )
    retention = RetentionWatch(Retention(database, keeping), use_cases.metrics, around.monotonic)
    opt_outs = OptOutWatch(SqlEventLedger(database, config.at), ways.guards, clock)
    reconciler = Reconciler(unknowns, ways.senders, config.current, around.random_bytes, outbox.wake)
    announcer = WindowAnnouncer(
        SqlWindowNotices(database, config.at), config.current, around.random_bytes, outbox.wake
    )
    return PolicyCore(
        database,
        config,
        use_cases,
        dispatcher,
        outbox,
        ways,
        opt_outs,
        server,
        leaving,
        identities,
        invariants,
        retention,
        reconciler,
        unknowns,
        AcknowledgementWatch(SqlAcknowledgements(database), changes.notify),
        _pbx_watcher(around, database, sealing, config, use_cases, ways),
        WindowWatch(announcer),
        AfterHours(SqlChats(database), use_cases.submitter, config.current, config.database_now),
    )


async def _loaded(
    around: Surroundings, database: Database, sealing: Sealing, changes: ConfigChanges
) -> ConfigCache:
    """The configuration of a store that may be used here. Errors: `StoreOutdated`, `StoreFenced`, `SealingError`."""
    unseal = lru_cache(maxsize=_UNSEALED)(sealing.unseal)
    config = ConfigCache(database, unseal, changes, around.clock, around.monotonic)
    try:
        await move_in(database)
        await config.start()
    except BaseException:
        await database.close()
        raise
    return config


def _pbx_watcher(
    around: Surroundings,
    database: Database,
    sealing: Sealing,
    config: ConfigCache,
    use_cases: PolicyUseCases,
    ways: _Ways,
) -> PbxWatcher:
    """What watches phone systems through their API."""
    ledger = SqlPbxLedger(database, sealing.unseal, around.random_bytes)
    desk = MissedCalls(ledger, use_cases.submitter, config.current, around.clock)
    holder, senders = new_id("pcr_", around.random_bytes), PbxSenderPool(ways.links)
    authors = Authors(SqlMessageAuthors(database), senders, config.current)
    return PbxWatcher(ledger, senders, desk, authors, holder, random.SystemRandom().random)


def _server(
    settings: Settings,
    use_cases: PolicyUseCases,
    registry: Registry,
    identities: IdentityInterceptor,
    leaving: asyncio.Event,
) -> PolicyServer:
    return PolicyServer(
        PolicyServicer(use_cases, leaving),
        AdminServicer(registry),
        [identities],
        with_reflection=settings.development,
        credentials=Certificates(settings.tls_folder).server_credentials() if settings.tls_folder else None,
    )


def _registry(
    around: Surroundings,
    database: Database,
    sealing: Sealing,
    config: ConfigCache,
    changes: ConfigChanges,
    ways: _Ways,
    outbox: OutboxWorker,
    unknowns: SqlUnknownLedger,
    connections: ConnectionCheck,
) -> Registry:
    """Everything behind AdminService."""
    settings = around.settings
    return build_registry(
        store=SqlRegistryStore(database, changes.notify),
        log_reader=SqlLogReader(database),
        replays=SqlDeliveryReplays(database),
        unknowns=UnknownMessages(unknowns, around.random_bytes, outbox.wake),
        sealing=sealing,
        probe=ways.senders,
        guards=ways.guards,
        system=CoreWatch(
            database,
            ways.counters,
            ways.links,
            config.current,
            around.clock,
            settings.invariants_every_seconds,
            ways.gates,
        ),
        holds=ways.gates,
        pbx=PbxSenderPool(ways.links),
        connections=connections,
        wake_outbox=outbox.wake,
        random_bytes=around.random_bytes,
        plain_http=settings.development,
    )


def _connections(
    around: Surroundings,
    database: Database,
    config: ConfigCache,
    changes: ConfigChanges,
    ways: _Ways,
    use_cases: PolicyUseCases,
) -> ConnectionCheck:
    parts = ConnectionParts(
        store=SqlRegistryStore(database, changes.notify),
        log=SqlLogReader(database),
        reads=SqlConnectionReads(database, config.at),
        holds=ways.gates,
        ways=ways.senders,
        submits=use_cases.submitter,
        random_bytes=around.random_bytes,
    )
    return ConnectionCheck(parts)


def _ways(around: Surroundings, config: ConfigCache) -> _Ways:
    settings, monotonic = around.settings, around.monotonic
    counters: Counters = MemoryCounters(monotonic)
    redis = None
    if settings.redis_url is not None:
        counters = redis = RedisCounters(
            open_client(settings.redis_url), MemoryCounters(monotonic), monotonic
        )
    certificates = Certificates(settings.tls_folder) if settings.tls_folder else None
    links = [
        SenderLink(address, settings.sender_token, monotonic, certificates=certificates)
        for address in settings.sender_addresses
    ]
    signer = PermitSigner(settings.permit_key.key_id, settings.permit_key.seed, around.random_bytes)
    senders = SenderPool(links, signer, monotonic)
    guards = GuardBroadcaster(
        links,
        config.current,
        lambda: config.age_seconds() < FRESH_SECONDS,
        around.clock,
        new_id("pcr_", around.random_bytes),
    )
    bounds = settings.bounds
    gates = InstanceGates(
        monotonic,
        most_under_way=bounds.instance_attempts,
        failures_to_open=bounds.breaker_failures,
        seconds=float(bounds.breaker_seconds),
    )
    return _Ways(counters, redis, links, senders, guards, gates, certificates)


def _use_cases(
    around: Surroundings,
    database: Database,
    config: ConfigCache,
    changes: ConfigChanges,
    ways: _Ways,
    outbox: OutboxWorker,
) -> tuple[PolicyUseCases, Dispatcher]:
    clock, random_bytes, bounds = around.clock, around.random_bytes, around.settings.bounds
    ledger = SqlDecisionLedger(database, config)
    events = SqlEventLedger(database, config.at)
    dispatcher = Dispatcher(
        events,
        ways.senders,
        ways.counters,
        config.current,
        clock,
        random_bytes,
        deliveries_waiting=outbox.wake,
        states_changed=changes.notify,
        opted_out=lambda person_id: ways.guards.opted_out(person_id, clock() + GUARDED_FOR),
        database_now=config.database_now,
        most_under_way=bounds.messages_under_way,
        gates=ways.gates,
    )
    after = AfterCommit(dispatcher, ways.guards, changes, outbox.wake, clock)
    recorder = EventRecorder(events, _opt_out_matcher(), after, random_bytes)
    dispatcher.record = recorder.record
    checks = build_checks(load_scorer())
    decider = BatchDecider(
        ledger, ways.counters, checks, clock, random_bytes, ways.senders.available, ways.gates
    )
    submitter = Submitter(
        decider,
        ledger,
        events,
        ways.counters,
        dispatcher,
        clock,
        max_waiting=bounds.requests_waiting,
        max_of_account=bounds.requests_waiting_per_account,
    )
    dispatcher.settle_after(submitter.deciding)
    lines = GatewayLines(events, clock, random_bytes, outbox.wake)
    use_cases = PolicyUseCases(
        SqlPolicyReads(database),
        config,
        submitter,
        recorder,
        lines,
        Metrics(),
        around.monotonic,
        CrmReports(submitter, SqlCallFolds(database), config.current, clock),
        ContactLookUp(submitter, SqlContacts(database), config.current),
    )
    return use_cases, dispatcher


def _opt_out_matcher() -> Callable[[str, str], Match]:
    words = load_words(word_folder())
    return lambda text, language: match(text, words, language_hint=language or None)


def _identity(settings: Settings, config: ConfigCache, clock: Callable[[], datetime]) -> IdentityInterceptor:
    exempt = (HEALTH, REFLECTION) if settings.development else (HEALTH,)
    return IdentityInterceptor(
        built_in_identities(settings.edge_tokens, settings.admin_tokens),
        lambda digest: config.current().service_tokens.get(digest),  # noqa: PLW0108 - the newest one, each time
        clock,
        exempt,
        certified=settings.tls_folder is not None,
    )

"""Owns one policy core process of a history: the product's own parts, put together over the twins."""

import asyncio
import contextlib
from functools import lru_cache

from policycore.after_commit import GUARDED_FOR, AfterCommit
from policycore.checks import NamedCheck, build_checks
from policycore.content.load import load_scorer
from policycore.dispatch.addresses import resolve_posting
from policycore.dispatch.dispatcher import Dispatcher
from policycore.dispatch.opt_out_watch import LOOK_SECONDS, OptOutWatch
from policycore.dispatch.outbox import OutboxWorker
from policycore.errors import PolicyCoreError
from policycore.ids import RandomBytes
from policycore.optout.match import Match, match
from policycore.optout.words import WordLists
from policycore.optout.words import load as load_words
from policycore.optout.words import packaged_folder as word_folder
from policycore.ports import Counters
from policycore.registry.changes import ConfigChanges
from policycore.usecases.decide_batch import BatchDecider
from policycore.usecases.record_events import EventRecorder
from policycore.usecases.submit import Submitter
from simulate.configuration import KnownConfiguration
from simulate.decision_twin import TwinDecisionLedger
from simulate.event_twin import TwinEventLedger
from simulate.outbox_twin import Endpoints, PosterTwin, TwinOutbox
from simulate.senders import SenderPoolTwin, Speaker
from simulate.store import Process, Store
from simulate.virtual_time import Clock

SWEEP_SECONDS = 5.0


@lru_cache(maxsize=1)
def _words() -> WordLists:
    return load_words(word_folder())


@lru_cache(maxsize=4_096)
def match_opt_out(text: str, language: str) -> Match:
    """The product's own ladder; its answers are kept, for histories say the same few things."""
    return match(text, _words(), language_hint=language or None)


class _LooksAtOnce(ConfigChanges):
    """A change made in this process is seen by it at once."""

    def __init__(self, known: KnownConfiguration) -> None:
        super().__init__()
        self._known = known

    def notify(self) -> None:
        self._known.look()


class Replica:
    """One policy core. After `process.kill()` nothing of it acts any more."""

    def __init__(
        self,
        process: Process,
        store: Store,
        known: KnownConfiguration,
        speaker: Speaker,
        counters: Counters,
        clock: Clock,
        random_bytes: RandomBytes,
        endpoints: Endpoints | None = None,
    ) -> None:
        self.process = process
        self.store = store
        self.known = known
        self.speaker = speaker
        pool = SenderPoolTwin(speaker.senders, speaker)
        decisions = TwinDecisionLedger(store, process, known)
        events = TwinEventLedger(store, process, known)
        changes = _LooksAtOnce(known)
        self.outbox = None if endpoints is None else self._worker(pool, endpoints)
        wake = _nothing if self.outbox is None else self.outbox.wake
        self.dispatcher = Dispatcher(
            events,
            pool,
            counters,
            known.current,
            clock,
            random_bytes,
            deliveries_waiting=wake,
            states_changed=changes.notify,
            opted_out=lambda person_id: speaker.opted_out(person_id, clock() + GUARDED_FOR),
            database_now=store.clock,
        )
        after = AfterCommit(self.dispatcher, speaker, changes, wake, clock)
        self.recorder = EventRecorder(events, match_opt_out, after, random_bytes)
        self.dispatcher.record = self.recorder.record
        decider = BatchDecider(
            decisions, counters, all_checks(), clock, random_bytes, pool.available, self.dispatcher.gates
        )
        self._opt_outs = OptOutWatch(events, speaker, clock)
        self.submitter = Submitter(decider, decisions, events, counters, self.dispatcher, clock)
        self.dispatcher.settle_after(self.submitter.deciding)

    def _worker(self, pool: SenderPoolTwin, endpoints: Endpoints) -> OutboxWorker:
        return OutboxWorker(
            TwinOutbox(self.store, self.process),
            PosterTwin(self.process, pool, endpoints),
            resolve_posting(self.known.current, self.store.clock),
            self.store.clock,
            self.store.random.random,
            ready=pool.available,
        )

    async def begin(self) -> None:
        """Looks into the ledger, until that can be done, and begins to speak to the senders."""
        if self.outbox is not None:
            await self.outbox.start()
        while self.process.alive:
            try:
                await self._opt_outs.look()
            except PolicyCoreError:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                self.speaker.begin()
                return

    async def keep_looking(self, somebody_to_guard: asyncio.Event) -> None:
        """Looks for opt-outs twice a second, as long as there is anything to be seen."""
        while self.process.alive:
            await somebody_to_guard.wait()
            await asyncio.sleep(LOOK_SECONDS * self.store.random.random())
            while self.process.alive and somebody_to_guard.is_set():
                with contextlib.suppress(PolicyCoreError):
                    await self._opt_outs.look()
                await asyncio.sleep(LOOK_SECONDS)

    async def keep_house(self, something_open: asyncio.Event) -> None:
        """Sweeps every 5 s, as long as there is anything to be swept."""
        while self.process.alive:
            await something_open.wait()
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.dispatcher.sweep()
                await self.dispatcher.match_receipts()
            except PolicyCoreError:
                continue


@lru_cache(maxsize=1)
def all_checks() -> tuple[NamedCheck, ...]:
    """The product's checks, built once."""
    return build_checks(load_scorer())


def _nothing() -> None:
    """Deliveries to customers are no part of this history."""

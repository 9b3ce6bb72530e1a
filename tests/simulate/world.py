"""Owns one history's world: a store, policy cores and senders that live and die, and whoever calls them."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from policycore.counters.memory import MemoryCounters
from policycore.counters.redis import RedisCounters
from policycore.errors import PolicyCoreError
from policycore.inbound import InboundEvent
from policycore.usecases.record_events import Report
from simulate.configuration import Company, KnownConfiguration, Versions, draw_company
from simulate.instances import Instances
from simulate.outbox_twin import Endpoints
from simulate.outside import Outside, Written
from simulate.redis_twin import RedisTwin, TimedCounters
from simulate.replica import Replica
from simulate.rows import OPEN, MessageRow
from simulate.senders import SenderTwin, Speaker
from simulate.settling import crossed, opted_out_under_way
from simulate.store import Change, Fate, Process, Store
from simulate.virtual_time import Clock

Answer = TypeVar("Answer")

_CALL_SECONDS = 15.0
_DAYS = ((2026, 3, 8), (2026, 3, 14), (2026, 3, 31), (2026, 11, 1), (2026, 12, 31))
"""Ordinary days, days on which clocks change somewhere, and ends of months."""


class NoAnswerError(Exception):
    """The process died, or took too long: the caller knows nothing."""


class World:
    """Everything a history happens in; all that is drawn comes from the seed."""

    def __init__(self, seed: int) -> None:
        loop = asyncio.get_running_loop()
        self.random = Random(seed)
        self.company: Company = draw_company(self.random)
        self.clock = Clock(loop, self._draw_start())
        self.outside = Outside()
        self.crash_rate = self.random.choice((0.0, 0.0, 0.01, 0.03))
        self.hides = self.random.random() < 0.3
        self.lost_rate = self.random.choice((0.0, 0.0, 0.0, 0.02))
        self.store = self.make_store()
        self.store.slowness = self.random.choice((0.2, 1.0, 1.0, 8.0))
        self.store.near_ceilings = self.random.choice((0, 0, 1, 32))
        self.store.fate = self._fate
        self.versions = Versions(self.store, self.company)
        self.store.committed = self._committed
        self.redis = RedisTwin(self.random, self.clock.seconds)
        self.instances = Instances(self.random, self.clock, self.outside, self.report)
        delivers = self.random.random() < 0.3
        self.endpoints = Endpoints(self.random, self.clock, self.outside) if delivers else None
        self.speakers: list[Speaker] = []
        self.senders = [self.make_sender() for _ in range(self.random.choice((1, 2)))]
        self.something_open = asyncio.Event()
        self.somebody_to_guard = asyncio.Event()
        self.at_work: set[asyncio.Task[Any]] = set()
        self.failures: list[str] = []
        self._open: set[str] = set()
        count = 1 if self.store.serial else self.random.choice((1, 2, 2))
        self.replicas: list[Replica | None] = [None] * count
        self._lives = 0
        for place in range(count):
            self.start_replica(place)

    # --- how it is made; tests plant mistakes here ----------------------------------------------------------

    def make_store(self) -> Store:
        """The store."""
        return Store(self.random, self.clock, serial=self.random.random() < 0.2)

    def make_sender(self) -> SenderTwin:
        """A sender, whose clock may be a little off."""
        offset = self.random.choice((0.0, 0.0, self.random.uniform(-20, 20)))
        clock = Clock(asyncio.get_running_loop(), self.clock.start, offset)
        return SenderTwin(self.random, clock, self.instances.take, self.speakers)

    def _draw_start(self) -> datetime:
        """A minute or two before midnight where the company is, or any other time."""
        zone = ZoneInfo(self.company.zone)
        midnight = datetime(*self.random.choice(_DAYS), tzinfo=zone).astimezone(UTC)
        if self.random.random() < 0.4:
            return midnight - timedelta(seconds=self.random.uniform(0, 150))
        return midnight + timedelta(seconds=self.random.uniform(0, 86_400))

    # --- what goes wrong ------------------------------------------------------------------------------------

    def _fate(self, process: Process) -> Fate:
        drawn = self.random.random()
        if drawn < self.crash_rate:
            return Fate.KILLED_BEFORE if drawn < self.crash_rate / 3 else Fate.KILLED_AFTER
        drawn = self.random.random()
        if drawn < self.lost_rate:
            return Fate.LOST_BEFORE if drawn < self.lost_rate / 3 else Fate.LOST_AFTER
        return Fate.GOES_WELL

    def _committed(self, changes: Sequence[Change]) -> None:
        concerned = False
        for change in changes:
            concerned = concerned or change.table in ("messages", "suppressions")
            if change.table != "messages":
                continue
            row: MessageRow = change.row
            if row.made is not None and row.view.state in OPEN:
                self._open.add(change.key)
            else:
                self._open.discard(change.key)
        early = self.store.table("early")
        if self._open or (early and crossed(self.store.table("messages").values(), early.values())):
            self.something_open.set()
        else:
            self.something_open.clear()
        if concerned:
            under_way = [self.store.table("messages")[message_id] for message_id in self._open]
            if opted_out_under_way(under_way, self.store.table("suppressions").values()):
                self.somebody_to_guard.set()
            else:
                self.somebody_to_guard.clear()
        self.versions.note_commit()

    @property
    def skew_seconds(self) -> float:
        """How far off the senders' clocks are, at most."""
        return max(abs(sender.clock.offset_seconds) for sender in self.senders)

    @property
    def everything_settled(self) -> bool:
        """Whether no message is under way."""
        return not self._open

    @property
    def everything_delivered(self) -> bool:
        """Whether no event waits to be delivered, where they are delivered at all."""
        rows = self.store.table("outbox").values()
        return self.endpoints is None or all(row.state != "pending" for row in rows)

    def start_replica(self, place: int) -> None:
        """Starts a policy core in an empty place."""
        self._lives += 1
        process = Process(f"core-{place}-{self._lives}")
        known = KnownConfiguration(self.versions, process, self.random.random())
        speaker = Speaker(process, known, self.store, self.random, self.senders)
        self.speakers.append(speaker)
        client: Any = self.redis
        seconds = self.clock.seconds
        counters = TimedCounters(
            RedisCounters(client, MemoryCounters(seconds), seconds), self.outside.counter_waits.append
        )
        replica = Replica(
            process,
            self.store,
            known,
            speaker,
            counters,
            self.clock,
            self.random.randbytes,
            self.endpoints,
        )
        self.go(self._begin(place, replica))
        self.go(replica.keep_house(self.something_open), waited_for=False)
        self.go(replica.keep_looking(self.somebody_to_guard), waited_for=False)
        process.died.add_done_callback(lambda _: self._died(place))

    async def _begin(self, place: int, replica: Replica) -> None:
        await replica.begin()
        if replica.process.alive:
            self.replicas[place] = replica

    def _died(self, place: int) -> None:
        self.replicas[place] = None
        self.go(self._start_again(place))

    async def _start_again(self, place: int) -> None:
        await asyncio.sleep(0.1 + self.random.random() ** 3 * 20)
        self.start_replica(place)

    def any_replica(self) -> Replica | None:
        """One that a caller happens to reach."""
        living = [each for each in self.replicas if each is not None and each.process.alive]
        return self.random.choice(living) if living else None

    # --- who does something ---------------------------------------------------------------------------------

    def go(self, work: Coroutine[Any, Any, Any], *, waited_for: bool = True) -> None:
        """Has something happen beside everything else; the history waits for it, unless told otherwise."""
        task = asyncio.get_running_loop().create_task(work)
        if waited_for:
            self.at_work.add(task)
            task.add_done_callback(self._worked)

    def _worked(self, task: "asyncio.Task[Any]") -> None:
        self.at_work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failures.append(repr(task.exception()))

    async def call(self, replica: Replica, work: Coroutine[Any, Any, Answer]) -> Answer:
        """A call over the network. Raises NoAnswerError if the process dies before it has answered."""
        task = asyncio.get_running_loop().create_task(work)
        either: set[asyncio.Future[Any]] = {task, replica.process.died}
        await asyncio.wait(either, timeout=_CALL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not replica.process.alive or not task.done() or task.cancelled():
            task.cancel()
            raise NoAnswerError
        return task.result()

    def report(
        self, instance_id: str, events: Sequence[InboundEvent], written: Sequence[Written] = ()
    ) -> None:
        """A back end reports, until somebody acknowledges; sometimes several times at once."""
        copies = 1 if self.random.random() < 0.8 else self.random.randint(2, 3)
        for _ in range(copies):
            self.go(self._deliver(instance_id, tuple(events), written))

    async def _deliver(
        self, instance_id: str, events: tuple[InboundEvent, ...], written: Sequence[Written]
    ) -> None:
        await asyncio.sleep(self.random.random() ** 3 * 3)
        for tries in range(60):
            replica = self.any_replica()
            if replica is not None:
                for each in written:
                    each.reported_at = each.reported_at or self.clock()
                try:
                    await self.call(
                        replica, replica.recorder.record(Report(instance_id, events, self.clock()))
                    )
                except (PolicyCoreError, NoAnswerError):
                    pass
                else:
                    self._acknowledged(instance_id, events, written)
                    return
            await asyncio.sleep(0.2 + self.random.random() * min(tries, 5))

    def _acknowledged(
        self, instance_id: str, events: tuple[InboundEvent, ...], written: Sequence[Written]
    ) -> None:
        for each in written:
            each.acknowledged_at = each.acknowledged_at or self.clock()
        if not written:
            self.outside.receipts.extend((instance_id, event.event_key) for event in events)

"""The policy core without its gRPC face: real database, senders played by a twin, time under the test's
control.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any

from sqlalchemy import Table, insert, select

from policycore.checks import build_checks
from policycore.content.load import load_scorer
from policycore.counters.memory import MemoryCounters
from policycore.dispatch.dispatcher import Dispatcher
from policycore.inbound import InboundEvent, Message, PersonRef
from policycore.model import EventType, Intent, Source
from policycore.optout.match import match
from policycore.optout.words import load as load_words
from policycore.optout.words import packaged_folder as word_folder
from policycore.ports import AttemptOutcome, Counters, OutboundMessage, Outcome
from policycore.registry.changes import ConfigChanges
from policycore.registry.snapshot import InstanceConfig
from policycore.store import tables
from policycore.store.config_cache import ConfigCache
from policycore.store.decisions import SqlDecisionLedger
from policycore.store.engine import Database, open_database
from policycore.store.events import SqlEventLedger
from policycore.store.migrate import upgrade
from policycore.usecases.command import Decided, SubmitCommand
from policycore.usecases.decide_batch import BatchDecider
from policycore.usecases.record_events import EventRecorder, Recorded, Report
from policycore.usecases.submit import Submitter

PHONE = "+966500000000"
SUPPORT = "support"


class TestClock:
    """A clock that a test moves."""

    __test__ = False

    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """The same clock as seconds, for those who count time that never runs backwards."""
        return self.now.timestamp()

    def forward(self, **parts: float) -> None:
        """Moves on by `timedelta(**parts)`."""
        self.now += timedelta(**parts)


class TwinSenders:
    """Plays the senders: answers as it is told, and keeps what it was given."""

    def __init__(self) -> None:
        self.sent: list[OutboundMessage] = []
        self.up = True
        self.answer: Callable[[OutboundMessage], AttemptOutcome] = self.accept
        self.gate: asyncio.Event | None = None
        self._numbers = count(1)
        self._news = asyncio.Event()

    async def given(self, number: int) -> None:
        """Returns when so many messages were given in all."""
        while len(self.sent) < number:
            self._news.clear()
            await self._news.wait()

    def accept(self, message: OutboundMessage) -> AttemptOutcome:
        """The instance accepts."""
        return AttemptOutcome(Outcome.ACCEPTED, external_message_id=f"ext-{next(self._numbers)}")

    def available(self) -> bool:
        return self.up

    async def deliver(self, message: OutboundMessage, instance: InstanceConfig) -> AttemptOutcome:
        self.sent.append(message)
        self._news.set()
        if self.gate is not None:
            await self.gate.wait()
        return self.answer(message)


@dataclass
class AfterTwin:
    """Keeps what follows a commit, and carries messages like the real one."""

    dispatcher: Dispatcher
    changes: ConfigChanges
    opted_out: list[str] = field(default_factory=list)
    opted_in: list[str] = field(default_factory=list)
    deliveries: int = 0

    def events_recorded(
        self, *, messages: Any, opted_out: Any, opted_in: Any, deliveries: bool, states: bool
    ) -> None:
        self.opted_out.extend(opted_out)
        self.opted_in.extend(opted_in)
        self.deliveries += deliveries
        for message in messages:
            self.dispatcher.send(message)
        if states:
            self.changes.notify()


def _random() -> Callable[[int], bytes]:
    numbers = count(1)
    return lambda size: sha256(str(next(numbers)).encode()).digest()[:size]


class CoreParts:
    """Submit, record and look, on a database that holds one account, one instance and one integration."""

    def __init__(self, database: Database, clock: TestClock, counters: Counters | None = None) -> None:
        self.database = database
        self.clock = clock
        self.changes = ConfigChanges()
        self.config = ConfigCache(database, _plain, self.changes, clock, clock.seconds)
        self.senders = TwinSenders()
        self.counters: Counters = counters or MemoryCounters(clock.seconds)
        self.ledger = SqlDecisionLedger(database, self.config)
        self.events = SqlEventLedger(database, self.config.at)
        self.outbox_wakes = 0
        self.random_bytes = random_bytes = _random()
        self.dispatcher = Dispatcher(
            self.events,
            self.senders,
            self.counters,
            self.config.current,
            clock,
            random_bytes,
            deliveries_waiting=lambda: None,
            states_changed=self.changes.notify,
            opted_out=lambda person_id: self.after.opted_out.append(person_id),  # noqa: PLW0108 - made below
        )
        self.after = AfterTwin(self.dispatcher, self.changes)
        words = load_words(word_folder())
        self.recorder = EventRecorder(
            self.events,
            lambda text, language: match(text, words, language_hint=language or None),
            self.after,
            random_bytes,
        )
        self.dispatcher.record = self.recorder.record
        self.decider = BatchDecider(
            self.ledger,
            self.counters,
            build_checks(load_scorer()),
            clock,
            random_bytes,
            self.senders.available,
            self.dispatcher.gates,
        )
        self.submitter = Submitter(
            self.decider, self.ledger, self.events, self.counters, self.dispatcher, clock
        )
        self._event_numbers = count(1)

    def limit(self, *, under_way: int = 20_000, **limits: int) -> None:
        """Other bounds on what may wait for a decision, and on what may be under way."""
        self.dispatcher.most_under_way = under_way
        self.submitter = Submitter(
            self.decider, self.ledger, self.events, self.counters, self.dispatcher, self.clock, **limits
        )

    async def inbound(self, text: str, *, phone: str = PHONE, **more: Any) -> Recorded:
        """The person writes."""
        number = next(self._event_numbers)
        fields: dict[str, Any] = {"kind": 1, "contact_name": "Sara"}
        fields.update({k: more.pop(k) for k in ("from_business", "kind", "contact_name") if k in more})
        event = InboundEvent(
            event_key=more.pop("event_key", f"key-{number}"),
            report=Message(f"in-{number}", text=text, **fields),
            person=more.pop("person", PersonRef(phone)),
            provider_time=more.pop("provider_time", self.clock()),
            **more,
        )
        return await self.record(event)

    async def record(self, *events: InboundEvent, instance_id: str = "ins_1") -> Recorded:
        """The instance reports."""
        return await self.recorder.record(Report(instance_id, events, self.clock()))

    async def reply(self, text: str = "Your support ticket has been updated.", **more: Any) -> Decided:
        """The agent replies; keyword arguments are fields of the intent, or key, body_digest, claim, timeout."""
        command_fields = {
            k: more.pop(k) for k in ("key", "body_digest", "claim", "validate_only") if k in more
        }
        timeout, limit = more.pop("timeout", 5.0), more.pop("limit", None)
        intent = Intent(
            **{
                "account_id": "acc_1",
                "source": Source.THREECX,
                "caller": "edge",
                "event_type": EventType.OUTBOUND_MESSAGE,
                "integration_id": "int_1",
                "phone_text": PHONE,
                "text": text,
                "purpose_text": SUPPORT,
                **more,
            }
        )
        command = SubmitCommand(
            intent, key_scope="int:int_1" if "key" in command_fields else "", **command_fields
        )
        return await self.submitter.submit(command, requests_per_minute=limit, timeout_seconds=timeout)

    async def rows(self, table: Table) -> list[Any]:
        """Every row of a table."""
        async with self.database.reading() as connection:
            return list((await connection.execute(select(table))).all())

    async def change(self, statement: Any) -> None:
        """Changes configuration behind the gateway's back, as another process would."""
        from policycore.store.config_reader import bump_version

        async with self.database.transaction() as connection:
            await connection.execute(statement)
            await bump_version(connection)

    async def close(self) -> None:
        await self.dispatcher.drain(1.0)
        await self.config.stop()
        await self.database.close()


def _plain(sealed: bytes, place: tuple[str, str], row_id: str) -> str:
    return sealed.decode()


async def open_core(
    url: str,
    start: datetime = datetime(2026, 3, 14, 9, 0, tzinfo=UTC),
    counters: Counters | None = None,
) -> CoreParts:
    """A migrated and seeded database and the parts on it. PostgreSQL keeps its own clock, so the test's
    follows it. Without `counters`, they are in memory.
    """
    await upgrade(url)
    clock = TestClock(start if url.startswith("sqlite") else datetime.now(UTC))
    database = open_database(url, clock)
    async with database.transaction() as connection:
        await _seed(connection, clock())
    parts = CoreParts(database, clock, counters)
    await parts.config.start()
    return parts


async def _seed(connection: Any, now: datetime) -> None:
    account = {"id": "acc_1", "name": "Demo", "time_zone": "Asia/Riyadh", "plan": 1, "created_at": now}
    await connection.execute(insert(tables.accounts), [account])
    secrets = json.dumps({"api_token": "t", "webhook_secret": "w", "verify_token": ""}).encode()
    instance = {
        "id": "ins_1",
        "account_id": "acc_1",
        "name": "main",
        "backend": "sandbox",
        "secrets_sealed": secrets,
        "state": "open",
        "state_changed_at": now,
        "created_at": now,
    }
    await connection.execute(insert(tables.instances), [instance])
    integration = {
        "id": "int_1",
        "account_id": "acc_1",
        "name": "3CX",
        "default_instance_id": "ins_1",
        "destination_kind": "sandbox_inbox",
        "call_events_enabled": True,
        "country": "SA",
        "created_at": now,
    }
    await connection.execute(insert(tables.integrations), [integration])
    template = {
        "integration_id": "int_1",
        "event_type": int(EventType.MISSED_CALL),
        "enabled": True,
        "language": "en",
        "text": "Sorry we missed your call, {{customer_phone}}.",
        "purpose": "support",
    }
    await connection.execute(insert(tables.templates), [template])

"""CheckIntegration: gathers what is known of a 3CX connection, tries its ways out, and walks through it.

Nothing here decides: a test message is submitted like any other, and every check holds for it.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from policycore.connection_facts import (
    CheckOrder,
    CheckStep,
    ConnectionFacts,
    Reached,
    TriedEvent,
    TriedMessage,
    TurnedAway,
)
from policycore.connection_steps import destination_url, walk
from policycore.connection_words import sentence
from policycore.ids import RandomBytes, new_id
from policycore.ledger import MessageState
from policycore.model import Action, EventType, Intent, Source
from policycore.ports import EventPoster, InstanceHolds, Posting, PostOutcome
from policycore.registry.fields import check_language, check_url
from policycore.registry.log_rows import LogReader
from policycore.registry.lookups import find_owned
from policycore.registry.pages import Filter, PageRequest
from policycore.registry.ports import RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import SecretRow
from policycore.registry.snapshot import InstanceConfig, IntegrationConfig, Snapshot
from policycore.usecases.bodies import instant
from policycore.usecases.command import Decided, SubmitCommand

TEST_EVENT = "connection.test"
"""The event that a test posts to the destination; it stands for no message."""

_LOOK_BACK = timedelta(days=1)
_REFUSALS_READ = 200
_SUBMIT_SECONDS = 6.0


class Reaches(EventPoster, Protocol):
    """The ways to a destination, through a sender."""

    async def reach(self, url: str, *, gateway: bool) -> Reached:
        """Whether an address answers."""


class Submits(Protocol):
    """Decides, and sends what is allowed."""

    async def submit(
        self, command: SubmitCommand, *, requests_per_minute: int | None, timeout_seconds: float
    ) -> Decided:
        """See `Submitter`."""


class ConnectionReads(Protocol):
    """What is asked of the store."""

    async def configured(self) -> tuple[datetime, Snapshot]:
        """The database's clock, and the configuration as it is now."""

    async def written_since(self, instance_id: str, since: datetime) -> bool:
        """Whether anybody wrote to an instance since then."""


@dataclass(frozen=True, slots=True)
class ConnectionParts:
    """What a walk asks."""

    store: RegistryStore
    log: LogReader
    reads: ConnectionReads
    holds: InstanceHolds
    ways: Reaches
    submits: Submits
    random_bytes: RandomBytes


class ConnectionCheck:
    """Implements `ConnectionDesk`."""

    def __init__(self, parts: ConnectionParts) -> None:
        self._parts = parts

    async def walk(self, caller: Identity, order: CheckOrder) -> Sequence[CheckStep]:
        """Every step, in order. Errors: `NotFound`, `Malformed`, `Unavailable`."""
        secrets, account_id = await self._secrets(caller, order)
        if order.public_url:
            check_url("public_url", order.public_url, plain_http=True)
        now, snapshot = await self._parts.reads.configured()
        integration = snapshot.integrations[order.integration_id]
        language = check_language("language", order.language or integration.language)
        instance = snapshot.instances.get(integration.default_instance_id or "")
        # What is tried outside is tried at once; a test message waits for nothing of it.
        public, destination, message, event = await asyncio.gather(
            self._public(order),
            self._destination(integration),
            self._message(caller, order, integration, language),
            self._event(order, integration, instance, language, now),
        )
        account = snapshot.accounts[account_id]
        used = [row.last_used_at for row in secrets if row.last_used_at is not None]
        facts = ConnectionFacts(
            integration=integration,
            module_enabled=account.module_enabled,
            has_secret=bool(integration.secrets),
            secret_last_used_at=max(used, default=None),
            turned_away=await self._turned_away(order.integration_id, max(used, default=None), now),
            instance=instance,
            hold=self._hold(instance),
            window_is_open=await self._window_is_open(instance, now - account.rules.window),
            public_url=order.public_url,
            public=public,
            destination=destination,
            message=message,
            event=event,
        )
        return walk(facts, language)

    async def _secrets(self, caller: Identity, order: CheckOrder) -> tuple[Sequence[SecretRow], str]:
        async with self._parts.store.reading() as rows:
            found = await find_owned(rows.integrations, order.integration_id, caller, "integration")
            return await rows.parts.secrets(found.id), found.account_id

    async def _public(self, order: CheckOrder) -> Reached | None:
        return await self._parts.ways.reach(order.public_url, gateway=True) if order.public_url else None

    async def _destination(self, integration: IntegrationConfig) -> Reached | None:
        url = destination_url(integration)
        return await self._parts.ways.reach(url, gateway=False) if url else None

    async def _message(
        self, caller: Identity, order: CheckOrder, integration: IntegrationConfig, language: str
    ) -> TriedMessage | None:
        """A message to the number that was named: decided, and on request sent."""
        if not order.test_phone:
            return None
        intent = Intent(
            account_id=integration.account_id,
            source=Source.THREECX,
            caller=caller.name,
            event_type=EventType.OUTBOUND_MESSAGE,
            event_type_text="connection_test",
            integration_id=integration.integration_id,
            phone_text=order.test_phone[:64].replace("\x00", ""),
            text=sentence(language, "test_message"),
            purpose_text="support",
        )
        decided = await self._parts.submits.submit(
            SubmitCommand(intent, validate_only=not order.send_test),
            requests_per_minute=None,
            timeout_seconds=_SUBMIT_SECONDS,
        )
        decision, message = decided.decision, decided.message
        state = MessageState(message.state).name.lower() if message is not None else ""
        allowed = decision.action is Action.SEND
        return TriedMessage(allowed, decision.reason, decision.explanation, message is not None, state)

    async def _event(
        self,
        order: CheckOrder,
        integration: IntegrationConfig,
        instance: InstanceConfig | None,
        language: str,
        now: datetime,
    ) -> TriedEvent | None:
        """A test event to the destination, on request, signed like any other."""
        if not order.send_test or integration.destination_kind != "threecx_json":
            return None
        body = {
            "event": TEST_EVENT,
            "instance_id": instance.instance_id if instance else "",
            "instance_name": instance.name if instance else "",
            "from": "",
            "message_text": sentence(language, "test_message"),
            "message_type": "text",
            "received_at": instant(now),
        }
        following = integration.next_signing
        changed = following is not None and now >= following.signs_from
        posting = Posting(
            new_id("dlv_", self._parts.random_bytes),
            integration.destination_kind,
            integration.destination_url,
            TEST_EVENT,
            json.dumps(body, ensure_ascii=False),
            following.secret if following is not None and changed else integration.signing_secret,
        )
        result = await self._parts.ways.post(posting)
        return TriedEvent(result.outcome is PostOutcome.TAKEN, result.http_status, result.explanation)

    async def _turned_away(
        self, integration_id: str, last_used_at: datetime | None, now: datetime
    ) -> tuple[TurnedAway, ...]:
        """Who was turned away within a day and after the secret was last used: before that, it was put right."""
        since = now - _LOOK_BACK
        if last_used_at is not None:
            since = max(since, last_used_at.replace(second=0, microsecond=0))
        wanted = Filter(equal={"target": integration_id})
        page = await self._parts.log.refusals(wanted, PageRequest(_REFUSALS_READ, None))
        counts: dict[tuple[str, str], int] = {}
        for row in page.rows:
            if row.minute > since:
                key = (row.reason, row.source_address)
                counts[key] = counts.get(key, 0) + row.count
        return tuple(TurnedAway(reason, source, count) for (reason, source), count in counts.items())

    def _hold(self, instance: InstanceConfig | None) -> str:
        if instance is None:
            return ""
        hold = self._parts.holds.hold(instance.instance_id, only_looking=True)
        return "" if hold is None else hold.sentence

    async def _window_is_open(self, instance: InstanceConfig | None, since: datetime) -> bool:
        if instance is None:
            return False
        return await self._parts.reads.written_since(instance.instance_id, since)

"""Answers chats that arrive while a business is closed with its `after_hours` template: once per person and closure.

Follows the event stream after the commit that recorded the message, and so costs that commit nothing. What it finds is
submitted like a call event of the phone system, and every check decides about it. The person and the closure are its
idempotency key: several policy cores that find the same chat send one message.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

import structlog

from policycore.business_hours import Calendar, Closure, closure_at, read_calendar
from policycore.errors import PolicyCoreError, Unavailable
from policycore.model import EventType, Intent, Source
from policycore.reading import StoredEvent
from policycore.registry.rows import CalendarRow
from policycore.registry.snapshot import IntegrationConfig, Snapshot
from policycore.usecases.bodies import RECEIVED
from policycore.usecases.command import Decided, SubmitCommand

CALLER = "business_hours"
"""Who asks, as the policy log names it."""

_PAGE = 200
_MOST_PAGES = 10
"""Pages of one calendar in one round: one with a long past does not hold up the others."""
_NOTED_EVERY = timedelta(minutes=10)
"""While a business is open, how often it is noted that nothing before needs to be looked at."""
_SUBMIT_SECONDS = 0.0
"""Nobody waits for the outcome."""

_log = structlog.get_logger(__name__)


class Chats(Protocol):
    """The calendars and the event stream."""

    async def calendars(self) -> Sequence[CalendarRow]:
        """Every calendar."""

    async def newest_event(self, account_id: str) -> int:
        """The last number of an account's event stream; 0 if there is none."""

    async def events(self, account_id: str, after: int, limit: int) -> Sequence[StoredEvent]:
        """The account's event stream after a number, in order."""

    async def number_of(self, person_id: str) -> str:
        """What agents see of a person: the phone, or the pseudonym; empty if there is neither."""

    async def seen(self, integration_id: str, sequence: int) -> None:
        """Notes how far an integration's chats were looked through; never moves back."""


class Submits(Protocol):
    """Decides, and sends what is allowed."""

    async def submit(
        self, command: SubmitCommand, *, requests_per_minute: int | None, timeout_seconds: float
    ) -> Decided:
        """See `Submitter`."""


class AfterHours:
    """Owns the following of chats. `now` is the database's clock."""

    def __init__(
        self,
        chats: Chats,
        submits: Submits,
        snapshot: Callable[[], Snapshot],
        now: Callable[[], datetime],
    ) -> None:
        self._chats = chats
        self._submits = submits
        self._snapshot = snapshot
        self._now = now
        self._noted_at: dict[str, datetime] = {}
        self._read = lru_cache(maxsize=1_024)(read_calendar)

    async def run_every(self, seconds: float) -> None:
        """Runs for ever. Nothing that goes wrong here ends it."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the service must go on, and so must the next round
                _log.warning("after_hours.not_looked", error=type(error).__name__)

    async def look(self) -> int:
        """One round over all calendars; returns how many messages were submitted."""
        submitted = 0
        for row in await self._chats.calendars():
            try:
                submitted += await self._look_at(row)
            except PolicyCoreError as error:
                # This one's trouble is no other's; what was not looked at is looked at in the next round.
                _log.warning(
                    "after_hours.calendar_failed", integration_id=row.integration_id, error=error.reason
                )
        return submitted

    async def _look_at(self, row: CalendarRow) -> int:
        integration = self._snapshot().integrations.get(row.integration_id)
        calendar, now = self._read(row.calendar_json), self._now()
        closure = closure_at(calendar, now)
        if closure is None or integration is None or not _answers(integration):
            await self._note_nothing(row, now)
            return 0
        submitted, seen = 0, row.seen_sequence
        for _ in range(_MOST_PAGES):
            events = await self._chats.events(row.account_id, seen, _PAGE)
            for event in events:
                if _arrived(event, integration, closure):
                    try:
                        submitted += await self._submit(event, integration, calendar, closure)
                    except Unavailable:
                        await self._chats.seen(row.integration_id, seen)
                        raise
                    except PolicyCoreError as error:
                        # It would fail for ever, and nobody after it would be answered.
                        _log.warning(
                            "after_hours.chat_passed_over",
                            integration_id=row.integration_id,
                            sequence=event.sequence,
                            error=error.reason,
                        )
                seen = event.sequence
            if events:
                await self._chats.seen(row.integration_id, seen)
            if len(events) < _PAGE:
                break
        return submitted

    async def _note_nothing(self, row: CalendarRow, now: datetime) -> None:
        """Nothing needs an answer: now and then it is noted, so that closing does not begin with a day's chats."""
        noted_at = self._noted_at.get(row.integration_id)
        if noted_at is not None and now - noted_at < _NOTED_EVERY:
            return
        self._noted_at[row.integration_id] = now
        newest = await self._chats.newest_event(row.account_id)
        if newest > row.seen_sequence:
            await self._chats.seen(row.integration_id, newest)

    async def _submit(
        self, event: StoredEvent, integration: IntegrationConfig, calendar: Calendar, closure: Closure
    ) -> int:
        """How many messages were submitted: one, or none for somebody whom no number stands for."""
        message = event.message
        number = message.phone or await self._chats.number_of(message.person_id)
        if not number:
            return 0
        key = f"after_hours:{closure.name}:{message.person_id}"
        local = event.occurred_at.astimezone(calendar.zone)
        intent = Intent(
            account_id=integration.account_id,
            source=Source.THREECX,
            caller=CALLER,
            event_type=EventType.AFTER_HOURS,
            event_type_text="after_hours",
            integration_id=integration.integration_id,
            instance_ref=message.instance_id,
            phone_text=number,
            call_time=local.strftime("%Y-%m-%d %H:%M"),
        )
        command = SubmitCommand(
            intent,
            key_scope=f"int:{integration.integration_id}",
            key=key,
            body_digest=sha256(key.encode()).digest(),
        )
        await self._submits.submit(command, requests_per_minute=None, timeout_seconds=_SUBMIT_SECONDS)
        return 1


def _answers(integration: IntegrationConfig) -> bool:
    """Whether there is anything to answer with; decisions about nothing would fill the policy log."""
    template = integration.templates.get(int(EventType.AFTER_HOURS))
    return (
        integration.enabled and integration.call_events_enabled and template is not None and template.enabled
    )


def _arrived(event: StoredEvent, integration: IntegrationConfig, closure: Closure) -> bool:
    """Whether a chat arrived in this closure, at a number of this integration."""
    message = event.message
    return (
        event.event_name == RECEIVED
        and not message.outbound
        and message.instance_id in integration.instance_ids
        and (closure.began is None or event.occurred_at >= closure.began)
    )

"""What the gRPC face reads and notes beside decisions and events: protocols that the store implements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from policycore.ledger import MessageView
from policycore.registry.log_rows import DecisionRecord
from policycore.registry.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """Refusals of one kind, from one source, in one minute."""

    minute: datetime
    surface: str
    target: str
    reason: str
    source_address: str
    count: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row of the event stream."""

    sequence: int
    occurred_at: datetime
    event_name: str
    message: MessageView


@dataclass(frozen=True, slots=True)
class Contact:
    """Someone who wrote. `name` is what they go by on WhatsApp, or empty; `phone` is E.164."""

    person_id: str
    name: str
    phone: str


class Contacts(Protocol):
    """Who wrote to whom."""

    async def who_wrote(self, account_id: str, phone: str, instance_ids: Sequence[str]) -> Contact | None:
        """The person with this number (E.164), if they ever wrote to one of the instances."""


class PolicyReads(Protocol):
    """Reads that need no decision, and the edge's marks."""

    async def decision(self, log_id: int | None, decision_id: str | None) -> DecisionRecord | None:
        """One row of the policy log, by number or by id."""

    async def message(self, account_id: str, message_id: str) -> MessageView | None:
        """An account's message by `msg_…` id, or by the back end's id (the newest, if several used it)."""

    async def author(self, message_id: str) -> tuple[str, str] | None:
        """Extension and name of the agent who wrote a message, if it is known."""

    async def events(self, account_id: str, after: int, message_id: str, limit: int) -> list[StoredEvent]:
        """Rows of the event stream after a number, in order."""

    async def record_usage(
        self, counts: Sequence[RefusalCount], uses: Sequence[tuple[str, datetime]]
    ) -> None:
        """Adds refusals to the security log, and moves last-used marks (credential id, moment) forward."""


class ConfigView(Protocol):
    """A process's copy of the configuration."""

    def current(self) -> Snapshot:
        """The newest snapshot known here."""

    def age_seconds(self) -> float:
        """Seconds since this copy was last known to be the newest."""

    async def wait(self, seconds: float) -> bool:
        """Returns True when another snapshot was put in place, or False after `seconds`."""

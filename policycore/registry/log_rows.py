"""Owns the rows of the logs as readers see them, and what they may be asked for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from policycore.ledger import MessageState, MessageView
from policycore.model import Decision
from policycore.registry.pages import Filter, Page, PageRequest


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One row of the policy log. `inputs_json` is what it was decided from."""

    log_id: int
    decision_id: str
    decided_at: datetime
    decision: Decision
    account_id: str
    integration_id: str | None
    instance_id: str | None
    person_id: str | None
    caller: str
    event_type: int
    purpose: str
    phone_masked: str
    conversation_id: str
    message_id: str | None
    message_state: MessageState | None
    inputs_json: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """An event on its way to 3CX or to a customer webhook. `state` is `pending`, `sent`, `failed` or
    `blocked`.
    """

    id: str
    account_id: str
    integration_id: str | None
    webhook_id: str | None
    instance_id: str | None
    event_name: str
    body: str
    state: str
    attempts: int
    next_attempt_at: datetime
    last_http_status: int
    last_error: str
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """What was turned away within one minute, for one reason, from one source."""

    minute: datetime
    surface: str
    target: str
    reason: str
    source_address: str
    count: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One administrative act."""

    id: int
    occurred_at: datetime
    actor: str
    act: str
    target: str
    account_id: str | None
    detail_json: str


class LogReader(Protocol):
    """Reads the logs, newest first."""

    async def decisions(self, wanted: Filter, request: PageRequest) -> Page[DecisionRecord]:
        """The policy log."""

    async def decision(self, log_id: int | None, decision_id: str | None) -> DecisionRecord | None:
        """One decision by number or by id."""

    async def messages(self, wanted: Filter, request: PageRequest) -> Page[MessageView]:
        """Messages, both directions."""

    async def deliveries(self, wanted: Filter, request: PageRequest) -> Page[DeliveryRow]:
        """Deliveries to 3CX and to customer webhooks."""

    async def refusals(self, wanted: Filter, request: PageRequest) -> Page[RefusalRow]:
        """The security log."""

    async def audit_entries(self, wanted: Filter, request: PageRequest) -> Page[AuditRow]:
        """Administrative acts."""

    async def find_person(self, account_id: str, identities: Mapping[str, str]) -> str | None:
        """Person id by the first identity that is known: kind (`phone`, `lid`, `bsuid`) to value."""

    async def instance_account(self, instance_id: str) -> str | None:
        """Account of an instance."""


class DeliveryReplays(Protocol):
    """Puts deliveries back into the outbox, or gives them up."""

    async def find(self, delivery_id: str) -> DeliveryRow | None:
        """The delivery."""

    async def replay(self, delivery_id: str, actor: str, *, days: int) -> DeliveryRow | None:
        """Makes a delivery that failed, was blocked or was discarded due now, and audits it.

        None if it is in another state by then, or older than that many days.
        """

    async def discard(self, delivery_id: str, actor: str, reason: str) -> DeliveryRow | None:
        """Gives up a delivery that was not delivered, and audits it with the reason; None if it is settled
        otherwise.
        """

"""What inbound events and outcomes are written to, as protocols and plain rows. The store implements them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from policycore.agent_text import Original
from policycore.inbound import InstanceStateChange, MediaItem, PersonRef, Receipt
from policycore.ledger import MessageView, NewDecision, NewMessage, WindowRow
from policycore.model import SuppressionFact
from policycore.ports import AttemptOutcome
from policycore.registry.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person as known before an event, with every identity."""

    person_id: str
    ref: PersonRef
    display_name: str
    language: str
    windows: Mapping[str, WindowRow]
    suppressions: tuple[SuppressionFact, ...]
    asked_back: bool
    pseudonym: str = ""
    """The number that stands for a person whose phone nobody sees; kept when the phone becomes known."""

    @property
    def number(self) -> str:
        """What agents see and answer: the phone, or the pseudonym."""
        return self.ref.phone or self.pseudonym


@dataclass(frozen=True, slots=True)
class NewInbound:
    """A message that came in, or was typed on the business's phone, before it is written."""

    view: MessageView
    from_business: bool
    provider_at: datetime | None
    media: tuple[MediaItem, ...]


@dataclass(frozen=True, slots=True)
class NewSuppression:
    """A suppression before it is written."""

    suppression_id: str
    account_id: str
    person_id: str
    source: str
    scope: str
    reason: str
    evidence_message_id: str | None
    evidence_rule: str


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A row of the outbox before it is written."""

    delivery_id: str
    account_id: str
    integration_id: str | None
    webhook_id: str | None
    instance_id: str
    person_id: str | None
    event_name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line to an agent before it is written, if the chat has not had its reason lately.

    A chat is the phone system's: two numbers. `person_id` None is looked up by the customer's number, unless the line
    is not `ordered` among the person's other deliveries. With a `log_id` it is about the message of that decision, and
    is written only if that came from a chat.
    """

    delivery_id: str
    account_id: str
    integration_id: str
    instance_id: str
    business_number: str
    customer: str
    reason: str
    person_id: str | None
    log_id: int
    event_name: str
    body: Mapping[str, Any]
    ordered: bool = True


@dataclass(slots=True)
class EventWrites:
    """Everything a batch of inbound events writes."""

    inbound: list[NewInbound] = field(default_factory=list)
    windows: dict[tuple[str, str], tuple[str, datetime, str]] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    suppressions: list[NewSuppression] = field(default_factory=list)
    lifts: list[tuple[str, str, str]] = field(default_factory=list)
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    deliveries: list[NewDelivery] = field(default_factory=list)
    lines: list[NewLine] = field(default_factory=list)
    events: list[tuple[str, MessageView]] = field(default_factory=list)
    decisions: list[NewDecision] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)
    states: list[tuple[str, InstanceStateChange]] = field(default_factory=list)
    edits: list[tuple[str, int, str]] = field(default_factory=list)
    closed_windows: list[tuple[str, str]] = field(default_factory=list)
    pauses: list[tuple[str, str, str, str]] = field(default_factory=list)


class Settlement(Struct, frozen=True):
    """What came of one attempt, for one message."""

    message_id: str
    outcome: AttemptOutcome
    message: NewMessage | None = None
    """The message as it was handed out, if whoever attempted it knows."""


class EventTransaction(Protocol):
    """One transaction for inbound events, receipts or outcomes."""

    now: datetime
    snapshot: Snapshot

    async def claim_events(self, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Marks (instance id, event key) pairs as completed; returns those that were not before."""

    async def resolve_persons(
        self, wanted: Sequence[tuple[str, PersonRef]]
    ) -> dict[tuple[str, PersonRef], KnownPerson]:
        """Persons of (account id, ref) pairs: found, made, or joined where two identities are one person's;
        locked.
        """

    async def link_persons(self, account_id: str, previous: PersonRef, current: PersonRef) -> None:
        """Makes two identities one person's."""

    async def find_originals(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Original]:
        """Earlier messages by (instance id, the back end's id); those that nobody recorded are left out."""

    async def next_log_ids(self, count: int) -> Sequence[int]:
        """Numbers for rows of the policy log."""

    async def apply_receipts(self, receipts: Sequence[tuple[str, Receipt]]) -> list[MessageView]:
        """Moves messages forward by (instance id, receipt); returns those that changed. Unmatched ones are
        kept a day.
        """

    async def match_receipts(self) -> list[MessageView]:
        """Applies receipts that were kept for messages which are known by now; returns the messages that changed."""

    async def settle(self, settlements: Sequence[Settlement]) -> dict[str, MessageView]:
        """Records outcomes; gives back what refused messages held; returns the messages as they are then."""

    async def hand_out(self, message_ids: Sequence[str]) -> set[str]:
        """Marks waiting messages as handed out; returns those that were still waiting."""

    async def opted_out_meanwhile(self, message_ids: Sequence[str]) -> set[str]:
        """Of messages just handed out, those whose person opted out, or was suppressed, while they waited."""

    async def write(self, writes: EventWrites) -> None:
        """Writes a batch. Lines that are due are among its deliveries afterwards."""

    async def tell(self, changed: Sequence[tuple[str, MessageView]]) -> None:
        """Adds (event name, message) pairs to the stream of events."""


@dataclass(frozen=True, slots=True)
class StrandedMessage:
    """A message whose process is gone: waiting past its turn, or handed out and never settled."""

    message: NewMessage
    handed_out: bool


class EventLedger(Protocol):
    """The durable truth about events."""

    def begin(self) -> AbstractAsyncContextManager[EventTransaction]:
        """A transaction, committed at the end and rolled back on any error."""

    async def record_accepted(
        self, views: Sequence[MessageView], event_name: str, now: datetime
    ) -> tuple[set[str], set[str]]:
        """Makes messages that are handed out accepted ones, as `views` says they are then, and tells the stream of
        events; committed when it returns. Returns the ids of those that were still handed out, and of those among
        them for which receipts had come before. All others must be settled in a transaction; a store may leave all.
        """

    async def find_stranded(self, *, overdue_seconds: float, lost_seconds: float) -> list[StrandedMessage]:
        """Messages waiting longer than `overdue_seconds` past their turn, or handed out `lost_seconds` ago
        and not settled.
        """

    async def opted_out_under_way(self) -> set[str]:
        """Persons who are suppressed for every purpose and to whom a message, other than the confirmation of it, waits
        or is handed out.
        """

    async def sweep(self) -> int:
        """Removes what has expired: keys, claims, inbox, unmatched receipts, old events. Returns how many
        rows.
        """

    async def read_message(self, message_id: str) -> MessageView | None:
        """A message by id, as it is now."""

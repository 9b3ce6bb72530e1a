"""What decisions are read from and written to, as protocols and plain rows. The store implements them for
both databases.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol

from msgspec import Struct

from policycore.inbound import PersonRef
from policycore.model import Decision, SuppressionFact
from policycore.registry.snapshot import Snapshot


class MessageState(IntEnum):
    """How far a message has come; numbers as in `events.proto`."""

    WAITING = 1
    HANDED_OUT = 2
    ACCEPTED = 3
    SENT = 4
    DELIVERED = 5
    READ = 6
    REJECTED = 7
    UNKNOWN = 8
    FAILED = 9
    LAPSED = 10
    RECEIVED = 11


class WindowRow(Struct, frozen=True):
    """A conversation window: the person's last inbound at one instance, on the provider's clock."""

    instance_id: str
    last_inbound_at: datetime
    conversation_id: str
    closed_by_backend_at: datetime | None


class PersonFacts(Struct, frozen=True):
    """What is known of a person when a decision is made."""

    windows: tuple[WindowRow, ...] = ()
    suppression: SuppressionFact | None = None


class KeyBinding(Struct, frozen=True):
    """What an idempotency key is bound to."""

    body_digest: bytes
    log_id: int
    message_id: str | None
    event_type: int


class MessageView(Struct, frozen=True):
    """A message as callers see it."""

    message_id: str
    account_id: str
    instance_id: str
    integration_id: str | None
    conversation_id: str
    person_id: str
    phone: str
    lid: str
    bsuid: str
    outbound: bool
    state: MessageState
    external_message_id: str
    text: str
    created_at: datetime
    updated_at: datetime
    log_id: int
    error_code: str
    error_text: str
    event_type: int
    kind: int


class NewDecision(Struct, frozen=True):
    """A row of the policy log, before it is written."""

    log_id: int
    decision_id: str
    decided_at: datetime
    account_id: str
    integration_id: str | None
    instance_id: str | None
    person_id: str | None
    caller: str
    source: str
    event_type: int
    purpose: str
    phone_masked: str
    conversation_id: str
    message_id: str | None
    decision: Decision
    inputs: Mapping[str, Any]


class NewMessage(Struct, frozen=True):
    """An outbound message, before it is written. `reserved_day` and `reserved_month` name the quota it holds."""

    message_id: str
    account_id: str
    instance_id: str
    integration_id: str | None
    person_id: str
    conversation_id: str
    state: MessageState
    text: str
    text_digest: bytes | None
    phone: str
    lid: str
    bsuid: str
    event_type: int
    purpose: str
    log_id: int
    created_at: datetime
    send_after: datetime
    not_after: datetime
    reserved_day: str | None
    reserved_month: str | None
    cool_down_until: datetime | None = None
    confirms_opt_out: bool = False
    reserved_share: str | None = None
    """What of the quota it holds is counted under as well, if its caller has a share."""


def view_of(
    message: NewMessage,
    state: MessageState | None = None,
    external_message_id: str = "",
    updated_at: datetime | None = None,
) -> MessageView:
    """A new message as callers see it: as it was made, or in a later state."""
    return MessageView(
        message_id=message.message_id,
        account_id=message.account_id,
        instance_id=message.instance_id,
        integration_id=message.integration_id,
        conversation_id=message.conversation_id,
        person_id=message.person_id,
        phone=message.phone,
        lid=message.lid,
        bsuid=message.bsuid,
        outbound=True,
        state=message.state if state is None else state,
        external_message_id=external_message_id,
        text=message.text,
        created_at=message.created_at,
        updated_at=message.created_at if updated_at is None else updated_at,
        log_id=message.log_id,
        error_code="",
        error_text="",
        event_type=message.event_type,
        kind=1,
    )


class NewKey(Struct, frozen=True):
    """An idempotency key that binds."""

    scope: str
    key: str
    binding: KeyBinding
    expires_at: datetime


@dataclass(slots=True)
class DecisionWrites:
    """Everything one batch of decisions writes, in one transaction."""

    decisions: list[NewDecision] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)
    quota: dict[tuple[str, str], int] = field(default_factory=dict)
    keys: list[NewKey] = field(default_factory=list)
    claims: list[tuple[bytes, datetime]] = field(default_factory=list)
    bindings: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)


class Named(Struct, frozen=True):
    """What the requests of a batch name: (scope, key) pairs, signatures, (account id, phone) and (integration id,
    conversation id) pairs; a conversation goes by the phone system's id or ours.
    """

    keys: Sequence[tuple[str, str]]
    claims: Sequence[bytes]
    phones: Sequence[tuple[str, str]]
    conversations: Sequence[tuple[str, str]]


@dataclass(slots=True)
class Identified:
    """What names stand for: bindings of keys that have not expired, signatures claimed before, person ids, and
    instance ids of conversations.
    """

    keys: dict[tuple[str, str], KeyBinding] = field(default_factory=dict)
    claims: set[bytes] = field(default_factory=set)
    persons: dict[tuple[str, str], str] = field(default_factory=dict)
    bindings: dict[tuple[str, str], str] = field(default_factory=dict)


class Asked(Struct, frozen=True):
    """What a batch is decided from: of which persons, (integration id, event type, person id), (account id, text
    digest) since when, and (account id, period).
    """

    person_ids: Sequence[str]
    cool_downs: Sequence[tuple[str, int, str]]
    texts: Sequence[tuple[str, bytes]]
    since: datetime
    quotas: Sequence[tuple[str, str]]
    """One for every message that may come to be counted: the same ones may be named again. An account, or a share of
    one, is what comes first.
    """
    messages: int
    """How many messages may come to be counted."""
    ceilings: Mapping[tuple[str, str], int]
    """Counts of (account id, period) that must not be passed; what is not named here has none."""


@dataclass(slots=True)
class BatchFacts:
    """Windows and suppressions of persons, ends of cool-downs, to how many persons a text went, and messages
    counted.
    """

    persons: dict[str, PersonFacts] = field(default_factory=dict)
    cool_downs: dict[tuple[str, int, str], datetime] = field(default_factory=dict)
    spread: dict[tuple[str, bytes], int] = field(default_factory=dict)
    quota: dict[tuple[str, str], int] = field(default_factory=dict)


class DecisionTransaction(Protocol):
    """One transaction of the ledger. The facts of a whole batch are read together.

    `now` and `snapshot` are the best that is known without asking; after `identify` they are what is true in the
    transaction.
    """

    now: datetime
    snapshot: Snapshot

    async def identify(self, named: Named) -> Identified:
        """What the batch's names stand for. The persons' rows are locked until a writing transaction ends."""

    async def read_facts(self, asked: Asked) -> BatchFacts:
        """The facts of persons and accounts. Ask once, after `identify`.

        Counts near their ceilings are locked as well. Others may be moved by another transaction meanwhile; `write`
        finds out whether that has led past a ceiling.
        """

    async def read_identities(self, person_ids: Sequence[str]) -> dict[str, PersonRef]:
        """How persons are known to WhatsApp; of several values of a kind the latest."""

    async def next_log_ids(self, count: int) -> Sequence[int]:
        """Numbers for rows of the policy log, rising."""

    async def read_decided(self, log_ids: Sequence[int]) -> dict[int, tuple[str, Decision, datetime]]:
        """Decisions made before: id, decision (with its findings) and time, by number."""

    async def read_messages(self, message_ids: Sequence[str]) -> dict[str, MessageView]:
        """Messages by id."""

    async def write(self, writes: DecisionWrites) -> None:
        """Writes a batch. Raises Contended if a count would pass a ceiling that `read_facts` was told."""


class DecisionLedger(Protocol):
    """The durable truth about decisions."""

    def begin(self, *, writing: bool = True) -> AbstractAsyncContextManager[DecisionTransaction]:
        """A transaction, committed at the end and rolled back on any error."""

    async def free(self, claims: Sequence[bytes], key: tuple[str, str] | None, log_id: int) -> None:
        """Forgets signatures, and a key as far as the decision `log_id` bound it, of a request that was not
        accepted after all.
        """

    async def claim(self, digest: bytes, expires_at: datetime) -> bool:
        """Claims a signature by itself; False if it was claimed before."""

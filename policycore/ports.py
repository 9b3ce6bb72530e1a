"""What the use cases need from the outside, as protocols: counters, senders, outbox. Adapters implement them;
twins do for tests.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from math import ceil
from typing import Protocol

from msgspec import Struct

from policycore.registry.snapshot import InstanceConfig


class Admission(Struct, frozen=True):
    """One request against a sliding window: at most `limit` in `window_seconds` for `key`."""

    key: str
    limit: int
    window_seconds: float = 60.0


class TurnRequest(Struct, frozen=True):
    """A message that wants its turn at an instance and a pair. A rate of 0 means no pace.

    Rates are messages per second; `max_wait_seconds` bounds how far ahead a turn may be reserved.
    """

    instance_id: str
    person_id: str
    instance_rate: float
    instance_burst: int
    pair_rate: float
    pair_burst: int
    max_wait_seconds: float = 30.0


class Turn(Struct, frozen=True):
    """How long to wait, in seconds, by instance and by pair. Nothing was reserved if either is above the
    bound.
    """

    instance_wait_seconds: float
    pair_wait_seconds: float
    reserved: bool


class Counters(Protocol):
    """Rate limits. Never the ledger: losing every value must cost nothing but a burst."""

    async def admit(self, admissions: Sequence[Admission]) -> list[float]:
        """For each, 0.0 if it was counted and may pass, else the seconds until the next may."""

    async def reserve_turns(self, requests: Sequence[TurnRequest], *, peek: bool = False) -> list[Turn]:
        """Reserves turns in the order given, each seeing those before it; with `peek` only looks."""

    async def give_back_turns(self, requests: Sequence[TurnRequest]) -> None:
        """Takes back turns that were reserved and not used. Best effort."""

    async def healthy(self) -> bool:
        """Whether the shared counters answer; if not, this process counts by itself."""


class Outcome(IntEnum):
    """What came of an attempt; numbers as in `sender_service.proto`."""

    ACCEPTED = 1
    REJECTED = 2
    UNKNOWN = 3
    NOT_ATTEMPTED = 4


class Consequence(IntEnum):
    """What an outcome means for instance or person; numbers as in `sender_service.proto`."""

    NONE = 0
    INSTANCE_CLOSED = 1
    PAUSE_INSTANCE = 2
    SLOW_INSTANCE = 3
    HOLD_PAIR = 4
    CLOSE_WINDOW = 5
    NOT_ON_WHATSAPP = 6
    STOP_MARKETING = 7
    SUPPRESS_PERSON = 8
    REPLIES_ONLY = 9


class OutboundMessage(Struct, frozen=True):
    """A message that was allowed, with everything an attempt needs."""

    message_id: str
    account_id: str
    instance_id: str
    integration_id: str | None
    person_id: str
    phone: str
    lid: str
    bsuid: str
    text: str
    purpose: str
    decided_at: datetime
    not_after: datetime
    send_after: datetime
    confirms_opt_out: bool = False


class LateReceipt(Struct, frozen=True):
    """A receipt that came with an attempt's answer and counts `after_seconds` later."""

    kind: str
    after_seconds: float
    error_code: str = ""


class AttemptOutcome(Struct, frozen=True):
    """What a sender answered. `handed_over` False means the attempt never reached a sender, so it may be
    tried again.
    """

    outcome: Outcome
    code: str = ""
    explanation: str = ""
    external_message_id: str = ""
    consequence: Consequence = Consequence.NONE
    retry_after_seconds: float | None = None
    receipts: tuple[LateReceipt, ...] = ()
    handed_over: bool = True


class InstanceHold(Struct, frozen=True):
    """Why nothing new is sent through an instance for now, and for how many seconds: its back end does not answer
    (`unanswered`), or as much is under way as it is given at once (`busy`).
    """

    why: str
    seconds: float

    @property
    def sentence(self) -> str:
        """For people."""
        if self.why == "busy":
            return "It is held back: as many messages are under way as it is given at once."
        return (
            f"It is held back for {ceil(self.seconds)} s more: its back end did not answer the last messages."
        )


class InstanceHolds(Protocol):
    """Instances that are held back."""

    held: dict[str, str]
    """Empty as long as all is well: then nobody needs to ask."""

    def hold(self, instance_id: str, *, only_looking: bool = False) -> InstanceHold | None:
        """Why nothing new may be sent through an instance, if so. Once an instance's time is over, one of those who
        ask is let through every few seconds, to find out whether it answers; `only_looking` never is the one.
        """


class Senders(Protocol):
    """The connected sender processes."""

    def available(self) -> bool:
        """Whether at least one sender takes work now."""

    async def deliver(self, message: OutboundMessage, instance: InstanceConfig) -> AttemptOutcome:
        """Signs a permit, has one attempt made, and tells what came of it. Never raises for an attempt that
        failed.
        """


class SenderGuards(Protocol):
    """The senders' guards: pauses and fresh opt-outs."""

    def opted_out(self, person_id: str, until: datetime) -> None:
        """Guards a person on every sender at once."""

    def opt_out_lifted(self, person_id: str) -> None:
        """Ends the guard of a person who wrote a START-type word, or whose entry was lifted."""

    async def confirm(self, version: int, seconds: float) -> int:
        """Waits at most `seconds` until every sender obeys configuration `version`; returns how many do."""


class SenderProbe(Protocol):
    """Asks a back end for the state of an instance."""

    async def probe(self, instance: InstanceConfig) -> tuple[str, str, str]:
        """Returns (state, reason, error text); the state is empty if it could not be asked."""


class PostOutcome(IntEnum):
    """What came of posting an event; numbers as in `sender_service.proto`."""

    TAKEN = 1
    RETRY = 2
    BLOCKED = 3
    GONE = 4


@dataclass(frozen=True, slots=True, repr=False)
class Posting:
    """An event on its way out, with its address resolved."""

    delivery_id: str
    destination_kind: str
    url: str
    event_name: str
    body: str
    signing_secret: str
    business_number: str = ""


@dataclass(frozen=True, slots=True)
class PostResult:
    """What came of posting. `http_status` is 0 if none came."""

    outcome: PostOutcome
    http_status: int = 0
    retry_after_seconds: float | None = None
    explanation: str = ""


class EventPoster(Protocol):
    """Posts events to 3CX and to customer webhooks, through a sender."""

    async def post(self, posting: Posting) -> PostResult:
        """One attempt. Never raises for an attempt that failed."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of the outbox under lease."""

    number: int
    delivery_id: str
    account_id: str
    integration_id: str | None
    webhook_id: str | None
    person_id: str | None
    event_name: str
    body: str
    attempts: int
    created_at: datetime
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class OutboxSettlement:
    """What became of one leased row.

    `state` is `pending`, `sent`, `failed`, `blocked`, or `set_aside`: still pending, and holding up nobody.
    """

    number: int
    state: str
    attempts: int
    next_attempt_at: datetime
    http_status: int
    error: str


class OutboxStore(Protocol):
    """Rows awaiting delivery."""

    async def lease(self, limit: int, seconds: float, without: Collection[str] = ()) -> list[OutboxRow]:
        """Leases due rows: for each destination and person only the oldest pending one, unless that one was
        set aside; none of the destinations in `without`.
        """

    async def extend(self, leases: Mapping[int, datetime], seconds: float) -> dict[int, datetime]:
        """Lets leases last for `seconds` from now; returns until when, for those rows that were still ours."""

    async def settle(self, settlements: Sequence[OutboxSettlement]) -> None:
        """Records what became of leased rows, in one transaction."""

    async def wake_destination(self, *, integration_id: str | None, webhook_id: str | None) -> int:
        """Makes everything waiting for a destination due now, after it recovered; returns how many rows."""

    async def next_due_seconds(self, without: Collection[str] = ()) -> float | None:
        """Seconds until the next row is due, or None if none waits, but for the destinations in `without`."""

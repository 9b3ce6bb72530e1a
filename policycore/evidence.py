"""What the live invariants compare, as plain rows: what was sent, and what held at the time. Pure.

The store reads them, the checks in `policycore.invariants` judge them. All times are the database's clock, except
`wrote_at`, which is on the provider's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import Struct

from policycore.ledger import MessageState

OVERLAP = timedelta(seconds=15)
"""Two transactions that began in one order may be committed in the other. A row's time is when its transaction
began, and a statement ends within 15 s: of two moments closer than this nobody can tell which was true first.
"""

_REACHED = frozenset(
    {
        MessageState.ACCEPTED,
        MessageState.SENT,
        MessageState.DELIVERED,
        MessageState.READ,
        MessageState.FAILED,
        MessageState.UNKNOWN,
    }
)
PROCESS_LOST = "process_lost"
"""Error code of a message whose process ended: nobody knows whether it was ever attempted."""


class LoggedDecision(Struct, frozen=True):
    """A row of the policy log. `sends`: its verdict is ALLOW and its action SEND."""

    log_id: int
    decision_id: str
    decided_at: datetime
    account_id: str
    person_id: str | None
    message_id: str | None
    sends: bool


class Outbound(Struct, frozen=True):
    """A message of ours, settled or given up, with the row of the policy log that it names."""

    message_id: str
    account_id: str
    instance_id: str
    integration_id: str | None
    person_id: str
    state: MessageState
    error_code: str
    log_id: int
    created_at: datetime
    not_after: datetime | None
    handed_out_at: datetime | None
    confirms_opt_out: bool
    decision: LoggedDecision | None

    @property
    def decided_at(self) -> datetime:
        """When it was decided, or made if nothing is known of a decision."""
        return self.created_at if self.decision is None else self.decision.decided_at

    @property
    def attempted_at(self) -> datetime | None:
        """When it was last handed to a sender, if an instance may have had it. Refused and lapsed messages may
        never have left, and a lost process may never have handed its message on.
        """
        if self.state not in _REACHED or self.error_code == PROCESS_LOST:
            return None
        return self.handed_out_at


class PauseSpan(Struct, frozen=True):
    """A pause, and when it ended or will end by itself."""

    pause_id: str
    scope: str
    scope_id: str
    created_at: datetime
    lifted_at: datetime | None
    until: datetime | None


class OptOutSpan(Struct, frozen=True):
    """An entry that blocks every purpose. `log_id` is the highest number the policy log gave this person in the
    entry's own transaction, where it was an opt-out by a message: under the person's lock numbers rise, so
    whatever was decided with a higher one was decided after it.
    """

    suppression_id: str
    created_at: datetime
    lifted_at: datetime | None
    log_id: int | None


class InboundMoment(Struct, frozen=True):
    """A person wrote to an instance: when on the provider's clock, and when that was recorded."""

    recorded_at: datetime
    wrote_at: datetime


Pair = tuple[str, str]
"""(instance id, person id)."""


@dataclass(slots=True)
class Evidence:
    """A slice of messages and what is to be known of them. `joined_at`: when a person was last found to be one with
    another. `windows`: the last inbound by the window's own row, for pairs without an inbound message.
    """

    messages: Sequence[Outbound]
    pauses: Sequence[PauseSpan] = ()
    opt_outs: Mapping[str, Sequence[OptOutSpan]] = field(default_factory=dict)
    joined_at: Mapping[str, datetime] = field(default_factory=dict)
    inbound: Mapping[Pair, Sequence[InboundMoment]] = field(default_factory=dict)
    windows: Mapping[Pair, datetime] = field(default_factory=dict)

    def knows_person(self, message: Outbound) -> bool:
        """Whether what is now filed under the message's person was that person's when it was decided. Joining two
        persons files everything under one of them.
        """
        decision = message.decision
        if decision is not None and decision.person_id != message.person_id:
            return False
        joined_at = self.joined_at.get(message.person_id)
        return joined_at is None or joined_at + OVERLAP < message.decided_at


class AnsweredDecision(Struct, frozen=True):
    """A row of the policy log, and the number that its message names; None if there is no such message."""

    decision: LoggedDecision
    message_log_id: int | None


class Usage(Struct, frozen=True):
    """What an account's quota says was used in a period, and what the rows that hold it add up to."""

    account_id: str
    period: str
    used: int
    held: int


class Violation(Struct, frozen=True):
    """A promise that was broken. `subject` names the row: a message, a decision, or an account and its period."""

    invariant: str
    subject: str
    account_id: str
    explanation: str


class Progress(Struct, frozen=True):
    """How far the invariants have looked: messages by time, decisions by number, quotas by account."""

    messages_until: datetime
    log_id: int
    quota_account_id: str = ""

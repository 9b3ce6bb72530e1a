"""What the oracle judges: the client's own record, the stand-ins' logs, and the rows of the database. Plain values."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from faults.stand_ins import Arrival, Forwarded

WAITING, HANDED_OUT, REJECTED, UNKNOWN, LAPSED = 1, 2, 7, 8, 10
OPEN = frozenset({WAITING, HANDED_OUT})
GAVE_BACK = frozenset({REJECTED, LAPSED})
"""States of messages, as the gateway's contract numbers them."""


@dataclass(slots=True)
class Answer:
    """What one try of a request came to; `status` 0 for no answer. Times in seconds of this machine's clock."""

    asked_at: float
    answered_at: float
    status: int
    body: dict[str, Any] = field(default_factory=dict)
    retry_after: str = ""


@dataclass(slots=True)
class Request:
    """A reply that the client asked for, once or more often; its token stands in its text."""

    token: str
    account_id: str
    phone: str
    text: str
    key: str = ""
    answers: list[Answer] = field(default_factory=list)

    @property
    def accepted(self) -> list[Answer]:
        """The answers that said yes."""
        return [answer for answer in self.answers if 200 <= answer.status < 300]


@dataclass(slots=True)
class Written:
    """A message that a person wrote, delivered to the gateway once or more often."""

    instance_id: str
    phone: str
    external_id: str
    text: str
    provider_at: float
    first_posted_at: float = 0.0
    acknowledged_at: float | None = None


@dataclass(slots=True)
class Paused:
    """A pause of an instance. `lift_asked_at` is when its end was first asked for."""

    instance_id: str
    acknowledged_at: float
    lift_asked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """While this was gone: `postgresql` or `redis`. Only times at which it was gone for certain."""

    what: str
    began_at: float
    ended_at: float


@dataclass(slots=True)
class Record:
    """All that the client did and was told. `slack_seconds` is how long the network may hold up a written byte."""

    requests: list[Request] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    pauses: list[Paused] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    slack_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A row of `messages`; moments in seconds."""

    message_id: str
    account_id: str
    instance_id: str
    person_id: str
    phone: str
    text: str
    outbound: bool
    state: int
    external_id: str
    log_id: int
    created_at: float
    reserved_day: str = ""
    reserved_month: str = ""
    confirms_opt_out: bool = False


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A row of `decisions`."""

    log_id: int
    account_id: str
    message_id: str
    caller: str
    verdict: int
    reason: int
    action: int
    inputs_json: str = ""


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A row of `windows`."""

    instance_id: str
    person_id: str
    last_inbound_at: float


@dataclass(frozen=True, slots=True)
class SuppressionRow:
    """A row of `suppressions`."""

    person_id: str
    source: str
    scope: str
    lifted: bool


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of `outbox`; `external_id` is that of the message it tells of."""

    event: str
    state: str
    external_id: str
    integration_id: str


@dataclass(frozen=True, slots=True)
class AccountRow:
    """What an account may send."""

    account_id: str
    zone: str
    daily_limit: int
    monthly_limit: int


@dataclass(slots=True)
class Ledger:
    """The database at one moment."""

    accounts: dict[str, AccountRow] = field(default_factory=dict)
    messages: list[MessageRow] = field(default_factory=list)
    decisions: list[DecisionRow] = field(default_factory=list)
    windows: list[WindowRow] = field(default_factory=list)
    suppressions: list[SuppressionRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    quota: dict[tuple[str, str], int] = field(default_factory=dict)
    person_of: dict[tuple[str, str], str] = field(default_factory=dict)
    """Person by account and phone."""

    def of(self, accounts: set[str], integrations: set[str], instances: set[str]) -> "Ledger":
        """The part that belongs to these accounts, with their integrations and instances."""
        persons = {person for (account, _), person in self.person_of.items() if account in accounts}
        return Ledger(
            accounts={key: row for key, row in self.accounts.items() if key in accounts},
            messages=[row for row in self.messages if row.account_id in accounts],
            decisions=[row for row in self.decisions if row.account_id in accounts],
            windows=[row for row in self.windows if row.instance_id in instances],
            suppressions=[row for row in self.suppressions if row.person_id in persons],
            outbox=[row for row in self.outbox if row.integration_id in integrations],
            quota={key: used for key, used in self.quota.items() if key[0] in accounts},
            person_of={key: person for key, person in self.person_of.items() if key[0] in accounts},
        )


@dataclass(slots=True)
class Evidence:
    """Everything that is judged. `names` are the instances' own names by id."""

    record: Record
    ledger: Ledger
    arrivals: list[Arrival] = field(default_factory=list)
    forwarded: list[Forwarded] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def ours(self) -> Iterable[MessageRow]:
        """What the business sent, or was to send."""
        return (row for row in self.ledger.messages if row.outbound)

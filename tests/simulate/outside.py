"""Owns what can be seen from outside: what instances took, what was asked, what was answered, and when.

The oracle reads this and the ledger, and nothing of the product's own memory. All times are the true one.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from policycore.usecases.command import Decided


def lid_of(phone: str) -> str:
    """The linked id of the person with this number."""
    return "9900" + phone[-3:]


class Says(Enum):
    """What a person's message asks for."""

    NOTHING = "nothing"
    STOP = "stop"
    START = "start"


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that left the last socket and that an instance took."""

    at: datetime
    instance_id: str
    message_id: str
    phone: str
    lid: str
    text: str


@dataclass(slots=True)
class Written:
    """A message that a person wrote, as its back end reports it. `opens` is False for groups; `hidden` is True where
    the back end named the linked id only.
    """

    event_key: str
    instance_id: str
    phone: str
    says: Says
    provider_at: datetime
    opens: bool
    hidden: bool = False
    reported_at: datetime | None = None
    acknowledged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller heard."""

    at: datetime
    decided: Decided


@dataclass(slots=True)
class Request:
    """One request with all its repeats; without a key every call is a request of its own. One that only validates must
    leave nothing behind.
    """

    name: str
    phone: str
    text: str
    asked_at: datetime
    only_validates: bool = False
    answers: list[Answer] = field(default_factory=list)


@dataclass(slots=True)
class Held:
    """A pause or an administrator's suppression: when it was acknowledged, and from when on it was being lifted."""

    scope: str
    scope_id: str
    asked_at: datetime
    acknowledged_at: datetime | None = None
    lift_asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event that 3CX or a customer's system took."""

    at: datetime
    delivery_id: str


@dataclass(slots=True)
class Outside:
    """Everything that was seen."""

    taken: list[Taken] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    pauses: list[Held] = field(default_factory=list)
    suppressions: list[Held] = field(default_factory=list)
    receipts: list[tuple[str, str]] = field(default_factory=list)
    """(instance id, event key) of receipts whose report was acknowledged."""
    delivered: list[Delivered] = field(default_factory=list)
    counter_waits: list[float] = field(default_factory=list)
    """How long, in seconds, each call of the counters was waited for."""

"""What is known of one 3CX connection when it is looked through, and what a look comes to, as plain data.

Pure: no clock, no I/O. Instants are aware datetimes in UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from policycore.reasons import ReasonCode
from policycore.registry.snapshot import InstanceConfig, IntegrationConfig


class CheckState(IntEnum):
    """How a step ended; numbers as in `connection_check.proto`."""

    OK = 1
    FAILED = 2
    SKIPPED = 3


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One step with its sentence."""

    name: str
    state: CheckState
    sentence: str


@dataclass(frozen=True, slots=True)
class CheckOrder:
    """Which connection is looked through, and how far. Empty words leave a step out."""

    integration_id: str
    public_url: str = ""
    test_phone: str = ""
    send_test: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a connection to an address came. `failure` is empty if an answer came; `no_sender` if nobody looked."""

    failure: str
    http_status: int = 0
    is_gateway: bool = False


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Callers of this integration that were turned away lately for one reason, from one address."""

    reason: str
    source_address: str
    count: int


@dataclass(frozen=True, slots=True)
class TriedMessage:
    """What came of a test message: decided only, or sent as well. `state` is the message's, empty if none was sent."""

    allowed: bool
    reason: ReasonCode
    explanation: str
    sent: bool
    state: str = ""


@dataclass(frozen=True, slots=True)
class TriedEvent:
    """What came of a test event at the destination."""

    taken: bool
    http_status: int
    explanation: str


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """Everything a walk through one connection rests on."""

    integration: IntegrationConfig
    module_enabled: bool
    has_secret: bool
    secret_last_used_at: datetime | None
    turned_away: tuple[TurnedAway, ...]
    instance: InstanceConfig | None
    hold: str
    window_is_open: bool
    public_url: str
    public: Reached | None
    destination: Reached | None
    message: TriedMessage | None
    event: TriedEvent | None

"""The words of an attempt as plain data: who it goes to, what left, what came back, what that means.

Pure: no I/O, no clock, no third-party package. Times are aware datetimes in UTC; durations say their unit.
Nobody changes a word once it is made; those that are made for every attempt are not frozen only because CPython
takes five times as long to make a frozen one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum


class Outcome(IntEnum):
    """What came of an attempt; numbers as in `sender_service.proto`."""

    ACCEPTED = 1
    REJECTED = 2
    UNKNOWN = 3
    NOT_ATTEMPTED = 4


class Consequence(IntEnum):
    """What an outcome means for the instance or the person; numbers as in `sender_service.proto`."""

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


class PostOutcome(IntEnum):
    """What came of posting an event; numbers as in `sender_service.proto`."""

    TAKEN = 1
    RETRY = 2
    BLOCKED = 3
    GONE = 4


class GuardScope(IntEnum):
    """Kinds of thing a guard stops; numbers as in `sender_service.proto`."""

    PLATFORM = 1
    ACCOUNT = 2
    INSTANCE = 3
    INTEGRATION = 4
    PERSON = 5


class FailureKind(StrEnum):
    """How an exchange ended without an answer. All down to `TLS_FAILED` happen before a byte was written."""

    BAD_REQUEST = "bad_request"
    ADDRESS_REFUSED = "address_refused"
    DNS_FAILED = "dns_failed"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    CONNECTION_LOST = "connection_lost"
    PROTOCOL_ERROR = "protocol_error"


@dataclass(frozen=True, slots=True)
class Connection:
    """How a back end is reached. `external_name` is the back end's own name of the instance."""

    instance_id: str
    backend: str
    base_url: str
    external_name: str
    api_token: str = field(repr=False)
    former_api_token: str = field(default="", repr=False)
    former_valid_until: datetime | None = None


@dataclass(slots=True)
class Recipient:
    """Where a message goes: E.164 with `+`, else a linked id (digits), else a business-scoped id."""

    phone: str = ""
    lid: str = ""
    business_scoped_id: str = ""


@dataclass(slots=True)
class PermitClaims:
    """What a permit says. Believe it only after `PermitDesk.claim` has returned."""

    permit_id: str
    message_id: str
    account_id: str
    instance_id: str
    integration_id: str
    person_id: str
    recipient_digest: bytes
    content_digest: bytes
    not_after: datetime
    confirms_opt_out: bool = False


@dataclass(slots=True, eq=False)
class PermitBatch:
    """Permits that came together under one signature: `signature` covers all of `raws`, in their order.

    `refusal` is the code and the explanation of what is wrong with the signature, once `verified`.
    """

    raws: Sequence[bytes]
    signature: bytes
    key_id: str
    verified: bool = False
    refusal: tuple[str, str] | None = None


@dataclass(slots=True)
class SignedPermit:
    """A permit as it came: `claims` were read from `raw`, and `signature` covers `raw`.

    If `batch` is given, its signature counts instead, and `raw` is the one at `place` of its `raws`.
    """

    raw: bytes
    signature: bytes
    key_id: str
    claims: PermitClaims
    batch: PermitBatch | None = None
    place: int = 0


@dataclass(slots=True)
class Order:
    """One attempt at one message, with all it needs. `correlation_id` is echoed by back ends that can."""

    permit: SignedPermit
    recipient: Recipient
    text: str = field(repr=False)
    connection: Connection
    correlation_id: str


@dataclass(slots=True)
class HttpRequest:
    """A request to make, described. Headers are as they go out."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class HttpAnswer:
    """What came back. Header names are lower case. `complete` is False if the body was cut short."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    complete: bool = True


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """No answer came. `bytes_written` is True if the request, or a part of it, may have left this machine."""

    kind: FailureKind
    bytes_written: bool
    detail: str = ""


Exchange = HttpAnswer | TransportFailure
"""What an exchange with the outside ended in."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that came with the answer: `sent`, `delivered`, `read` or `failed`, and when it counts."""

    kind: str
    after_seconds: float
    error_code: str = ""


@dataclass(slots=True)
class AttemptResult:
    """What came of one attempt. `attempted_at` is when it began at the socket, None if it never did."""

    outcome: Outcome
    code: str
    explanation: str
    external_message_id: str = ""
    consequence: Consequence = Consequence.NONE
    retry_after_seconds: float | None = None
    http_status: int = 0
    receipts: tuple[Receipt, ...] = ()
    attempted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InstanceState:
    """State as a back end says it: `open`, `connecting` or `close`; empty if it could not be asked."""

    state: str
    reason: str
    error_text: str = ""


@dataclass(frozen=True, slots=True)
class PostResult:
    """What came of posting an event."""

    outcome: PostOutcome
    explanation: str
    http_status: int = 0
    retry_after_seconds: float | None = None


class LookUpOutcome(IntEnum):
    """How looking for a message ended; numbers as in `sender_service.proto`."""

    LOOKED = 1
    NOT_OFFERED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class LookUp:
    """A message that is looked for: a text that went to one person, not before `since`."""

    connection: Connection
    recipient: Recipient
    text: str = field(repr=False)
    since: datetime


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message that a back end has. `kind` is `accepted`, `sent`, `delivered`, `read` or `failed`."""

    external_message_id: str
    sent_at: datetime
    kind: str


@dataclass(frozen=True, slots=True)
class LookUpResult:
    """How looking ended, in a short stable word too, and what was found, the oldest first."""

    outcome: LookUpOutcome
    reason: str
    found: tuple[FoundMessage, ...] = ()


class UnaddressableError(Exception):
    """The back end has no way to address this recipient, or the connection cannot be made a request of."""


class WithheldError(Exception):
    """Nothing was attempted. `code` is a stable word, `explanation` a plain sentence."""

    def __init__(self, code: str, explanation: str) -> None:
        super().__init__(code)
        self.code = code
        self.explanation = explanation

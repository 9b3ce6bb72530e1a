"""The words of a decision as plain data: intent (what is wanted), facts (what is true now), rules (what is
configured).

Pure: no I/O, no clock. Times are aware datetimes in UTC; durations say their unit or are timedeltas. Each of
these is made several times for every message, so they are structs: as immutable as frozen dataclasses, and
made and compared in a fraction of their time. `msgspec.structs.replace` makes a changed one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum

from msgspec import Struct, field, to_builtins

from policycore.reasons import CheckName, ReasonCode, Verdict


class EventType(IntEnum):
    """Events a phone system reports; numbers as in `policy_service.proto`."""

    # A number and its name are one key in a table; the hash of an Enum would be the name's, and slow.
    __hash__ = int.__hash__

    UNSUPPORTED = 0
    TEST = 1
    OUTBOUND_MESSAGE = 2
    INBOUND_REPLY = 3
    MISSED_CALL = 4
    CALL_STARTED = 5
    CALL_ENDED = 6
    VOICEMAIL = 7
    QUEUE_EVENT = 8
    QUEUE_CALLBACK = 9
    AFTER_HOURS = 10
    CHAT_ENDED = 11


REPLIES = frozenset({EventType.OUTBOUND_MESSAGE, EventType.INBOUND_REPLY})
"""Events in which an agent writes to a customer."""

TEMPLATED = frozenset(
    {
        EventType.MISSED_CALL,
        EventType.CALL_ENDED,
        EventType.VOICEMAIL,
        EventType.QUEUE_EVENT,
        EventType.QUEUE_CALLBACK,
        EventType.AFTER_HOURS,
    }
)
"""Call events that may have a template."""


class Action(IntEnum):
    """What a request leads to; numbers as in `decision.proto`."""

    SEND = 1
    RECORD = 2
    SKIP = 3
    BLOCK = 4


class Source(StrEnum):
    """Which door a request came through."""

    THREECX = "threecx"
    THREECX_SMS = "threecx_sms"
    SEND_API = "send_api"
    SERVICE = "service"


class Intent(Struct, frozen=True):
    """What a caller wants, as the caller wrote it. For a call event, `text` is the rendered template; `unanswered` is
    one in which an agent called and nobody answered. `purpose_defaulted` says that the purpose is the integration's,
    because its phone system states none.
    """

    account_id: str
    source: Source
    caller: str
    event_type: EventType
    event_type_text: str = ""
    integration_id: str | None = None
    api_key_id: str | None = None
    test_key: bool = False
    phone_text: str = ""
    text: str = ""
    purpose_text: str = ""
    conversation_id: str = ""
    agent_extension: str = ""
    queue: str = ""
    call_time: str = ""
    instance_ref: str = ""
    unanswered: bool = False
    attachments: int = 0
    purpose_defaulted: bool = False


class TemplateFact(Struct, frozen=True):
    """The call-event template that applies."""

    enabled: bool
    language: str
    text: str
    purpose: str


class ToggleFacts(Struct, frozen=True):
    """Switches of account and integration. `is_integration` is False for requests that come through no
    integration.
    """

    module_enabled: bool = True
    is_integration: bool = False
    outbound_enabled: bool = True
    call_events_enabled: bool = False
    template: TemplateFact | None = None


class SuppressionFact(Struct, frozen=True):
    """An entry that blocks. `source` is `person`, `administrator`, `import` or `whatsapp`; `scope` `all` or
    `marketing`.
    """

    suppression_id: str
    source: str
    scope: str
    created_at: datetime


class PauseFact(Struct, frozen=True):
    """A pause that touches this request. `scope` is `platform`, `account`, `instance`, `integration` or
    `person`.
    """

    pause_id: str
    scope: str
    author: str
    reason: str
    until: datetime | None


class QuotaFact(Struct, frozen=True):
    """Fair use of one calendar period: `limit` and `used` in messages, and when the next period begins."""

    limit: int
    used: int
    resets_at: datetime


class ShareFact(Struct, frozen=True):
    """What one caller may use of the account's quotas, and has used; `caller` as the rules name it."""

    caller: str
    day: QuotaFact
    month: QuotaFact


class InstanceFact(Struct, frozen=True):
    """The instance that was chosen. `state` is `open`, `connecting` or `close`.

    `hold` is why nothing is sent through it for `hold_seconds`, whatever its state: `unacknowledged` (by people,
    `unacknowledged_since`), `unanswered` (by its back end), `busy`, or empty.
    """

    instance_id: str
    backend: str
    state: str
    state_changed_at: datetime | None = None
    hold: str = ""
    hold_seconds: float = 0.0


class Facts(Struct, frozen=True):
    """What is true now. `None` means known to be absent; what could not be read is named in `unreadable`."""

    toggles: ToggleFacts = ToggleFacts()
    phone: str | None = None
    person_id: str | None = None
    suppression: SuppressionFact | None = None
    last_inbound_at: datetime | None = None
    pauses: tuple[PauseFact, ...] = ()
    similar_recipients: int = 0
    cool_down_until: datetime | None = None
    day: QuotaFact | None = None
    month: QuotaFact | None = None
    share: ShareFact | None = None
    instance: InstanceFact | None = None
    instance_wait_seconds: float = 0.0
    pair_wait_seconds: float = 0.0
    clock_offset_seconds: float = 0.0
    unreadable: frozenset[str] = frozenset()


class Rules(Struct, frozen=True, cache_hash=True):
    """What is configured for the account, with every default filled in."""

    version: int = 1
    window: timedelta = timedelta(hours=24)
    window_margin: timedelta = timedelta(seconds=60)
    content_block_score: int = 80
    content_advice_score: int = 50
    max_text_characters: int = 4096
    max_wait: timedelta = timedelta(seconds=30)
    max_clock_offset: timedelta = timedelta(seconds=60)
    cool_down: timedelta = timedelta(minutes=15)
    pair_messages_per_minute: float = 10.0
    pair_burst: int = 45
    shadow: frozenset[CheckName] = frozenset()
    quota_shares: tuple[tuple[str, int], ...] = ()
    """Callers and how much of the quotas each may use, in percent."""


class Finding(Struct, frozen=True, omit_defaults=True):
    """One check's answer with its numbers. `facts` holds further values as text, for people."""

    check: CheckName
    verdict: Verdict
    reason: ReasonCode
    explanation: str = ""
    shadow: bool = False
    limit: int | None = None
    used: int | None = None
    passes_at: datetime | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


class Decision(Struct, frozen=True):
    """Verdict over all findings. `findings` holds every finding, in order of precedence."""

    verdict: Verdict
    reason: ReasonCode
    action: Action
    findings: tuple[Finding, ...]
    risk_score: int
    retry_after_seconds: float | None
    rules_version: int
    explanation: str


def allow(check: CheckName, **facts: str) -> Finding:
    """A finding that stands in nobody's way."""
    return Finding(check, Verdict.ALLOW, ReasonCode.ALLOWED, facts=facts)


def iso(moment: datetime) -> str:
    """`moment.isoformat()`, in an eighth of its time for UTC."""
    if moment.tzinfo is not UTC:
        return moment.isoformat()
    written: str = to_builtins(moment)
    return written[:-1] + "+00:00"


def iso_seconds(moment: datetime) -> str:
    """`moment.isoformat(timespec="seconds")`, likewise."""
    if moment.tzinfo is not UTC:
        return moment.isoformat(timespec="seconds")
    written: str = to_builtins(moment)
    return written[:19] + "+00:00"

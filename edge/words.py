"""The numbers of `hubgate.policy.v1` that the edge has to understand, as pure enumerations.

Pure: nothing but the standard library's enum. A test compares every member with the generated code.
"""

from enum import IntEnum
from functools import lru_cache


class Verdict(IntEnum):
    """What a check or a decision says."""

    ALLOW = 1
    DENY = 2
    DEFER = 3


class Action(IntEnum):
    """What a decision leads to."""

    SEND = 1
    RECORD = 2
    SKIP = 3
    BLOCK = 4


class EventType(IntEnum):
    """Events a phone system reports; UNSPECIFIED stands for missing and unknown ones."""

    UNSPECIFIED = 0
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


class ReportedCall(IntEnum):
    """What a CRM template says of a call; UNSPECIFIED stands for chats and for unknown kinds."""

    UNSPECIFIED = 0
    MISSED = 1
    INBOUND = 2
    OUTBOUND = 3
    NOT_ANSWERED = 4


class MessageState(IntEnum):
    """How far a message has come."""

    UNSPECIFIED = 0
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


class CheckName(IntEnum):
    """The checks, by name."""

    TOGGLES = 1
    PHONE = 2
    TEXT = 3
    PURPOSE = 4
    SUPPRESSION = 5
    WINDOW = 6
    PAUSE = 7
    CONTENT = 8
    COOL_DOWN = 9
    QUOTA = 10
    INSTANCE = 11
    RATE = 12
    FACTS = 13


class ReasonCode(IntEnum):
    """Why a check refused; the words are explained in `reasons.proto`."""

    ALLOWED = 1
    MODULE_NOT_ENABLED = 10
    UNSUPPORTED_EVENT_TYPE = 11
    OUTBOUND_DISABLED = 12
    CALL_EVENTS_DISABLED = 13
    MISSING_PHONE = 20
    INVALID_PHONE = 21
    MISSING_MESSAGE_TEXT = 30
    MESSAGE_TOO_LONG = 31
    ATTACHMENTS_NOT_SUPPORTED = 32
    PURPOSE_NOT_ALLOWED = 40
    PURPOSE_MISSING = 41
    RECIPIENT_SUPPRESSED = 50
    WINDOW_NEVER_OPENED = 60
    WINDOW_EXPIRED = 61
    PLATFORM_PAUSED = 70
    ACCOUNT_PAUSED = 71
    INSTANCE_PAUSED = 72
    INTEGRATION_PAUSED = 73
    PERSON_PAUSED = 74
    CONTENT_MARKETING = 80
    COOL_DOWN_ACTIVE = 90
    DAILY_QUOTA_SPENT = 100
    MONTHLY_QUOTA_SPENT = 101
    INSTANCE_NOT_CONNECTED = 110
    INSTANCE_UNKNOWN = 111
    INSTANCE_NOT_FOR_TEST_KEY = 112
    INSTANCE_RATE_LIMITED = 120
    PAIR_RATE_LIMITED = 121
    FACTS_UNREADABLE = 130
    CLOCK_UNTRUSTED = 131
    WEBHOOK_RATE_LIMITED = 140
    SIGNATURE_REPLAYED = 141
    IDEMPOTENCY_KEY_REUSED = 142
    OVERLOADED = 143


@lru_cache(maxsize=1_024)
def word(kind: type[IntEnum], number: int) -> str:
    """The public lower-case word for a number of `kind`; `unknown_<number>` for one this version does not
    know.
    """
    try:
        return kind(number).name.lower()
    except ValueError:
        return f"unknown_{number}"

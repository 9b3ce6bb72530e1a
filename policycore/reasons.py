"""Verdicts, reason codes and check names: the same words and numbers as `reasons.proto`, for the pure core.

A test in `tests/arch` fails if the two ever differ. The order of `PRECEDENCE` is the contract's. Decisions look
these words up in sets and tables many times each, so they hash as the numbers they are: the hash of an Enum is
that of its name, computed in Python.
"""

from enum import IntEnum


class Verdict(IntEnum):
    """What a check, or a decision, says. DENY beats DEFER beats ALLOW."""

    __hash__ = int.__hash__

    ALLOW = 1
    DENY = 2
    DEFER = 3


class ReasonCode(IntEnum):
    """Why a check refused; grouped by check."""

    __hash__ = int.__hash__

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


class CheckName(IntEnum):
    """The checks, by name."""

    __hash__ = int.__hash__

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


PRECEDENCE: tuple[CheckName, ...] = (
    CheckName.TOGGLES,
    CheckName.PHONE,
    CheckName.TEXT,
    CheckName.PURPOSE,
    CheckName.SUPPRESSION,
    CheckName.WINDOW,
    CheckName.PAUSE,
    CheckName.CONTENT,
    CheckName.COOL_DOWN,
    CheckName.QUOTA,
    CheckName.INSTANCE,
    CheckName.RATE,
    CheckName.FACTS,
)
"""Order in which refusals name their reason (contract, section 1.2)."""

SHADOWABLE: frozenset[CheckName] = frozenset(
    {CheckName.CONTENT, CheckName.COOL_DOWN, CheckName.QUOTA, CheckName.RATE}
)
"""Checks that may only watch. Purpose, suppression, window and pause never can."""

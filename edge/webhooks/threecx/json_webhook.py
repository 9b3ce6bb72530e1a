"""The JSON webhook of 3CX: raw bytes to the fields of one event.

Pure. Nothing is judged here: what an event type, a phone or a purpose is worth, the policy core decides.
"""

from dataclasses import dataclass
from typing import Final

from edge.strict_json import JsonNumber, JsonValue, check_storable, read_object
from edge.words import EventType

EVENT_TYPES: Final[dict[str, EventType]] = {
    kind.name.lower(): kind for kind in EventType if kind is not EventType.UNSPECIFIED
}
"""Event types by the name a caller writes."""

REPLIES: Final = frozenset({EventType.OUTBOUND_MESSAGE, EventType.INBOUND_REPLY})
"""Events in which an agent writes to a customer."""

REPLY_PHONE_KEYS: Final = ("to", "customer_phone", "phone", "from", "caller")
"""Where a reply's recipient is looked for, best key first."""

CALL_PHONE_KEYS: Final = ("customer_phone", "caller", "from", "phone", "to")
"""Where a call event's customer is looked for; `to` comes last, because there it is the company's own line.
"""

PHONE_LIMIT: Final = 64
UNREADABLE_PHONE: Final = "(unreadable)"
"""Stands for a phone that is present but neither text nor number, or absurdly long: no reader takes it for
a number.
"""

KEY_LIMIT: Final = 200
"""Longest idempotency key, in characters, that is taken as it stands."""


@dataclass(slots=True)
class ThreecxEvent:
    """One event as the caller wrote it; fields the caller left out are empty."""

    event_type: EventType
    event_type_text: str
    phone: str
    text: str
    purpose: str
    conversation_id: str
    agent_extension: str
    queue: str
    call_time: str
    event_id: str


def parse(raw: bytes) -> ThreecxEvent:
    """Reads one webhook body. Raises InvalidJsonError; whatever is a JSON object gives an event, however
    odd.
    """
    return event_of(read_object(raw))


def event_of(body: dict[str, JsonValue]) -> ThreecxEvent:
    """The event of one JSON object. Raises InvalidJsonError for text that cannot be stored."""
    written = _word(body, "event_type", 10_000)
    event_type = EVENT_TYPES.get(written, EventType.UNSPECIFIED)
    phone_keys = REPLY_PHONE_KEYS if event_type in REPLIES else CALL_PHONE_KEYS
    return ThreecxEvent(
        event_type=event_type,
        event_type_text=_bounded(written, 64),
        phone=phone(body, phone_keys),
        text=_text(body),
        purpose=_word(body, "message_purpose", 64),
        conversation_id=scalar(body, "conversation_id", 200),
        agent_extension=scalar(body, "agent_extension", 64),
        queue=scalar(body, "queue", 64),
        call_time=scalar(body, "call_time", 64),
        event_id=scalar(body, "event_id", 10_000),
    )


def _bounded(text: str, limit: int) -> str:
    """Cuts to `limit` characters; the ellipsis keeps a cut word from equalling one that was meant."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _word(body: dict[str, JsonValue], name: str, limit: int) -> str:
    """A field that must be text; anything else counts as missing."""
    value = body.get(name)
    if not isinstance(value, str) or isinstance(value, JsonNumber):
        return ""
    return _bounded(check_storable(value.strip(), name), limit)


def scalar(body: dict[str, JsonValue], name: str, limit: int) -> str:
    """A field that may be text or a number; anything else counts as missing."""
    value = body.get(name)
    if not isinstance(value, str):
        return ""
    return _bounded(check_storable(str(value.strip()), name), limit)


def phone(body: dict[str, JsonValue], keys: tuple[str, ...]) -> str:
    """The first key that holds something. Null and blank text count as absent."""
    for key in keys:
        value = body.get(key)
        if value is None:
            continue
        if not isinstance(value, str):
            return UNREADABLE_PHONE
        written = str(value.strip())
        if written:
            return UNREADABLE_PHONE if len(written) > PHONE_LIMIT else check_storable(written, key)
    return ""


def _text(body: dict[str, JsonValue]) -> str:
    """`message_text`, else `message`: the first that is text and not blank, unchanged."""
    for key in ("message_text", "message"):
        value = body.get(key)
        if isinstance(value, str) and not isinstance(value, JsonNumber) and value.strip():
            return check_storable(value, key)
    return ""

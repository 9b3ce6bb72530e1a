"""The dialects of commercial webhook generators (Creomate, Komplit, 58voip, K2M): a request to one call event.

Pure. Both families say the same in keys of different letter case, as JSON, as a form or in the query. What they write
is mapped here, and judged nowhere but in the policy core. Sources: https://creomate.com/3cx-webhook-documentation/,
https://komplit.eu/3cx-webhook-documentation, https://webhooks.k2msoftware.com/Document/WebhookDocs
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import parse_qsl

from edge.errors import InvalidJsonError
from edge.strict_json import JsonValue, check_storable, read_object
from edge.webhooks.threecx.json_webhook import PHONE_LIMIT, UNREADABLE_PHONE
from edge.words import EventType

FIELD_LIMIT: Final = 100
"""Fields of a query or a form that are read; the generators write about twenty."""

_WORD_LIMIT: Final = 64
_CALL_LIMIT: Final = 128
_RECORDINGS: Final = frozenset({"files", "files[]", "fileurls", "fileurls[]"})
_READ: Final = frozenset({"event", "callerid", "user", "usertype", "finishtype", "id"}) | _RECORDINGS
_BLANKS: Final = b" \t\r\n"


class Meaning(Enum):
    """What a dialect's event is to the gateway."""

    EVENT = "event"
    """An event of the contract: `event_type` says which."""
    NOTED = "noted"
    """Known, and no message could follow from it: a recording, an outgoing call nobody took, an end without how."""


@dataclass(frozen=True, slots=True)
class DialectEvent:
    """One event as a generator wrote it. `identity` is the call's and the event's, the same for every repeat; empty if
    the request names no call.
    """

    meaning: Meaning
    event_type: EventType
    event_type_text: str
    phone: str
    agent_extension: str
    queue: str
    identity: str


Fields = dict[str, list[str]]
"""What was written, by key in lower case."""


def parse_query(query: bytes) -> DialectEvent:
    """Reads the event of a GET request. Raises InvalidJsonError with one sentence, without any of the content."""
    return _event(_form_fields(query, "query"))


def parse_body(raw: bytes) -> DialectEvent:
    """Reads the event of a POST request, JSON or form by what it looks like: generators name no reliable type.

    Raises InvalidJsonError with one sentence, without any of the content.
    """
    if raw.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS)[:1] in (b"{", b"["):
        return _event(_json_fields(read_object(raw)))
    if not raw.strip(_BLANKS):
        raise InvalidJsonError("The body is empty.")
    return _event(_form_fields(raw.strip(_BLANKS), "body"))


def _form_fields(raw: bytes, place: str) -> Fields:
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELD_LIMIT, errors="strict"
        )
    except UnicodeDecodeError as error:
        raise InvalidJsonError(f"The {place} is not valid UTF-8.") from error
    except ValueError as error:
        raise InvalidJsonError(f"The {place} holds more than {FIELD_LIMIT} fields.") from error
    return _collected((name, [value]) for name, value in pairs)


def _json_fields(body: dict[str, JsonValue]) -> Fields:
    return _collected((name, list(_texts(value))) for name, value in body.items())


def _texts(value: JsonValue) -> Iterable[str]:
    """The texts of a field; a number is kept as it was written, and whatever else there is says nothing."""
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, list):
        for each in value:
            if isinstance(each, str):
                yield str(each)


def _collected(pairs: Iterable[tuple[str, list[str]]]) -> Fields:
    found: Fields = {}
    for name, values in pairs:
        key = name.strip().lower()
        if key in _READ:
            found.setdefault(key, []).extend(values)
    return found


def _one(fields: Fields, key: str) -> str:
    """The value of a field that has only one. Raises InvalidJsonError if it is given twice, and differently."""
    values = {value.strip() for value in fields.get(key, ())} - {""}
    if len(values) > 1:
        raise InvalidJsonError(f"The field {key} is given more than once, and differently.")
    return check_storable(values.pop(), key) if values else ""


def _event(fields: Fields) -> DialectEvent:
    written, finish = _one(fields, "event"), _one(fields, "finishtype")
    recorded = any(value.strip() for key in _RECORDINGS for value in fields.get(key, ()))
    meaning, event_type = _meaning(written.lower(), finish.lower(), recorded=recorded)
    phone, user = _phone(_one(fields, "callerid")), _bounded(_one(fields, "user"), _WORD_LIMIT)
    # `other` is a queue to the older generators and a menu to the newer ones: in no case a person's extension.
    at_extension = _one(fields, "usertype").lower() in ("", "ext")
    return DialectEvent(
        meaning=meaning,
        event_type=event_type,
        event_type_text=_bounded(f"{written} {finish}".strip(), _WORD_LIMIT),
        phone=phone,
        agent_extension=user if at_extension else "",
        queue="" if at_extension else user,
        identity=_identity(_one(fields, "id"), event_type, phone) if meaning is Meaning.EVENT else "",
    )


def _meaning(event: str, finish: str, *, recorded: bool) -> tuple[Meaning, EventType]:
    """What an event comes to. An outgoing call that nobody took is not the customer's missed call."""
    if event in ("incoming", "outgoing"):
        if finish == "ok":
            return Meaning.EVENT, EventType.CALL_ENDED
        if finish == "missed" and event == "incoming":
            return Meaning.EVENT, EventType.MISSED_CALL
        # Older generators leave the way it ended out of some ends: what is not known leads to no message.
        known = finish in ("missed", "")
        return (Meaning.NOTED if known else Meaning.EVENT), EventType.UNSPECIFIED
    if event == "ringing" or event.startswith(("pickup", "hangup")) or event.endswith("call_started"):
        return Meaning.EVENT, EventType.CALL_STARTED
    if event == "recording" or (not event and recorded):
        return Meaning.NOTED, EventType.UNSPECIFIED
    return Meaning.EVENT, EventType.UNSPECIFIED


def _identity(written: str, event_type: EventType, phone: str) -> str:
    """The call is what stands before the hyphen of `yymmddhhmmss_N-M`: M changes when the call is answered.

    The event and the person belong to it, so that no other event of the call counts as its repeat.
    """
    call = written.partition("-")[0].strip()
    if not call or event_type is EventType.UNSPECIFIED:
        return ""
    digits = "".join(character for character in phone if character.isdecimal())
    return f"call:{_bounded(call, _CALL_LIMIT)}:{event_type.name.lower()}:{digits}"


def _phone(written: str) -> str:
    return UNREADABLE_PHONE if len(written) > PHONE_LIMIT else written


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

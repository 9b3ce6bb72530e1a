"""What a phone system's API says, read from its JSON. Pure: hostile values give less, no error but `OddAnswerError`.

Field names of Call Control are those of https://www.3cx.com/docs/call-control-api-endpoints/, those of the views of the
OData service at `/xapi/v1` are in https://github.com/3cx/xapi-tutorial.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

LONGEST_NUMBER = 64
LONGEST_NAME = 200
LONGEST_URL = 2_048
MOST_DIDS = 200
LONGEST_TEXT = 4_096
LONGEST_RECIPIENTS = 2_000
MOST_PHONES = 20

_PHONE = re.compile(r"\+?[0-9]{7,20}", re.ASCII)

_PARTICIPANT = re.compile(r"/callcontrol/([A-Za-z0-9*_.-]{1,32})/participants/([0-9]{1,18})", re.ASCII)


class OddAnswerError(Exception):
    """It is not what this API answers. The text is a short stable word."""


class EventKind(IntEnum):
    """What an event of the socket says; numbers are 3CX's. The others do not concern calls."""

    UPSERT = 0
    REMOVE = 1


@dataclass(frozen=True, slots=True)
class PbxConnection:
    """How a phone system is reached. `base_url` has no path."""

    integration_id: str
    base_url: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ParticipantRef:
    """One party of a call, as the number inside that has it counts them."""

    dn: str
    participant_id: int


@dataclass(frozen=True, slots=True)
class Participant:
    """A party of a call as it is now. `party` is the other side's number, `party_kind` what that is."""

    ref: ParticipantRef
    call_id: int
    state: str
    party: str
    party_kind: str


@dataclass(frozen=True, slots=True)
class SocketEvent:
    """One frame. `ref` is None if it concerns no party of a call."""

    sequence: int
    kind: int
    ref: ParticipantRef | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a call's history: from one place to the next. `ended_at` is None while it lasts."""

    segment_id: str
    began_at: datetime
    ended_at: datetime | None
    caller: str
    from_outside: bool
    answered: bool
    reached_dn: str
    leg: str
    """The caller's own party, the same through all segments of a call; empty if the phone system does not say."""


@dataclass(frozen=True, slots=True)
class MissedCall:
    """A call from outside that nobody answered."""

    caller: str
    began_at: datetime
    ended_at: datetime
    reached_dn: str
    from_history: bool = False


@dataclass(frozen=True, slots=True)
class Trunk:
    """A trunk that can carry messages. The address holds a key."""

    number: str
    name: str
    provider: str
    enabled: bool
    webhook_url: str = field(repr=False)
    did_numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """Something that was written in a chat. `phones` are of whoever is named with it."""

    message_id: str
    conversation_id: str
    text: str = field(repr=False)
    sender_number: str
    sender_name: str
    phones: tuple[str, ...]
    sent_at: datetime


def read_json(body: bytes) -> Any:
    """The JSON of a body. Raises `OddAnswerError`: a proxy's page, half an answer, endless nesting."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise OddAnswerError("not_json") from None


def read_event(frame: str | bytes) -> SocketEvent | None:
    """The event in a frame; None if there is none in it. Raises `OddAnswerError` if it is no JSON."""
    raw = frame if isinstance(frame, bytes) else frame.encode("utf-8", "surrogatepass")
    outer = read_json(raw)
    event = outer.get("event") if isinstance(outer, dict) else None
    if not isinstance(event, dict):
        return None
    sequence, kind = _whole(outer.get("sequence")), _whole(event.get("event_type"))
    if sequence is None or kind is None:
        return None
    named = _PARTICIPANT.fullmatch(_text(event.get("entity"), 200))
    ref = None if named is None else ParticipantRef(named[1], int(named[2]))
    return SocketEvent(sequence, kind, ref)


def read_participant(value: Any, dn: str) -> Participant:
    """One party. Raises `OddAnswerError` if it lacks what tells it apart."""
    if not isinstance(value, dict):
        raise OddAnswerError("odd_participant")
    participant_id, call_id = _whole(value.get("id")), _whole(value.get("callid"))
    if participant_id is None or call_id is None:
        raise OddAnswerError("odd_participant")
    return Participant(
        ParticipantRef(dn, participant_id),
        call_id,
        _text(value.get("status"), 32).lower(),
        _text(value.get("party_caller_id"), LONGEST_NUMBER),
        _text(value.get("party_dn_type"), 32).lower(),
    )


def read_participants(value: Any) -> list[Participant]:
    """Every party of every number that the application may see. Raises `OddAnswerError`."""
    if not isinstance(value, list):
        raise OddAnswerError("odd_state")
    found: list[Participant] = []
    for entry in value:
        parties = entry.get("participants") if isinstance(entry, dict) else None
        if isinstance(parties, list):
            dn = _text(entry.get("dn"), 32)
            found += [read_participant(party, dn) for party in parties]
    return found


def read_rows(value: Any) -> list[dict[str, Any]]:
    """The rows of an OData answer. Raises `OddAnswerError`."""
    rows = value.get("value") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise OddAnswerError("no_rows")
    return [row for row in rows if isinstance(row, dict)]


def read_segment(row: Mapping[str, Any]) -> Segment:
    """A row of `CallHistoryView`. Raises `OddAnswerError` if it cannot be placed in time, or does not say whether
    somebody answered: what cannot be read must not become a message.
    """
    began = _moment(row.get("SegmentStartTime"))
    answered, outside = row.get("CallAnswered"), row.get("SrcExternal")
    if began is None or not isinstance(answered, bool) or not isinstance(outside, bool):
        raise OddAnswerError("odd_segment")
    return Segment(
        segment_id=_key(row.get("SegmentId")),
        began_at=began,
        ended_at=_moment(row.get("SegmentEndTime")),
        caller=_text(row.get("SrcCallerNumber"), LONGEST_NUMBER),
        from_outside=outside,
        answered=answered,
        reached_dn=_text(row.get("DstDn"), 32),
        leg=_key(row.get("SrcParticipantId")),
    )


def read_trunk(row: Mapping[str, Any]) -> Trunk | None:
    """A row of `Trunks`; None if it carries no messages."""
    messaging = row.get("Messaging")
    if not isinstance(messaging, dict):
        return None
    dids = row.get("DidNumbers")
    gateway = row.get("Gateway")
    return Trunk(
        number=_text(row.get("Number"), 32),
        name=_text(gateway.get("Name") if isinstance(gateway, dict) else "", LONGEST_NAME),
        provider=_text(messaging.get("Provider"), LONGEST_NAME),
        enabled=messaging.get("Enabled") is True,
        webhook_url=_text(messaging.get("Webhook"), LONGEST_URL),
        did_numbers=tuple(_text(did, LONGEST_NUMBER) for did in dids[:MOST_DIDS])
        if isinstance(dids, list)
        else (),
    )


def read_chat_message(row: Mapping[str, Any]) -> ChatMessage | None:
    """A row of `ChatMessagesHistoryView`; None if it has no id, no text or no time."""
    message_id, sent_at, text = _key(row.get("MessageId")), _moment(row.get("TimeSent")), row.get("Message")
    if not message_id or sent_at is None or not isinstance(text, str) or not text:
        return None
    phones = [_text(row.get("SenderParticipantPhone"), LONGEST_NUMBER)]
    # How recipients are written is not documented: every number in it is taken.
    recipients = row.get("Recipients")
    written = recipients if isinstance(recipients, str) else json.dumps(recipients)
    phones += _PHONE.findall(written[:LONGEST_RECIPIENTS])[:MOST_PHONES]
    return ChatMessage(
        message_id,
        _key(row.get("ConversationId")),
        text[:LONGEST_TEXT],
        _key(row.get("SenderParticipantNo")),
        _text(row.get("SenderParticipantName"), LONGEST_NAME),
        tuple(phone for phone in phones if phone),
        sent_at,
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else None


def _key(value: Any) -> str:
    return str(value)[:LONGEST_NUMBER] if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _text(value: Any, longest: int) -> str:
    """Printable text, cut; anything else is empty. What is too long for a number is no number."""
    if not isinstance(value, str):
        return ""
    return "".join(each for each in value[:longest] if each.isprintable()).strip()


def _moment(value: Any) -> datetime | None:
    """A moment of the OData service, in UTC. One without a zone is UTC."""
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if not 2000 <= moment.year <= 9000:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

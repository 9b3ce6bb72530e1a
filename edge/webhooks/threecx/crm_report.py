"""Reports of a 3CX CRM template (`ReportCall`, `ReportChat`): the fields of one JSON object to one event.

Pure. Nothing is judged here, and what was written in a chat is never read: whatever a template sends of it goes no
further than the body it came in. The kinds of call are those that 3CX documents for `[CallType]`
(https://www.3cx.com/docs/crm-template-xml-description/).
"""

from dataclasses import dataclass
from typing import Final

from edge.model import CrmReport
from edge.strict_json import JsonValue
from edge.webhooks.threecx import json_webhook
from edge.webhooks.threecx.pbx_dates import read_moment
from edge.words import EventType, ReportedCall

CALL_SOURCE: Final = "3cx_crm_call"
CHAT_SOURCE: Final = "3cx_crm_chat"
SOURCES: Final = frozenset({CALL_SOURCE, CHAT_SOURCE})
"""What `source` says in bodies that a CRM template made."""

START_KEYS: Final = ("call_start", "call_start_raw")
"""Where the start is written: as the template formats it, and as the PBX does."""

_KINDS: Final[dict[str, tuple[EventType, ReportedCall]]] = {
    "missed": (EventType.MISSED_CALL, ReportedCall.MISSED),
    "inbound": (EventType.CALL_ENDED, ReportedCall.INBOUND),
    "outbound": (EventType.CALL_ENDED, ReportedCall.OUTBOUND),
    "notanswered": (EventType.CALL_ENDED, ReportedCall.NOT_ANSWERED),
}


@dataclass(slots=True)
class ReportEvent:
    """One report as the template sent it; fields it left out are empty."""

    event_type: EventType
    event_type_text: str
    phone: str
    agent_extension: str
    queue: str
    report: CrmReport


def is_report(body: dict[str, JsonValue]) -> bool:
    """Whether a CRM template made this body."""
    source = body.get("source")
    return isinstance(source, str) and source.strip() in SOURCES


def parse(body: dict[str, JsonValue], received_at: float) -> ReportEvent:
    """Reads one report. `received_at` in Unix seconds. Raises InvalidJsonError for text that cannot be stored."""
    written, event_type, call = "chat_ended", EventType.CHAT_ENDED, ReportedCall.UNSPECIFIED
    if str(body.get("source")).strip() == CALL_SOURCE:
        written = json_webhook.scalar(body, "call_type", 64)
        word = "".join(letter for letter in written.casefold() if letter not in " _-")
        event_type, call = _KINDS.get(word, (EventType.UNSPECIFIED, ReportedCall.UNSPECIFIED))
    started_at, unreadable = _start(body, received_at)
    return ReportEvent(
        event_type=event_type,
        event_type_text=written,
        phone=json_webhook.phone(body, json_webhook.CALL_PHONE_KEYS),
        agent_extension=json_webhook.scalar(body, "agent_extension", 64),
        queue=json_webhook.scalar(body, "queue", 64),
        report=CrmReport(int(call), started_at, unreadable),
    )


def _start(body: dict[str, JsonValue], received_at: float) -> tuple[float | None, bool]:
    """The first start that can be understood, and whether something was written that cannot."""
    written = [text for key in START_KEYS if (text := json_webhook.scalar(body, key, 64))]
    for text in written:
        moment = read_moment(text, received_at)
        if moment is not None:
            return moment, False
    return None, bool(written)

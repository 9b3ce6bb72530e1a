"""Schemas and examples of the OpenAPI document. Pure."""

from typing import Any, Final

from edge.public_codes import PublicCode
from edge.webhooks.threecx.crm_report import CALL_SOURCE, CHAT_SOURCE
from edge.webhooks.threecx.json_webhook import EVENT_TYPES
from edge.words import CheckName, MessageState, ReasonCode, Verdict

PURPOSES: Final = ("transactional", "operational", "support", "internal_team", "authentication")
_PHONE: Final = "+966500000000"

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_WHOLE: Final[dict[str, Any]] = {"type": "integer"}
_TEXT_OR_NUMBER: Final[dict[str, Any]] = {"type": ["string", "number"]}
_MOMENT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}

EVENT_EXAMPLE: Final[dict[str, Any]] = {
    "event_type": "outbound_message",
    "to": _PHONE,
    "message_text": "Your support ticket has been updated.",
    "message_purpose": "support",
    "conversation_id": "3cx-chat-123",
    "agent_extension": "101",
}
SEND_EXAMPLE: Final[dict[str, Any]] = {
    "instance_id": "ins_2f6c1a",
    "phone": _PHONE,
    "message": "Your appointment is confirmed for Sunday.",
    "message_purpose": "transactional",
}


def threecx_event() -> dict[str, Any]:
    """The body of the 3CX webhook."""
    phones = {
        name: _TEXT_OR_NUMBER | {"description": "A phone key.", "examples": [_PHONE]}
        for name in ("to", "from", "customer_phone", "caller", "phone")
    }
    return {
        "type": "object",
        "required": ["event_type"],
        "properties": {
            "event_type": {"type": "string", "enum": list(EVENT_TYPES)},
            **phones,
            "message_text": _TEXT | {"maxLength": 4096},
            "message": _TEXT | {"description": "Read if message_text is absent."},
            "message_purpose": _TEXT | {"enum": list(PURPOSES)},
            "conversation_id": _TEXT_OR_NUMBER,
            "agent_extension": _TEXT_OR_NUMBER,
            "queue": _TEXT_OR_NUMBER,
            "call_time": _TEXT_OR_NUMBER,
            "event_id": _TEXT_OR_NUMBER | {"description": "Your identity of this event; as Idempotency-Key."},
        },
        "additionalProperties": True,
        "examples": [EVENT_EXAMPLE],
    }


CRM_REPORT_EXAMPLE: Final[dict[str, Any]] = {
    "source": "3cx_crm_call",
    "call_type": "Missed",
    "customer_phone": _PHONE,
    "agent_extension": "101",
    "queue": "800",
    "call_start": "2026-01-15T09:30:12Z",
    "call_start_raw": "01/15/2026 09:30:12",
}
LOOKUP_EXAMPLE: Final[dict[str, Any]] = {"number": _PHONE}
CONTACTS_EXAMPLE: Final[dict[str, Any]] = {
    "contacts": [
        {
            "id": "per_01JZ",
            "name": "Sara A.",
            "phone": _PHONE,
            "contact_url": f"https://wa.me/{_PHONE.removeprefix('+')}",
        }
    ]
}


def crm_report() -> dict[str, Any]:
    """The body that the CRM template has a phone system post to the webhook."""
    start = "Any culture's date; one that has no single meaning is left out, and the time of receipt counts."
    return {
        "type": "object",
        "required": ["source"],
        "properties": {
            "source": {"type": "string", "enum": [CALL_SOURCE, CHAT_SOURCE]},
            "call_type": _TEXT | {"enum": ["Missed", "Inbound", "Outbound", "Notanswered"]},
            "customer_phone": _TEXT_OR_NUMBER | {"examples": [_PHONE]},
            "agent_extension": _TEXT_OR_NUMBER,
            "queue": _TEXT_OR_NUMBER,
            "call_start": _TEXT | {"description": f"As the template formats it, in UTC. {start}"},
            "call_start_raw": _TEXT | {"description": "As the phone system writes it, in UTC."},
        },
        "additionalProperties": True,
        "examples": [CRM_REPORT_EXAMPLE],
    }


def lookup() -> dict[str, Any]:
    """The body of a lookup."""
    return {
        "type": "object",
        "properties": {"number": _TEXT_OR_NUMBER | {"description": "As the phone system writes it."}},
        "additionalProperties": True,
        "examples": [LOOKUP_EXAMPLE],
    }


def contacts() -> dict[str, Any]:
    """What a lookup is answered with."""
    fields = {
        "id": _TEXT,
        "name": _TEXT | {"description": "What they go by on WhatsApp; the number if that is not known."},
        "phone": _TEXT | {"description": "The number that was asked for, as it was written."},
        "contact_url": _TEXT | {"format": "uri"},
    }
    contact = {"type": "object", "required": list(fields), "properties": fields}
    return {
        "type": "object",
        "required": ["contacts"],
        "properties": {"contacts": {"type": "array", "maxItems": 1, "items": contact}},
        "examples": [CONTACTS_EXAMPLE],
    }


def send_request() -> dict[str, Any]:
    """The body of the send API."""
    return {
        "type": "object",
        "required": ["instance_id", "phone", "message", "message_purpose"],
        "properties": {
            "instance_id": _TEXT | {"description": "The ins_… id or the instance's name."},
            "phone": _TEXT_OR_NUMBER | {"description": "With or without +."},
            "message": _TEXT | {"maxLength": 4096},
            "message_purpose": _TEXT | {"enum": list(PURPOSES)},
        },
        "additionalProperties": True,
        "examples": [SEND_EXAMPLE],
    }


def success() -> dict[str, Any]:
    """What an accepted request is answered with."""
    return {
        "type": "object",
        "required": ["success", "status"],
        "properties": {
            "success": {"const": True},
            "status": {"type": "string", "enum": ["sent", "accepted", "skipped", "pending"]},
            "message_id": _TEXT | {"examples": ["msg_01JZ"]},
            "external_message_id": _TEXT | {"description": "The back end's id, once known."},
            "log_id": _WHOLE | {"description": "Number of the decision in the policy log."},
            "event_type": _TEXT,
            "duplicate": {
                "const": True,
                "description": "An earlier request with the same key was answered again.",
            },
            "details": {"type": "object"},
        },
    }


def failure() -> dict[str, Any]:
    """What a refused request is answered with."""
    return {
        "type": "object",
        "required": ["success", "error", "message"],
        "properties": {
            "success": {"const": False},
            "error": _TEXT,
            "message": _TEXT | {"description": "One plain sentence."},
            "log_id": _WHOLE,
            "details": {
                "type": "object",
                "properties": {
                    "action": _TEXT,
                    "risk_score": {"type": "integer", "minimum": 0, "maximum": 100},
                    "limit": _WHOLE,
                    "used": _WHOLE,
                    "resets_at": _MOMENT,
                    "retry_after": _WHOLE | {"description": "Seconds."},
                    "findings": {"type": "array", "items": {"$ref": "#/components/schemas/Finding"}},
                },
                "additionalProperties": True,
            },
        },
    }


def finding() -> dict[str, Any]:
    """One check's answer."""
    return {
        "type": "object",
        "properties": {
            "check": _TEXT | {"enum": [name.name.lower() for name in CheckName]},
            "verdict": _TEXT | {"enum": [verdict.name.lower() for verdict in Verdict]},
            "reason": _TEXT | {"examples": [ReasonCode.WINDOW_EXPIRED.name.lower()]},
            "message": _TEXT,
            "shadow": {"type": "boolean"},
            "limit": _WHOLE,
            "used": _WHOLE,
            "passes_at": _MOMENT,
            "facts": {"type": "object", "additionalProperties": _TEXT},
        },
    }


def message_status() -> dict[str, Any]:
    """What became of a message."""
    return {
        "type": "object",
        "required": ["success", "message_id", "status", "state"],
        "properties": {
            "success": {"const": True},
            "message_id": _TEXT,
            "status": _TEXT | {"enum": ["sent", "pending", "failed", "received"]},
            "state": _TEXT | {"enum": [state.name.lower() for state in MessageState]},
            "instance_id": _TEXT,
            "conversation_id": _TEXT,
            "external_message_id": _TEXT,
            "log_id": _WHOLE,
            "event_type": _TEXT,
            "created_at": _MOMENT,
            "updated_at": _MOMENT,
        },
    }


def posted_event() -> dict[str, Any]:
    """The flat body the gateway posts to customer webhooks and to a 3CX endpoint."""
    optional = ("external_message_id", "conversation_id", "contact_name")
    return {
        "type": "object",
        "required": ["event", "instance_id", "instance_name", "from", "message_text", "message_type"],
        "properties": {
            "event": _TEXT | {"enum": list(POSTED_EVENTS)},
            "instance_id": _TEXT,
            "instance_name": _TEXT,
            "from": _TEXT | {"examples": [_PHONE]},
            "from_hidden": {
                "type": "boolean",
                "description": "`from` stands for somebody whose phone is hidden.",
            },
            "message_text": _TEXT,
            "agent_text": _TEXT | {"description": "The message as agents read it, in their language."},
            "message_type": _TEXT,
            **{name: {"type": ["string", "null"]} for name in optional},
            "received_at": _MOMENT,
            "window_expires_at": {"type": ["string", "null"], "format": "date-time"},
            "media": {"type": ["array", "object", "null"]},
        },
        "additionalProperties": True,
    }


def agent_event() -> dict[str, Any]:
    """The flat body of events that go to a 3CX endpoint alone."""
    return {
        "type": "object",
        "required": ["event", "instance_id", "instance_name", "customer_phone", "person_id", "agent_text"],
        "properties": {
            "event": _TEXT | {"enum": list(AGENT_EVENTS)},
            "instance_id": _TEXT,
            "instance_name": _TEXT,
            "customer_phone": _TEXT | {"examples": [_PHONE]},
            "customer_hidden": {"type": "boolean"},
            "agent_text": _TEXT,
            "conversation_id": _TEXT,
            "person_id": _TEXT,
            "contact_name": _TEXT,
            "change": _TEXT | {"enum": ["reaction", "reaction_removed", "edited", "deleted"]},
            "by_business": {"type": "boolean"},
            "outside_policy": {"type": "boolean"},
            "message_text": _TEXT,
            "message_id": {"type": ["string", "null"]},
            "external_message_id": _TEXT,
            "window_expires_at": {"type": ["string", "null"], "format": "date-time"},
        },
        "additionalProperties": True,
    }


AGENT_EVENTS: Final = ("message.changed", "message.sent_on_phone", "conversation.window_closing")
POSTED_EVENTS: Final = ("message.received", "recipient.opted_out", "message.status_updated")


def error_example(public: PublicCode) -> dict[str, Any]:
    """An error body with one code."""
    body: dict[str, Any] = {"success": False, "error": public.code, "message": public.sentence}
    if public.code != "invalid_3cx_webhook":
        body["details"] = {}
    return {"summary": public.sentence, "value": body}


DIALECT_EXAMPLE: Final[dict[str, Any]] = {
    "event": "incoming",
    "callerid": "966500000001",
    "user": "801",
    "usertype": "queue",
    "finishtype": "Missed",
    "id": "260115093012_41-0",
}
"""A missed call, as a webhook generator writes it."""

DIALECT_FIELDS: Final = (
    ("event", "ringing, pickup…, hangup…, …call_started, incoming, outgoing or recording."),
    ("callerid", "The customer's number."),
    ("user", "Extension, queue or menu."),
    ("usertype", "ext, queue or other."),
    ("finishtype", "Ok or Missed, of incoming and outgoing."),
    ("id", "The call; what follows its hyphen does not count."),
)
"""Fields of a generator that are read, with what they hold."""


def dialect_event() -> dict[str, Any]:
    """The body of a webhook generator; keys in any letter case, JSON or form."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": about} for name, about in DIALECT_FIELDS},
        "additionalProperties": True,
    }

"""The part of the OpenAPI document for 3CX as the customer of a provider of text messages. Pure."""

from typing import Any, Final

from edge import public_codes
from edge.public_codes import PublicCode
from edge.sms_answers import CODES
from edge.webhooks.threecx.sms_provider import MEDIA_NAMES

Spec = dict[str, Any]

PATH: Final = "/integrations/3cx/sms/{integration_id}"
_JSON: Final = "application/json"
_NUMBER: Final[Spec] = {"type": "string", "description": "As the phone system writes it; E.164 is best."}
REPLY_EXAMPLE: Final[Spec] = {"from": "+966110000000", "to": "+966500000000", "text": "It leaves today."}
_TAKEN: Final[Spec] = {
    "data": {
        "record_type": "message",
        "direction": "outbound",
        "type": "SMS",
        "id": "msg_01JZ",
        "payload": {"id": "msg_01JZ"},
        "from": {"phone_number": "+966110000000"},
        "to": [{"phone_number": "+966500000000", "status": "queued"}],
    }
}


def operation() -> Spec:
    """`POST /integrations/3cx/sms/{integration_id}`."""
    return {
        "tags": ["3CX"],
        "summary": "An agent's reply, from 3CX's messaging trunk",
        "description": "Taken within 4 s, whether or not its outcome is known by then. A refusal is 4xx; what fails"
        " later comes back as a line in the chat. Equal texts are different messages.",
        "operationId": "threecxSms",
        "security": [{"threecxSmsKey": []}],
        "parameters": [
            {"name": "integration_id", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {
                    "schema": {"$ref": "#/components/schemas/SmsReply"},
                    "examples": {"example": {"value": REPLY_EXAMPLE}},
                }
            },
        },
        "responses": {
            "200": {
                "description": "Recorded, and sent or on its way.",
                "content": {
                    _JSON: {
                        "schema": {"$ref": "#/components/schemas/SmsTaken"},
                        "examples": {"example": {"value": _TAKEN}},
                    }
                },
            },
            "401": {
                "description": "Bearer key, address or integration are not right; the answer never says which.",
                "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
            **_errors(),
        },
    }


def components() -> Spec:
    """The schemas that the operation names."""
    about = "Files; a reply with any is refused."
    files: Spec = {name: {"description": about} for name in MEDIA_NAMES}
    number = {"type": "object", "properties": {"phone_number": _NUMBER}}
    identified = {"type": "object", "properties": {"id": {"type": "string"}}}
    return {
        "SmsReply": {
            "type": "object",
            "required": ["from", "to", "text"],
            "properties": {
                "from": _NUMBER,
                "to": _NUMBER,
                "text": {"type": "string", "maxLength": 4096},
                **files,
            },
            "additionalProperties": True,
        },
        "SmsTaken": {
            "type": "object",
            "properties": {
                "data": {
                    "type": "object",
                    "properties": {
                        "id": {
                            "type": "string",
                            "description": "Id of the message; `payload.id` is the same.",
                        },
                        "payload": identified,
                        "from": number,
                        "to": {"type": "array", "items": number},
                    },
                }
            },
        },
        "SmsRefusal": {
            "type": "object",
            "required": ["errors"],
            "properties": {
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["code", "title"],
                        "properties": {name: {"type": "string"} for name in ("code", "title", "detail")},
                    },
                },
                "log_id": {"type": "integer", "description": "Number in the policy log."},
            },
        },
    }


def _errors() -> Spec:
    by_status: dict[int, list[PublicCode]] = {}
    for code in CODES:
        by_status.setdefault(code.http_status, []).append(code)
    return {str(status): _error(by_status[status]) for status in sorted(by_status)}


def _error(codes: list[PublicCode]) -> Spec:
    examples = {
        each.code: {"value": {"errors": [{"code": each.code, "title": each.sentence}]}} for each in codes
    }
    response: Spec = {
        "description": f"{', '.join(examples)}.",
        "content": {_JSON: {"schema": {"$ref": "#/components/schemas/SmsRefusal"}, "examples": examples}},
    }
    if codes[0].http_status in (429, public_codes.SERVICE_UNAVAILABLE.http_status):
        response["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        }
    return response

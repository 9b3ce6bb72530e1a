"""The OpenAPI 3.1 document: put together from the table of public codes, so that the two cannot differ.
Pure.
"""

from collections.abc import Iterable
from typing import Any, Final

from edge.api import openapi_schemas as schemas
from edge.api import openapi_sms
from edge.public_codes import BAD_REQUEST, NOT_FOUND, SEND_API_CODES, THREECX_CODES, PublicCode

VERSION: Final = "1.0.0"
_JSON: Final = "application/json"

Spec = dict[str, Any]

_ABOUT: Final = (
    "Sends WhatsApp messages for 3CX phone systems and customer systems, and lets none pass without a "
    "decision: purpose, conversation window, suppression, limits and pauses. "
    "Independent of, and not affiliated with, WhatsApp, Meta or 3CX."
)


def openapi_document() -> Spec:
    """The whole document as plain data."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hubgate",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "3CX"}, {"name": "Send API"}, {"name": "Events"}],
        "paths": {
            "/": {"get": _smoke_test()},
            "/integrations/3cx/webhook/{integration_id}": {"post": _threecx_webhook()},
            "/integrations/3cx/crm/{integration_id}/lookup": {"post": _crm_lookup()},
            "/integrations/3cx/{integration_id}/crm-template.xml": {"get": _crm_template()},
            openapi_sms.PATH: {"post": openapi_sms.operation()},
            "/integrations/3cx/dialect/{integration_id}": {
                "get": _dialect("get", [_query(name, about) for name, about in schemas.DIALECT_FIELDS]),
                "post": _dialect("post", [])
                | {"requestBody": _body("DialectEvent", schemas.DIALECT_EXAMPLE)},
            },
            "/api/send-message": {"post": _send_message()},
            "/api/messages/{message_id}": {"get": _get_message()},
        },
        "webhooks": {
            **{name: {"post": _posted(name)} for name in schemas.POSTED_EVENTS},
            **{name: {"post": _told(name)} for name in schemas.AGENT_EVENTS},
        },
        "components": {
            "schemas": {
                "ThreecxEvent": schemas.threecx_event(),
                "CrmReport": schemas.crm_report(),
                "Lookup": schemas.lookup(),
                "Contacts": schemas.contacts(),
                "DialectEvent": schemas.dialect_event(),
                "SendMessage": schemas.send_request(),
                "Success": schemas.success(),
                "Error": schemas.failure(),
                "Finding": schemas.finding(),
                "MessageStatus": schemas.message_status(),
                "PostedEvent": schemas.posted_event(),
                **openapi_sms.components(),
                "AgentEvent": schemas.agent_event(),
            },
            "securitySchemes": {
                "threecxSecret": {"type": "apiKey", "in": "header", "name": "X-WhatsApp-Gateway-3CX-Secret"},
                "threecxSmsKey": {"type": "http", "scheme": "bearer", "description": "sms_…"},
                "threecxToken": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "token",
                    "description": "The same secret; counts only where the integration's switch is on.",
                },
                "apiKey": {"type": "http", "scheme": "bearer", "description": "wg_live_… or wg_test_…"},
                "adminToken": {"type": "http", "scheme": "bearer", "description": "An administrator's."},
            },
        },
    }


def _reference(name: str) -> Spec:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(name: str, about: str, required: bool = False) -> Spec:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": about,
        "schema": {"type": "string"},
    }


def _path(name: str) -> Spec:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query(name: str, about: str) -> Spec:
    return {"name": name, "in": "query", "description": about, "schema": {"type": "string"}}


def _body(schema: str, example: Spec) -> Spec:
    return {
        "required": True,
        "content": {_JSON: {"schema": _reference(schema), "examples": {"example": {"value": example}}}},
    }


def _success(about: str, example: Spec) -> Spec:
    return {
        "description": about,
        "content": {_JSON: {"schema": _reference("Success"), "examples": {"example": {"value": example}}}},
    }


def _errors(codes: Iterable[PublicCode]) -> Spec:
    """One response for each HTTP status, with an example for each code."""
    by_status: dict[int, list[PublicCode]] = {}
    for code in codes:
        by_status.setdefault(code.http_status, []).append(code)
    return {str(status): _error(by_status[status]) for status in sorted(by_status)}


def _error(codes: list[PublicCode]) -> Spec:
    names = list(dict.fromkeys(code.code for code in codes))
    examples: Spec = {}
    for code in codes:
        examples.setdefault(code.code, schemas.error_example(code))
    response: Spec = {
        "description": f"{', '.join(names)}.",
        "content": {_JSON: {"schema": _reference("Error"), "examples": examples}},
    }
    if codes[0].http_status in (429, 503):
        response["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        }
    return response


_IDEMPOTENCY: Final = _header(
    "Idempotency-Key",
    "Your identity of this request: a repeat within 8 days gets the first answer, and never sends twice.",
)
_PENDING: Final = "Recorded and safe; the outcome at the instance follows."


def _smoke_test() -> Spec:
    return {
        "summary": "Smoke test of reachability and TLS",
        "operationId": "smokeTest",
        "responses": {
            "200": {
                "description": "The gateway is reachable.",
                "content": {_JSON: {"schema": {"type": "object"}}},
            }
        },
    }


def _threecx_webhook() -> Spec:
    done = {
        "success": True,
        "status": "sent",
        "message_id": "msg_01JZ",
        "log_id": 123,
        "event_type": "outbound_message",
    }
    return {
        "tags": ["3CX"],
        "summary": "An event of a 3CX phone system",
        "operationId": "threecxWebhook",
        "security": [{"threecxSecret": []}],
        "parameters": [
            _path("integration_id"),
            _header(
                "X-WhatsApp-Gateway-Timestamp", "ISO 8601 or Unix seconds; required if the integration signs."
            ),
            _header("X-WhatsApp-Gateway-Signature", "sha256=<hex> over timestamp, a dot and the raw body."),
            _IDEMPOTENCY,
        ],
        "requestBody": _event_body(),
        "responses": {
            "200": _success("Sent, accepted or skipped.", done),
            "202": _success(_PENDING, done | {"status": "pending"}),
            **_errors(THREECX_CODES),
        },
    }


def _event_body() -> Spec:
    examples = {
        "reply": {"value": schemas.EVENT_EXAMPLE},
        "crm_report": {"summary": "From the CRM template", "value": schemas.CRM_REPORT_EXAMPLE},
    }
    either = {"anyOf": [_reference("ThreecxEvent"), _reference("CrmReport")]}
    return {"required": True, "content": {_JSON: {"schema": either, "examples": examples}}}


_LOOKUP_CODES: Final = tuple(
    code
    for code in THREECX_CODES
    if code.code
    in {
        "invalid_3cx_webhook",
        "payload_too_large",
        "invalid_json",
        "webhook_rate_limited",
        "module_not_enabled",
        "service_unavailable",
    }
)
_TEMPLATE_CODES: Final = tuple(
    code for code in _LOOKUP_CODES if code.code in {"invalid_3cx_webhook", "service_unavailable"}
)


def _crm_lookup() -> Spec:
    example = {"example": {"value": schemas.CONTACTS_EXAMPLE}, "nobody": {"value": {"contacts": []}}}
    return {
        "tags": ["3CX"],
        "summary": "Who is calling",
        "operationId": "crmLookup",
        "security": [{"threecxSecret": []}],
        "parameters": [_path("integration_id")],
        "requestBody": _body("Lookup", schemas.LOOKUP_EXAMPLE),
        "responses": {
            "200": {
                "description": "The person, if they wrote to a number that this integration serves.",
                "content": {_JSON: {"schema": _reference("Contacts"), "examples": example}},
            },
            **_errors(_LOOKUP_CODES),
        },
    }


def _crm_template() -> Spec:
    return {
        "tags": ["3CX"],
        "summary": "The CRM template for 3CX, filled with address and id",
        "operationId": "crmTemplate",
        "security": [{"threecxSecret": []}, {"adminToken": []}],
        "parameters": [
            _path("integration_id"),
            {"name": "language", "in": "query", "schema": {"type": "string", "enum": ["en", "ar"]}},
        ],
        "responses": {
            "200": {
                "description": "The template. It holds no secret.",
                "content": {"application/xml": {"schema": {"type": "string"}}},
            },
            **_errors((BAD_REQUEST, *_TEMPLATE_CODES)),
        },
    }


def _dialect(method: str, parameters: list[Spec]) -> Spec:
    done = {
        "success": True,
        "status": "sent",
        "message_id": "msg_01JZ",
        "log_id": 125,
        "event_type": "missed_call",
    }
    return {
        "tags": ["3CX"],
        "summary": "An event of a webhook generator (Creomate, Komplit, 58voip, K2M)",
        "operationId": f"threecxDialect{method.capitalize()}",
        "security": [{"threecxSecret": []}, {"threecxToken": []}],
        "parameters": [_path("integration_id"), *parameters],
        "responses": {
            "200": _success("Sent, accepted or skipped.", done),
            "202": _success(_PENDING, done | {"status": "pending"}),
            **_errors(THREECX_CODES),
        },
    }


def _send_message() -> Spec:
    done = {"success": True, "status": "sent", "message_id": "msg_01JZ", "log_id": 124}
    return {
        "tags": ["Send API"],
        "summary": "Send a text message",
        "operationId": "sendMessage",
        "security": [{"apiKey": []}],
        "parameters": [_IDEMPOTENCY],
        "requestBody": _body("SendMessage", schemas.SEND_EXAMPLE),
        "responses": {
            "200": _success("The instance accepted the message.", done),
            "202": _success(_PENDING, done | {"status": "pending"}),
            **_errors(SEND_API_CODES),
        },
    }


def _get_message() -> Spec:
    keys = tuple(code for code in SEND_API_CODES if code.code.endswith("_api_key"))
    busy = tuple(code for code in SEND_API_CODES if code.code == "service_unavailable")
    return {
        "tags": ["Send API"],
        "summary": "What became of a message",
        "operationId": "getMessage",
        "security": [{"apiKey": []}],
        "parameters": [_path("message_id")],
        "responses": {
            "200": {
                "description": "The message.",
                "content": {_JSON: {"schema": _reference("MessageStatus")}},
            },
            **_errors((*keys, NOT_FOUND, *busy)),
        },
    }


def _posted(event_name: str) -> Spec:
    example: Spec = {
        "event": event_name,
        "instance_id": "ins_2f6c1a",
        "instance_name": "Support",
        "from": "+966500000000",
        "message_text": "Where is my order?",
        "message_type": "text",
    }
    return _event(event_name, f"The gateway posts {event_name}", _body("PostedEvent", example))


def _told(event_name: str) -> Spec:
    example: Spec = {
        "event": event_name,
        "instance_id": "ins_2f6c1a",
        "instance_name": "Support",
        "customer_phone": "+966500000000",
        "customer_hidden": False,
        "conversation_id": "cnv_8d21",
        "person_id": "per_77aa",
        "contact_name": "Sara",
        "agent_text": "[Deleted a message]",
    }
    summary = f"The gateway posts {event_name} to a 3CX endpoint, for agents"
    return _event(event_name, summary, _body("AgentEvent", example))


def _event(event_name: str, summary: str, body: Spec) -> Spec:
    return {
        "tags": ["Events"],
        "summary": summary,
        "operationId": event_name.replace(".", "_"),
        "parameters": [
            _header("X-WhatsApp-Gateway-Event", "The event.", required=True),
            _header("X-WhatsApp-Gateway-Timestamp", "When this try was signed.", required=True),
            _header(
                "X-WhatsApp-Gateway-Signature",
                "sha256=<hex> over timestamp, a dot and the raw body.",
                required=True,
            ),
            _header("X-WhatsApp-Gateway-Delivery", "Stable over retries.", required=True),
        ],
        "requestBody": body,
        "responses": {"2XX": {"description": "Taken; anything else is tried again."}},
    }

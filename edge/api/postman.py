"""The Postman collection, version 2.1, for trying the gateway by hand. Pure."""

import json
from typing import Any, Final

from edge.api.openapi_schemas import (
    CRM_REPORT_EXAMPLE,
    DIALECT_EXAMPLE,
    EVENT_EXAMPLE,
    LOOKUP_EXAMPLE,
    SEND_EXAMPLE,
)

_SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

VARIABLES: Final[dict[str, str]] = {
    "base_url": "http://127.0.0.1:8080",
    "api_key": "",
    "instance_id": "",
    "phone": "+966500000000",
    "threecx_integration_id": "",
    "threecx_secret": "",
    "webhook_signing_secret": "",
    "timestamp": "",
}
"""Variables of the collection with their first values."""

_SIGN: Final = (
    "const timestamp = new Date().toISOString();",
    "pm.collectionVariables.set('timestamp', timestamp);",
    "const body = pm.variables.replaceIn(pm.request.body.raw);",
    "const key = pm.variables.get('{key}');",
    "const signature = CryptoJS.HmacSHA256(timestamp + '.' + body, key).toString();",
    "pm.request.headers.upsert({ key: 'X-WhatsApp-Gateway-Timestamp', value: timestamp });",
    "pm.request.headers.upsert({ key: 'X-WhatsApp-Gateway-Signature', value: 'sha256=' + signature });",
)

Item = dict[str, Any]


def postman_collection() -> Item:
    """The whole collection as plain data."""
    return {
        "info": {
            "name": "hubgate",
            "description": "Independent of, and not affiliated with, WhatsApp, Meta or 3CX.",
            "schema": _SCHEMA,
        },
        "variable": [{"key": name, "value": value, "type": "string"} for name, value in VARIABLES.items()],
        "item": [
            _request("Smoke test", "GET", []),
            {
                "name": "3CX webhook",
                "item": [
                    _threecx("Connection test", {"event_type": "test"}),
                    _threecx("Reply", EVENT_EXAMPLE | {"to": "{{phone}}"}),
                    _threecx(
                        "Missed call", {"event_type": "missed_call", "caller": "{{phone}}", "queue": "801"}
                    ),
                    _threecx(
                        "Missed call, from the CRM template",
                        CRM_REPORT_EXAMPLE | {"customer_phone": "{{phone}}"},
                    ),
                    _lookup(),
                    _template(),
                    _generator("Missed call, as a webhook generator writes it"),
                    _signed(_threecx("Signed reply", EVENT_EXAMPLE | {"to": "{{phone}}"}), "threecx_secret"),
                ],
            },
            {"name": "Send API", "item": [_send(), _status()]},
            {"name": "Your webhook", "item": [_received()]},
        ],
    }


def _request(
    name: str, method: str, path: list[str], headers: dict[str, str] | None = None, body: Any = None
) -> Item:
    request: Item = {
        "method": method,
        "header": [{"key": key, "value": value} for key, value in (headers or {}).items()],
        "url": {"raw": "/".join(["{{base_url}}", *path]), "host": ["{{base_url}}"], "path": path},
    }
    if body is not None:
        request["header"].append({"key": "Content-Type", "value": "application/json"})
        request["body"] = {"mode": "raw", "raw": json.dumps(body, indent=2, ensure_ascii=False)}
    return {"name": name, "request": request, "response": []}


def _threecx(name: str, body: Item) -> Item:
    path = ["integrations", "3cx", "webhook", "{{threecx_integration_id}}"]
    return _request(name, "POST", path, {"X-WhatsApp-Gateway-3CX-Secret": "{{threecx_secret}}"}, body)


def _lookup() -> Item:
    path = ["integrations", "3cx", "crm", "{{threecx_integration_id}}", "lookup"]
    headers = {"X-WhatsApp-Gateway-3CX-Secret": "{{threecx_secret}}"}
    return _request("Who is calling", "POST", path, headers, LOOKUP_EXAMPLE | {"number": "{{phone}}"})


def _template() -> Item:
    path = ["integrations", "3cx", "{{threecx_integration_id}}", "crm-template.xml"]
    return _request("CRM template", "GET", path, {"X-WhatsApp-Gateway-3CX-Secret": "{{threecx_secret}}"})


def _generator(name: str) -> Item:
    path = ["integrations", "3cx", "dialect", "{{threecx_integration_id}}"]
    headers = {"X-WhatsApp-Gateway-3CX-Secret": "{{threecx_secret}}"}
    return _request(name, "POST", path, headers, DIALECT_EXAMPLE | {"callerid": "{{phone}}"})


def _signed(item: Item, key: str) -> Item:
    lines = [line.replace("{key}", key) for line in _SIGN]
    return item | {"event": [{"listen": "prerequest", "script": {"type": "text/javascript", "exec": lines}}]}


def _send() -> Item:
    body = SEND_EXAMPLE | {"instance_id": "{{instance_id}}", "phone": "{{phone}}"}
    headers = {"Authorization": "Bearer {{api_key}}", "Idempotency-Key": "{{$guid}}"}
    return _request("Send a message", "POST", ["api", "send-message"], headers, body)


def _status() -> Item:
    headers = {"Authorization": "Bearer {{api_key}}"}
    return _request("What became of a message", "GET", ["api", "messages", ":message_id"], headers)


def _received() -> Item:
    body = {
        "event": "message.received",
        "instance_id": "{{instance_id}}",
        "instance_name": "Support",
        "from": "{{phone}}",
        "message_text": "Where is my order?",
        "message_type": "text",
    }
    item = _request(
        "What the gateway posts to you",
        "POST",
        ["your-endpoint"],
        {"X-WhatsApp-Gateway-Event": body["event"]},
        body,
    )
    return _signed(item, "webhook_signing_secret")

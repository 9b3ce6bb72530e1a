"""The OpenAPI document: whole, consistent, and naming every code a caller can meet."""

import json
from collections.abc import Iterator
from typing import Any

from edge.api.openapi import openapi_document
from edge.public_codes import SEND_API_CODES, THREECX_CODES

DOCUMENT = json.loads(json.dumps(openapi_document()))
METHODS = {"get", "post", "put", "patch", "delete"}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for section in ("paths", "webhooks"):
        for path, item in DOCUMENT[section].items():
            for method, operation in item.items():
                assert method in METHODS
                yield f"{method} {path}", operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def codes_of(path: str, method: str = "post") -> dict[tuple[str, int], str]:
    found = {}
    for status, response in DOCUMENT["paths"][path][method]["responses"].items():
        for name, example in (
            response.get("content", {}).get("application/json", {}).get("examples", {}).items()
        ):
            if example["value"].get("success") is False:
                assert example["value"]["error"] == name
                found[(name, int(status))] = example["value"]["message"]
    return found


def test_the_frame() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version", "description", "license"} <= set(DOCUMENT["info"])
    assert set(DOCUMENT["webhooks"]) == {
        *("message.received", "recipient.opted_out", "message.status_updated"),
        *("message.changed", "message.sent_on_phone", "conversation.window_closing"),
    }


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        node = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_every_operation_is_complete() -> None:
    ids = []
    for name, operation in operations():
        assert operation["summary"], name
        assert operation["responses"], name
        ids.append(operation["operationId"])
        for response in operation["responses"].values():
            assert response["description"], name
        declared = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        in_path = {part[1:-1] for part in name.split("/") if part.startswith("{")}
        assert declared == in_path, name
    assert len(ids) == len(set(ids))


def test_security_schemes_exist() -> None:
    for _, operation in operations():
        for requirement in operation.get("security", []):
            assert set(requirement) <= set(DOCUMENT["components"]["securitySchemes"])


def test_every_code_of_the_webhook_is_shown_with_its_status() -> None:
    shown = codes_of("/integrations/3cx/webhook/{integration_id}")
    assert set(shown) == {(code.code, code.http_status) for code in THREECX_CODES}


def test_every_code_of_the_send_api_is_shown_with_its_status() -> None:
    shown = codes_of("/api/send-message")
    assert set(shown) == {(code.code, code.http_status) for code in SEND_API_CODES}
    assert {
        ("invalid_api_key", 401),
        ("revoked_api_key", 401),
        ("validation_error", 422),
        ("invalid_instance", 404),
        ("message_purpose_required", 422),
    } <= set(shown)


def test_answers_that_ask_for_patience_declare_the_header() -> None:
    for _, operation in operations():
        for status in ("429", "503"):
            if status in operation["responses"]:
                assert "Retry-After" in operation["responses"][status]["headers"]

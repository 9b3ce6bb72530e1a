"""What agents read of every shape of every back end: the sample bodies through the real parsers, against a table."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.clients.whatsapp_wire import to_wire
from edge.webhooks.whatsapp.registry import parse
from policycore.agent_text import change_text, message_text
from policycore.inbound import InboundEvent, Message, MessageChange
from policycore.rpc.convert_events import report_from_wire

FIXTURES = Path(__file__).parents[3] / "fixtures" / "whatsapp"
TABLE: dict[str, dict[str, list[str]]] = yaml.safe_load(
    (Path(__file__).parent / "lines.yaml").read_text("utf-8")
)
CASES = [(backend, name) for backend, bodies in TABLE.items() for name in bodies]


def recorded(backend: str, raw: bytes, external_name: str) -> list[InboundEvent]:
    """The events of a body as they reach the recorder: parsed, over the wire, and read again."""
    delivery = parse(backend, raw, external_name)
    requests = to_wire("ins_1", delivery, datetime(2026, 9, 1, tzinfo=UTC))
    return [event for request in requests for event in report_from_wire(request).events]


def lines(event: InboundEvent) -> list[str]:
    """What agents read, in English and in Arabic."""
    report: Any = event.report
    shape = message_text if isinstance(report, Message) else change_text
    return [shape(report, None, language) for language in ("en", "ar")]


@pytest.mark.parametrize(("backend", "name"), CASES)
def test_a_shape_reads_as_the_table_says(backend: str, name: str) -> None:
    table = yaml.safe_load((FIXTURES / backend / "expected.yaml").read_text("utf-8"))
    events = recorded(backend, (FIXTURES / backend / f"{name}.json").read_bytes(), table["external_name"])
    (shown,) = [lines(event) for event in events if isinstance(event.report, Message | MessageChange)]
    assert shown == TABLE[backend][name]


@pytest.mark.parametrize("backend", ["evolution", "cloud_api", "waha"])
def test_every_body_gives_lines_without_breaks_or_controls(backend: str) -> None:
    table = yaml.safe_load((FIXTURES / backend / "expected.yaml").read_text("utf-8"))
    shown = 0
    for path in sorted((FIXTURES / backend).glob("*.json")):
        try:
            events = recorded(backend, path.read_bytes(), table["external_name"])
        except ValueError:
            continue
        for event in events:
            if isinstance(event.report, Message | MessageChange):
                for line in lines(event):
                    shown += 1
                    assert line.strip() == line
                    assert line.isprintable(), (path.name, line)
    assert shown > 30


@pytest.mark.parametrize(
    ("body", "english"),
    [
        ({"text": "Hello"}, "Hello"),
        ({"text": "Yes", "is_button_reply": True}, "[Chose] Yes"),
        ({"text": "On my way", "from_business": True}, "[On the business's phone] On my way"),
        ({}, "[Empty message]"),
    ],
)
def test_the_sandbox_has_the_same_lines(body: dict[str, Any], english: str) -> None:
    (event,) = recorded(
        "sandbox", json.dumps({"message_id": "sbx_1", "from": "+966500000001", **body}).encode(), ""
    )
    assert lines(event)[0] == english

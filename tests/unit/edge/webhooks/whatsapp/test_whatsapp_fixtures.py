"""Every sample body of every back end, against what it means (`expected.yaml` beside the bodies)."""

import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.webhooks.whatsapp.model import Delivery, InboundEvent
from edge.webhooks.whatsapp.registry import parse

FIXTURES = Path(__file__).parents[4] / "fixtures" / "whatsapp"
BACKENDS = ("evolution", "cloud_api", "waha")


@cache
def expected(backend: str) -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((FIXTURES / backend / "expected.yaml").read_text("utf-8"))
    return table


def cases() -> list[tuple[str, str]]:
    return [(backend, name) for backend in BACKENDS for name in expected(backend)["bodies"]]


def delivered(backend: str, name: str) -> Delivery:
    raw = (FIXTURES / backend / f"{name}.json").read_bytes()
    return parse(backend, raw, expected(backend)["external_name"])


def plain(value: object) -> Any:
    """The value in the words of the table: nothing that is empty."""
    if is_dataclass(value):
        said = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: plain(part) for name, part in said.items() if part not in ("", None, (), False)}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    if isinstance(value, Enum):
        return value.name.lower()
    return value.isoformat() if isinstance(value, datetime) else value


def described(event: InboundEvent) -> dict[str, Any]:
    said: dict[str, Any] = plain(event)
    said["event"] = {type(event.event).__name__: said["event"]}
    if said["chat"] == "direct":
        del said["chat"]
    return said


@pytest.mark.parametrize(("backend", "name"), cases())
def test_body_means_what_the_table_says(backend: str, name: str) -> None:
    delivery = delivered(backend, name)
    case = expected(backend)["bodies"][name]
    assert [described(event) for event in delivery.events] == case.get("events", [])
    assert list(delivery.unparsed) == case.get("unparsed", [])
    assert delivery.ignored == case.get("ignored", 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_body_is_in_the_table(backend: str) -> None:
    assert {path.stem for path in (FIXTURES / backend).glob("*.json")} == set(expected(backend)["bodies"])


@pytest.mark.parametrize(("backend", "name"), cases())
def test_redelivery_has_the_same_keys(backend: str, name: str) -> None:
    body = json.loads((FIXTURES / backend / f"{name}.json").read_bytes())
    again = json.dumps(dict(reversed(body.items())), indent=3).encode()
    first = delivered(backend, name)
    second = parse(backend, again, expected(backend)["external_name"])
    assert [event.event_key for event in second.events] == [event.event_key for event in first.events]


@pytest.mark.parametrize(
    ("backend", "one", "other"),
    [
        # The same message through two subscriptions of WAHA, and one deletion told twice by Evolution.
        ("waha", "message.text", "message.any.text"),
        ("waha", "message.text", "message.id_object"),
        ("evolution", "messages.edited.revoke", "messages.delete.key"),
        ("evolution", "messages.edited.revoke", "messages.upsert.protocol_revoke"),
        ("evolution", "messages.delete.key", "messages.delete.with_status"),
    ],
)
def test_one_thing_told_twice_has_one_key(backend: str, one: str, other: str) -> None:
    assert delivered(backend, one).events[0].event_key == delivered(backend, other).events[0].event_key


def test_participants_of_one_group_message_have_keys_of_their_own() -> None:
    keys = [event.event_key for event in delivered("cloud_api", "status.group_participants").events]
    assert len(set(keys)) == 2


def test_no_key_and_no_sentence_holds_a_phone_number() -> None:
    for backend, name in cases():
        delivery = delivered(backend, name)
        for said in (*delivery.unparsed, *(event.event_key for event in delivery.events)):
            assert "9665" not in said, (backend, name)


def test_a_linked_id_is_never_a_phone_number() -> None:
    for backend, name in cases():
        for event in delivered(backend, name).events:
            assert event.person is None or "7711223344" not in event.person.phone, (backend, name)

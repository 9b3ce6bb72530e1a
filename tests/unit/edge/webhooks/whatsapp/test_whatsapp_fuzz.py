"""Bodies never seen before: no parser raises anything but NotJson, and whatever it finds fits on the wire.

As a program it runs for as long as one likes: `HUBGATE_FUZZ_COUNT=2000000 python test_whatsapp_fuzz.py`.
"""

import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clients.whatsapp_wire import to_wire
from edge.webhooks.whatsapp.model import Delivery, NotJson, PersonRef
from edge.webhooks.whatsapp.registry import PARSERS, parse

FIXTURES = Path(__file__).parents[4] / "fixtures" / "whatsapp"
NAMES = {"evolution": "riyadh-desk", "cloud_api": "55501234567890", "waha": "riyadh", "sandbox": ""}
DEFAULT_COUNT = 20_000
SEED = 20_260_829
NOW = datetime(2026, 8, 29, 10, 40, tzinfo=UTC)
SANDBOX_BODIES = (
    b'{"from":"+966501112233","text":"hi","message_id":"1","timestamp":1788000000}',
    b'{"events":[{"event":"receipt","message_id":"2","receipt":"read","to":"SA.1"}]}',
    b'{"event":"state","id":"3","state":"open"}',
)
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    10**30,
    1e308,
    1.5,
    "",
    "x",
    "\x00",
    "\ud800",
    "\udfff\ud83d",
    "٣",
    "²",
    "9" * 400,
    "a" * 70_000,
    "@",
    "1@lid",
    "966501112233@s.whatsapp.net",
    "true_1@c.us_A",
    "1788000000",
    "nan",
    [],
    {},
    [[]],
    [None],
    {"low": -1, "high": -1},
    {"low": 1e9, "high": None},
    {"": {"": {}}},
)
RAW: tuple[bytes, ...] = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 5_000,
    b'"\\ud83d"',
    b'"\\u0000"',
    b"[" * 300,
    b"}",
    b'"',
    b"\\",
    b"\xff",
    b"\xed\xa0\x80",
    b',"id":1',
    b"\xef\xbb\xbf",
)


def corpus() -> list[tuple[str, bytes]]:
    bodies = [
        (backend, path.read_bytes())
        for backend in ("evolution", "cloud_api", "waha")
        for path in sorted((FIXTURES / backend).glob("*.json"))
    ]
    return bodies + [("sandbox", body) for body in SANDBOX_BODIES]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a body with every key or index into it."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        container = waiting.pop()
        keys: Sequence[Any] = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def changed_value(body: Any, chance: random.Random) -> None:
    container, key = chance.choice(places(body))
    container[key] = deepcopy(chance.choice(ODD))


def removed_value(body: Any, chance: random.Random) -> None:
    container, key = chance.choice(places(body))
    del container[key]


def moved_value(body: Any, chance: random.Random) -> None:
    """Puts a copy of one part where another was: right shapes in wrong places."""
    found = places(body)
    container, key = chance.choice(found)
    source, source_key = chance.choice(found)
    container[key] = deepcopy(source[source_key])


def repeated_value(body: Any, chance: random.Random) -> None:
    lists = [container for container, _ in places(body) if isinstance(container, list)]
    if lists:
        chosen = chance.choice(lists)
        chosen.extend(deepcopy(chosen))


def wrapped_value(body: Any, chance: random.Random) -> None:
    container, key = chance.choice(places(body))
    container[key] = [container[key]] if chance.random() < 0.5 else {"message": container[key]}


MUTATIONS: tuple[Callable[[Any, random.Random], None], ...] = (
    changed_value,
    removed_value,
    moved_value,
    repeated_value,
    wrapped_value,
)


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """A body changed as JSON, as bytes, or both."""
    if chance.random() < 0.75:
        body = json.loads(raw)
        for _ in range(chance.randint(1, 4)):
            if body:
                chance.choice(MUTATIONS)(body, chance)
        raw = json.dumps(body, ensure_ascii=chance.random() < 0.9).encode("utf-8", "surrogatepass")
    if chance.random() < 0.4:
        for _ in range(chance.randint(1, 3)):
            start = chance.randrange(len(raw) + 1)
            raw = raw[:start] + chance.choice(RAW) + raw[start + chance.randint(0, 8) :]
    return raw


def check(backend: str, raw: bytes) -> Delivery | None:
    """Parses one body and holds the promises of `Delivery` against it; None if the body is not JSON."""
    try:
        delivery = parse(backend, raw, NAMES[backend])
    except NotJson:
        return None
    for sentence in delivery.unparsed:
        assert "unexpected shape" not in sentence, (backend, sentence, raw)
        assert len(sentence) < 200
    for event in delivery.events:
        assert 0 < len(event.event_key) <= 200
        assert event.person is None or event.person != PersonRef()
        if event.person is not None and event.person.phone:
            assert event.person.phone[0] == "+"
            assert event.person.phone[1:].isascii()
            assert event.person.phone[1:].isdigit()
    for request in to_wire("ins_1", delivery, NOW):
        request.SerializeToString()
    return delivery


def fuzz(count: int, seed: int = SEED) -> dict[str, int]:
    """Checks `count` mutated bodies; returns how many were JSON, and how many events were found in them."""
    chance = random.Random(seed)
    bodies = corpus()
    tally = {"bodies": 0, "json": 0, "events": 0}
    for _ in range(count):
        backend, raw = chance.choice(bodies)
        # Now and then the wrong parser gets it.
        delivery = check(
            backend if chance.random() < 0.97 else chance.choice(list(PARSERS)), mutated(raw, chance)
        )
        tally["bodies"] += 1
        tally["json"] += delivery is not None
        tally["events"] += len(delivery.events) if delivery is not None else 0
    return tally


def test_mutated_bodies() -> None:
    count = int(os.environ.get("HUBGATE_FUZZ_COUNT", DEFAULT_COUNT))
    tally = fuzz(count)
    assert tally["bodies"] == count
    # Most mutations leave JSON with something in it: the parsers were reached, not just the decoder.
    assert tally["json"] > count * 0.6
    assert tally["events"] > count * 0.3


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(alphabet=st.characters(), max_size=30)
)
KEYS: tuple[str, ...] = (
    *("event", "data", "key", "message", "entry", "changes", "value", "field", "messages", "statuses", "id"),
    *("payload", "from", "to", "type", "text", "body", "instance", "session", "remoteJid", "metadata", "ack"),
    *(
        "contacts",
        "timestamp",
        "reaction",
        "errors",
        "location",
        "media",
        "_data",
        "status",
        "fromMe",
        "vCards",
    ),
)
FIELDS = st.sampled_from(KEYS)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=25,
)
EVENTS = st.sampled_from(
    [
        *("messages.upsert", "messages.update", "messages.edited", "messages.delete", "send.message"),
        *("connection.update", "status.instance", "qrcode.updated", "session.status"),
        *("message", "message.ack", "message.reaction", "message.edited", "message.revoked", "poll.vote"),
    ]
)


@settings(deadline=None)
@given(st.sampled_from(sorted(PARSERS)), TREES)
def test_any_json(backend: str, tree: Any) -> None:
    check(backend, json.dumps(tree).encode())


@settings(deadline=None)
@given(st.sampled_from(["evolution", "waha"]), EVENTS, TREES)
def test_any_data_of_a_known_event(backend: str, event: str, tree: Any) -> None:
    check(backend, json.dumps({"event": event, "data": tree, "payload": tree}).encode())


@settings(deadline=None)
@given(st.lists(st.dictionaries(FIELDS, TREES, max_size=8), max_size=3))
def test_any_value_of_a_cloud_change(values: list[dict[str, Any]]) -> None:
    changes = [{"field": "messages", "value": value} for value in values]
    check("cloud_api", json.dumps({"entry": [{"changes": changes}]}).encode())


@settings(deadline=None)
@given(st.sampled_from(sorted(PARSERS)), st.binary(max_size=200))
def test_any_bytes(backend: str, raw: bytes) -> None:
    check(backend, raw)


if __name__ == "__main__":
    sys.stdout.write(f"{fuzz(int(os.environ.get('HUBGATE_FUZZ_COUNT', DEFAULT_COUNT)))}\n")

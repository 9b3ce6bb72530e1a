"""Random and mutated bodies over the webhook's parser and the webhook itself: no crash, and never a 5xx.

As a program it runs the parser for as long as one likes: `HUBGATE_FUZZ_COUNT=2000000 python test_webhook_fuzz.py`.
"""

import json
import os
import random
from collections.abc import Iterator

from integration.edge.edge_under_test import Edge

from edge.errors import InvalidJsonError
from edge.webhooks.threecx.json_webhook import parse

COUNT = int(os.environ.get("HUBGATE_FUZZ_COUNT", "20000"))
"""Bodies for the parser; a hundredth of it goes over HTTP."""

SEEDS = (
    b'{"event_type":"outbound_message","to":"+966500000000","message_text":"Hello","message_purpose":"support"}',
    b'{"event_type":"missed_call","caller":966500000000,"queue":801,"call_time":"2026-01-15T09:30:12Z"}',
    '{"event_type":"inbound_reply","phone":"٠٥٠٠٠٠٠٠٠٠","message":"شكرا لك"}'.encode(),
    b'{"a":[[[[[[{"b":1e999,"c":-0,"d":"\\ud83d\\ude00","e":"\\u0000"}]]]]]],"event_id":7}',
    b"[]",
)
PIECES = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b"\\ud800",
    b"\x00",
    b"\xff",
    b"NaN",
    b"1e999",
    b"null",
    b",",
    b":",
    b"\xef\xbb\xbf",
)


def bodies(count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(count):
        if chance.random() < 0.1:
            yield chance.randbytes(chance.randrange(0, 200))
            continue
        raw = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(0, len(raw) + 1)
            move = chance.randrange(4)
            if move == 0:
                del raw[at : at + chance.randrange(1, 9)]
            elif move == 1:
                raw[at:at] = chance.choice(PIECES)
            elif move == 2 and at < len(raw):
                raw[at] = chance.randrange(256)
            else:
                raw[at:at] = raw[: chance.randrange(0, 40)]
        yield bytes(raw)


def read_all(count: int) -> int:
    """Parses `count` bodies; the number of those that were events. Raises whatever the parser should not."""
    read = 0
    for raw in bodies(count, 1):
        try:
            event = parse(raw)
        except InvalidJsonError:
            continue
        read += 1
        for text in (event.phone, event.text, event.purpose, event.event_id, event.event_type_text):
            assert "\x00" not in text
            text.encode()
    return read


def test_the_parser_reads_or_refuses_everything() -> None:
    assert 0 < read_all(COUNT) < COUNT


async def test_the_webhook_answers_everything_without_a_5xx(edge: Edge) -> None:
    statuses = set()
    for raw in bodies(max(COUNT // 100, 100), 2):
        answer = await edge.webhook(raw)
        statuses.add(answer.status_code)
        assert isinstance(json.loads(answer.content)["success"], bool)
    assert statuses <= {200, 202, 400}
    assert {200, 400} <= statuses


if __name__ == "__main__":
    print(f"{read_all(COUNT)} of {COUNT} bodies were events; none did any harm.")

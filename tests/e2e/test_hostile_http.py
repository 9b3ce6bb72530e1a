"""The whole product under callers who know how to prove themselves, and misuse it: odd bodies, replays, crashes."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import integrations_pb2
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import CoreClient, Gateway

GENERIC = b'{"success": false, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}'
TEST = b'{"event_type":"test"}'
LIMIT = 262_144
CLOUD = {
    "external_name": "106540352242922",
    "api_token": "token",
    "webhook_secret": "hook",
    "verify_token": "v",
}


def code(answer: httpx.Response) -> tuple[int, Any]:
    """Status, and the error or what came of it."""
    body = answer.json()
    return answer.status_code, body.get("error") or body.get("status")


def padded(size: int) -> bytes:
    return b'{"event_type":"test","pad":"' + b"x" * (size - 30) + b'"}'


async def test_the_size_of_a_body_is_counted_to_the_byte(desk: Desk) -> None:
    assert len(padded(LIMIT)) == LIMIT
    assert code(await desk.post(padded(LIMIT))) == (200, "accepted")
    assert code(await desk.post(padded(LIMIT + 1))) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 4_096, (200, "sent")),
        ("a" * 4_097, (422, "message_too_long")),
        ("😀" * 4_096, (200, "sent")),
        ("😀" * 4_097, (422, "message_too_long")),
        ("e\u0301" * 2_048, (200, "sent")),
        ("e\u0301" * 2_049, (422, "message_too_long")),
        ("\u200f\u202eمرحبا\u202c", (200, "sent")),
        ("line\r\nline\ttab\u2028", (200, "sent")),
        ("\u0000", (400, "invalid_json")),
        ("a\u0000b", (400, "invalid_json")),
        ("\ud800", (400, "invalid_json")),
        ("\udfff\ud83d", (400, "invalid_json")),
        (" \t\r\n", (422, "missing_message_text")),
        (7, (422, "missing_message_text")),
        (True, (422, "missing_message_text")),
        (["hello"], (422, "missing_message_text")),
        ({"text": "hello"}, (422, "missing_message_text")),
    ],
)
async def test_texts_of_every_kind(desk: Desk, text: Any, expected: tuple[int, str]) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    assert code(await desk.reply(phone, message_text=text)) == expected
    if expected[1] == "sent":
        assert [each["text"] for each in await desk.phone_shows(phone)][-1] == text


ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    "\u202e",
    "x" * 10_000,
    [],
    [[[1]]],
    {},
    {"a": {"b": 1}},
)
FIELDS = (
    *("event_type", "to", "from", "customer_phone", "caller", "phone", "message_text", "message"),
    *("message_purpose", "conversation_id", "agent_extension", "queue", "call_time", "event_id"),
)


@pytest.mark.parametrize("field", FIELDS)
async def test_any_value_in_any_field_is_answered(desk: Desk, field: str) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    for value in ODD_VALUES:
        body = {
            "event_type": "outbound_message",
            "to": phone,
            "message_text": "Your ticket is closed.",
            "message_purpose": "support",
            field: value,
        }
        answer = await desk.post(json.dumps(body).encode())
        assert answer.status_code in {200, 202, 403, 422}, (value, answer.text)


@pytest.mark.parametrize(
    "number", ["1e999", "-0", "1E-400", "9" * 5_000, "-1.0e+5", "NaN", "Infinity", "0x1", "01"]
)
async def test_numbers_that_no_computer_holds(desk: Desk, number: str) -> None:
    raw = f'{{"event_type":"test","queue":{number},"to":{number},"unknown":{number}}}'.encode()
    valid = number not in {"NaN", "Infinity", "0x1", "01"}
    assert code(await desk.post(raw)) == ((200, "accepted") if valid else (400, "invalid_json"))


@pytest.mark.parametrize(
    "key", ["' OR 1=1 --", "é\xff", "x" * 5_000, "a,b", "%00", "{}", "\x7f~".strip("\x7f")]
)
async def test_odd_idempotency_keys_are_keys(desk: Desk, key: str) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    raw = json.dumps(
        {"event_type": "outbound_message", "to": phone, "message_text": "Hi", "message_purpose": "support"}
    ).encode()
    headers = {"X-WhatsApp-Gateway-3CX-Secret": desk.secret, "Idempotency-Key": key.encode("latin-1")}
    sent: Any = dict(headers)
    first = await desk.http.post(desk.url, content=raw, headers=sent)
    again = await desk.http.post(desk.url, content=raw, headers=sent)
    other = await desk.http.post(desk.url, content=raw.replace(b"Hi", b"Ho"), headers=sent)
    assert code(first) == code(again) == (200, "sent")
    assert again.json()["duplicate"] is True
    assert code(other) == (409, "idempotency_key_reused")
    assert len(await desk.phone_shows(phone)) == 2


async def test_the_header_names_the_request_where_event_id_disagrees(desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    body = {"event_type": "outbound_message", "to": phone, "message_text": "Hi", "message_purpose": "support"}
    raw = json.dumps({**body, "event_id": "one"}).encode()
    first = await desk.post(raw, Idempotency_Key="header")
    again = await desk.post(raw)  # named `one` now, which nothing has bound
    assert first.json()["message_id"] != again.json()["message_id"]
    assert (await desk.post(raw, Idempotency_Key="header")).json()["message_id"] == first.json()["message_id"]


async def test_keys_of_one_integration_are_not_those_of_another(
    desk: Desk, running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient
) -> None:
    other = await open_desk(running_gateway, core, http)
    for each in (desk, other):
        phone = fresh_phone()
        await each.customer_writes(phone)
        answer = await each.reply(phone, event_id="the-same")
        assert code(answer) == (200, "sent")
        assert "duplicate" not in answer.json()


def signature(desk: Desk, raw: bytes, stamp: str) -> str:
    return hmac.new(desk.secret.encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()


def iso(offset_hours: int, digits: str = "") -> str:
    moment = time.gmtime(time.time() + offset_hours * 3_600)
    zone = "Z" if not offset_hours else f"+{offset_hours:02d}:00"
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + digits + zone


async def test_timestamps_and_signatures_in_every_form(desk: Desk) -> None:
    now = time.time()
    for number, stamp in enumerate((iso(0), iso(3), iso(0, ".123456"), f"{now:.3f}", str(int(now) - 290))):
        raw = b'{"event_type":"test","n":%d}' % number
        mac = signature(desk, raw, stamp)
        form = (mac, mac.upper(), f"sha256={mac}", f"SHA256={mac}", f"sha256={mac.upper()}")[number]
        answer = await desk.post(raw, X_WhatsApp_Gateway_Timestamp=stamp, X_WhatsApp_Gateway_Signature=form)
        assert code(answer) == (200, "accepted"), stamp
    for stamp in (
        "-1",
        str(int(now) + 400),
        f"+{int(now)}",
        "1e9",
        "now",
        f"{int(now)} ,{int(now)}",
        iso(48),
    ):
        mac = signature(desk, TEST, stamp)
        answer = await desk.post(
            TEST, X_WhatsApp_Gateway_Timestamp=stamp, X_WhatsApp_Gateway_Signature=f"sha256={mac}"
        )
        assert (answer.status_code, answer.content) == (401, GENERIC), stamp
    stamp = str(int(now))
    mac = signature(desk, TEST, stamp)
    for form in (
        f"sha256=sha256={mac}",
        f"sha512={mac}",
        f"sha256= {mac}",
        mac[:-1],
        f"{mac}00",
        f"{mac}, {mac}",
    ):
        answer = await desk.post(TEST, X_WhatsApp_Gateway_Timestamp=stamp, X_WhatsApp_Gateway_Signature=form)
        assert (answer.status_code, answer.content) == (401, GENERIC), form


async def test_arabic_digits_are_no_timestamp(desk: Desk) -> None:
    stamp = str(int(time.time())).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")).encode()
    mac = hmac.new(desk.secret.encode(), stamp + b"." + TEST, hashlib.sha256).hexdigest()
    headers: Any = {
        "X-WhatsApp-Gateway-3CX-Secret": desk.secret,
        "X-WhatsApp-Gateway-Timestamp": stamp,
        "X-WhatsApp-Gateway-Signature": mac,
    }
    answer = await desk.http.post(desk.url, content=TEST, headers=headers)
    assert (answer.status_code, answer.content) == (401, GENERIC)


async def test_of_many_replays_at_once_one_is_taken(desk: Desk) -> None:
    await desk.update(["auth_mode"], auth_mode=integrations_pb2.AUTH_MODE_SECRET_HMAC)
    phone = fresh_phone()
    await desk.customer_writes(phone)
    raw = json.dumps(
        {"event_type": "outbound_message", "to": phone, "message_text": "Once", "message_purpose": "support"}
    ).encode()
    for _ in range(3):
        await asyncio.sleep(1.0)  # a new timestamp, thus a new signature
        headers = desk.signed(raw)
        answers = await asyncio.gather(*(desk.post(raw, **headers) for _ in range(30)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 29}
        assert {answer.content for answer in answers if answer.status_code == 401} == {GENERIC}
    assert len(await desk.phone_shows(phone)) == 1 + 3


MUTATED = 1_500
"""Bodies in an ordinary run; the many are the parsers' part."""


async def test_mutated_bodies_never_break_the_product(desk: Desk) -> None:
    chance = random.Random(2_026)
    phones = [fresh_phone() for _ in range(20)]
    for phone in phones:
        await desk.customer_writes(phone)
    statuses: Counter[int] = Counter()
    room = asyncio.Semaphore(16)

    async def one(raw: bytes) -> None:
        async with room:
            answer = await desk.post(raw)
        statuses[answer.status_code] += 1
        assert isinstance(answer.json()["success"], bool)
        assert answer.status_code < 500, (raw, answer.text)

    await asyncio.gather(*(one(_mutated(chance, chance.choice(phones))) for _ in range(MUTATED)))
    assert {200, 400, 422} <= statuses.keys()


def _mutated(chance: random.Random, phone: str) -> bytes:
    kinds = ("outbound_message", "inbound_reply", "missed_call", "voicemail", "queue_event", "test")
    body: dict[str, Any] = {
        "event_type": chance.choice(kinds),
        "to": phone,
        "message_text": "Your ticket is closed.",
        "message_purpose": "support",
    }
    for _ in range(chance.randrange(3)):
        body[chance.choice(FIELDS)] = chance.choice(ODD_VALUES)
    raw = bytearray(json.dumps(body).encode())
    for _ in range(chance.choice((0, 0, 1, 3))):
        at = chance.randrange(len(raw))
        raw[at : at + chance.randrange(3)] = chance.choice(
            (b"", b'"', b"\\ud800", b"\xff", b"[", b"1e999", b"\x00")
        )
    return bytes(raw)


# --- WhatsApp webhooks and a policy core that dies


def signed(raw: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(b"hook", raw, hashlib.sha256).hexdigest()}


def batch(messages: list[Any]) -> bytes:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": CLOUD["external_name"]},
        "messages": messages,
    }
    change = {"field": "messages", "value": value}
    entry = {"id": "1", "changes": [change]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def message(number: int, phone: str = "966501112233") -> dict[str, Any]:
    return {
        "from": phone,
        "id": f"wamid.{time.time_ns()}.{number}",
        "timestamp": str(int(time.time())),
        "type": "text",
        "text": {"body": f"hello {number}"},
    }


async def cloud_address(desk: Desk) -> str:
    """A Cloud API instance's webhook, known to the edge."""
    instance = await desk.core.instance(desk.account.account_id, "cloud_api", **CLOUD)
    url = f"/webhooks/whatsapp/cloud_api/{instance.instance_id}"
    for _ in range(100):
        if (await desk.http.post(url, content=b"{}", headers=signed(b"{}"))).status_code == 200:
            return url
        await asyncio.sleep(0.05)
    raise AssertionError("the edge never learned of the instance")


async def test_a_broken_element_costs_its_neighbours_nothing(desk: Desk) -> None:
    url = await cloud_address(desk)
    messages: list[Any] = [message(number) for number in range(1_000)]
    messages[500] = {"from": 7, "id": None, "type": ["text"], "text": "x"}
    raw = batch(messages)
    first = await desk.http.post(url, content=raw, headers=signed(raw))
    again = await desk.http.post(url, content=raw, headers=signed(raw))
    assert (first.status_code, first.json()["recorded"]) == (200, 999)
    assert (again.json()["recorded"], again.json()["duplicates"]) == (0, 999)


async def test_sixteen_megabytes_are_read_and_not_one_byte_more(desk: Desk) -> None:
    url = await cloud_address(desk)
    limit = 16 * 1024 * 1024
    raw = batch([message(1)])
    whole = raw[:-1] + b',"pad":"' + b"x" * (limit - len(raw) - 9) + b'"}'
    assert len(whole) == limit
    taken = await desk.http.post(url, content=whole, headers=signed(whole))
    assert (taken.status_code, taken.json()["recorded"]) == (200, 1)
    assert (await desk.http.post(url, content=whole + b" ", headers=signed(whole))).status_code == 413
    assert (await desk.http.post(url, content=raw, headers=signed(raw + b" "))).status_code == 401


@pytest.mark.parametrize("raw", [b"[" * 1_000_000, b'{"a":' * 500_000, b"[" + b"[]," * 1_000_000 + b"[]]"])
async def test_huge_nests_are_answered_and_hold_up_nobody(desk: Desk, raw: bytes) -> None:
    url = await cloud_address(desk)
    answer = await desk.http.post(url, content=raw, headers=signed(raw))
    assert answer.status_code in {200, 400}
    assert code(await desk.post(TEST)) == (200, "accepted")


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway of this test's own, whose parts may be killed."""
    gateway = Gateway(tmp_path, f"sqlite+aiosqlite:///{tmp_path}/hubgate.db")
    await gateway.start()
    yield gateway
    gateway.stop()


async def test_what_was_answered_200_survives_a_policy_core_that_is_killed(mortal: Gateway) -> None:
    async with (
        httpx.AsyncClient(base_url=mortal.base_url, trust_env=False, timeout=30) as http,
        mortal.channel(mortal.admin_token) as core,
    ):
        desk = await open_desk(mortal, core, http)
        url = await cloud_address(desk)
        taken: set[int] = set()
        others: Counter[int] = Counter()
        bodies = {number: batch([message(number)]) for number in range(400)}

        async def deliver(number: int) -> None:
            answer = await http.post(url, content=bodies[number], headers=signed(bodies[number]))
            if answer.status_code == 200:
                taken.add(number)
            else:
                others[answer.status_code] += 1

        running = asyncio.gather(*(deliver(number) for number in range(400)))
        while len(taken) < 40:  # noqa: ASYNC110 - what is waited for lies beyond a socket
            await asyncio.sleep(0.005)
        mortal.processes["policycore"].kill()
        mortal.processes["policycore"].wait()
        await running
        assert others.keys() <= {503}
        assert others[503] > 0
        mortal.start_part("policycore")
        await mortal.wait_ready()
        for number in sorted(taken):
            again = await http.post(url, content=bodies[number], headers=signed(bodies[number]))
            assert (again.status_code, again.json()["duplicates"], again.json()["recorded"]) == (200, 1, 0)

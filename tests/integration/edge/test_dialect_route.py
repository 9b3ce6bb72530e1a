"""The address of webhook generators over HTTP: who may call it, what is read, and that nothing gives a 5xx."""

import hmac
import json
import random
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from integration.edge.edge_under_test import SECRET_HEADER, Edge, running_edge, until, until_status
from integration.edge.scripted_core import SECRET, refused

from edge.settings import Listen
from hubgate.policy.v1 import policy_service_pb2 as wire
from hubgate.policy.v1 import reasons_pb2
from support.gateway import free_port

OPEN = "/integrations/3cx/dialect/int_generator"
CLOSED = "/integrations/3cx/dialect/int_1"
HEADER = {SECRET_HEADER: SECRET}
GENERIC = b'{"success": false, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}'
LIMIT = 262_144
MISSED = {
    "event": "incoming",
    "callerid": "966500000001",
    "user": "801",
    "usertype": "queue",
    "finishtype": "Missed",
    "id": "260115093012_41-0",
}
K2M = {name.capitalize(): value for name, value in MISSED.items()}


async def test_each_way_of_calling_brings_the_same_event(edge: Edge) -> None:
    answers = [
        await edge.client.get(OPEN, params={**MISSED, "token": SECRET}),
        await edge.client.get(OPEN, params={**K2M, "TOKEN": SECRET}),
        await edge.client.post(OPEN, params={"token": SECRET}, json=MISSED),
        await edge.client.post(OPEN, headers=HEADER, json=K2M),
        await edge.client.post(OPEN, headers=HEADER, data=MISSED),
        await edge.client.get(CLOSED, headers=HEADER, params=MISSED),
        await edge.client.post(CLOSED, headers=HEADER, json=MISSED),
    ]
    assert [answer.status_code for answer in answers] == [200] * 7
    assert all(answer.headers["cache-control"] == "no-store" for answer in answers)
    for submission in edge.core.submissions:
        assert submission.event_type == wire.EVENT_TYPE_MISSED_CALL
        assert submission.idempotency_key == "call:260115093012_41:missed_call:966500000001"
        assert submission.body_digest == edge.core.submissions[0].body_digest
        assert (submission.phone, submission.queue, submission.text) == ("966500000001", "801", "")
    assert {each.credential_id for each in edge.core.uses} <= {"sec_1"}


async def test_whoever_proves_nothing_gets_the_webhooks_answer(edge: Edge) -> None:
    unknown = OPEN.replace("generator", "nobody")
    off = OPEN.replace("generator", "off")
    answers = [
        await edge.client.get(OPEN, params=MISSED),
        await edge.client.get(OPEN, params={**MISSED, "token": "wrong"}),
        await edge.client.get(OPEN, params={**MISSED, "token": ""}),
        await edge.client.get(f"{OPEN}?token={SECRET}&token={SECRET}"),
        await edge.client.get(OPEN, params={**MISSED, "token": "x" * 600}),
        await edge.client.get(OPEN, params={**MISSED, "token": SECRET}, headers={SECRET_HEADER: "wrong"}),
        await edge.client.get(OPEN, params={**MISSED, "secret": SECRET}),
        await edge.client.post(OPEN, data={**MISSED, "token": SECRET}),
        await edge.client.get(CLOSED, params={**MISSED, "token": SECRET}),
        await edge.client.get(CLOSED, params={**MISSED, "token": "wrong"}),
        await edge.client.get(unknown, params={**MISSED, "token": SECRET}),
        await edge.client.get(off, headers=HEADER, params=MISSED),
        await edge.client.get(OPEN.replace("generator", "signed"), headers=HEADER, params=MISSED),
    ]
    for answer in answers:
        assert (answer.status_code, answer.content) == (401, GENERIC)
        assert {name for name in answer.headers if name != "date"} == {
            "content-type", "content-length", "cache-control",
        }  # fmt: skip
    assert not edge.core.submissions
    await until(lambda: sum(each.count for each in edge.core.refusals) == len(answers))
    reasons = {each.reason for each in edge.core.refusals}
    assert {"query_token_off", "wrong_secret", "missing_secret", "unknown_integration"} <= reasons
    assert {each.surface for each in edge.core.refusals} == {"threecx_dialect"}


async def test_the_json_webhook_takes_no_token(edge: Edge) -> None:
    answer = await edge.client.post(
        f"/integrations/3cx/webhook/int_generator?token={SECRET}", json={"event_type": "test"}
    )
    assert (answer.status_code, answer.content) == (401, GENERIC)


async def test_a_signed_integration_takes_what_is_signed(edge: Edge) -> None:
    path = OPEN.replace("generator", "signed")
    stamp, query = str(int(time.time())), urlencode(MISSED)
    mac = hmac.new(SECRET.encode(), f"{stamp}.{query}".encode(), sha256).hexdigest()
    signed = {"X-WhatsApp-Gateway-Timestamp": stamp, "X-WhatsApp-Gateway-Signature": mac}
    assert (await edge.client.get(f"{path}?{query}", headers=HEADER | signed)).status_code == 200
    changed = await edge.client.get(f"{path}?{query}2", headers=HEADER | signed)
    assert (changed.status_code, changed.content) == (401, GENERIC)


@pytest.mark.parametrize(
    "body",
    [
        {"FILES": ["https://pbx.example.com/webapi/recording/260115093012_41-1-1.mp3"]},
        {
            "Event": "recording",
            "FileUrls": ["https://pbx.example.com/1.mp3"],
            "Callerid": "05000",
            "Id": "1-1",
        },
        {**MISSED, "event": "outgoing"},
    ],
)
async def test_what_leads_to_no_message_is_accepted_and_counted(edge: Edge, body: dict[str, Any]) -> None:
    answer = await edge.client.post(OPEN, headers=HEADER, json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    assert not edge.core.submissions and len(edge.core.admissions) == 1
    edge.core.admission = wire.AdmitRequestResponse(reason=reasons_pb2.REASON_CODE_WEBHOOK_RATE_LIMITED)
    limited = await edge.client.post(OPEN, headers=HEADER, json=body)
    assert (limited.status_code, limited.json()["error"]) == (429, "webhook_rate_limited")


async def test_an_unknown_event_is_named_as_such(edge: Edge) -> None:
    edge.core.on_submit = lambda _: refused(reasons_pb2.REASON_CODE_UNSUPPORTED_EVENT_TYPE)
    answer = await edge.client.post(
        OPEN, headers=HEADER, json={"event": "parked", "callerid": "966500000001"}
    )
    assert (answer.status_code, answer.json()["error"]) == (422, "unsupported_event_type")
    assert "finishtype" in answer.json()["message"]
    (submission,) = edge.core.submissions
    assert (submission.event_type, submission.event_type_text) == (wire.EVENT_TYPE_UNSPECIFIED, "parked")
    assert submission.idempotency_key == ""


async def test_large_and_broken_bodies_are_refused_while_they_are_read(edge: Edge) -> None:
    large = await edge.client.post(OPEN, headers=HEADER, content=b"x" * (LIMIT + 1))
    assert (large.status_code, large.json()["error"]) == (413, "payload_too_large")

    async def endless() -> Any:
        for _ in range(40):
            yield b"x" * 8_192

    chunked = await edge.client.post(OPEN, headers=HEADER, content=endless())
    assert chunked.status_code == 413
    empty = await edge.client.post(OPEN, headers=HEADER)
    assert (empty.status_code, empty.json()["error"]) == (400, "invalid_json")


async def test_other_methods_do_nothing(edge: Edge) -> None:
    for method in ("HEAD", "PUT", "DELETE"):
        answer = await edge.client.request(method, OPEN, params={**MISSED, "token": SECRET})
        assert answer.status_code == 405
    assert not edge.core.submissions


async def test_the_token_is_written_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    token = "tok-that-nobody-may-read-4711"
    own = "/integrations/3cx/dialect/int_own"
    metrics = Listen("127.0.0.1", free_port())
    async with running_edge(metrics=metrics) as edge:
        secret = wire.SecretCredential(secret_id="sec_own", secret=token)
        edge.core.credentials.integrations.add(
            integration_id="int_own", enabled=True, secrets=[secret], query_token_enabled=True
        )
        edge.core.credentials.version += 1
        edge.core.changed.set()
        path = f"{own}?{urlencode({**MISSED, 'token': token})}"
        await until_status(edge.client, path, 200)
        before = len(edge.core.submissions)
        edge.core.on_submit = lambda request: None if request.queue == "lost" else refused(1)
        answers = [
            await edge.client.get(path),
            await edge.client.get(path.replace("801", "lost")),
            await edge.client.get(CLOSED, params={**MISSED, "token": token}),
            await edge.client.get(f"/integrations/3cx/dialect?token={token}"),
            await edge.client.get(f"/integrations/3cx/dialect/a/b?token={token}"),
            await edge.client.post(f"{own}?token={token}", content=b"\xff"),
        ]
        assert [answer.status_code for answer in answers] == [403, 503, 401, 404, 404, 400]
        assert len(edge.core.submissions) == before + 2
        await until(lambda: any(each.reason == "wrong_secret" for each in edge.core.refusals))
        told = "".join(str(each) for each in [*edge.core.refusals, *edge.core.submissions])
        async with httpx.AsyncClient() as client:
            told += (await client.get(f"http://127.0.0.1:{metrics.port}/metrics")).text
    assert all(token not in answer.text for answer in answers)
    written = capfd.readouterr()
    assert token not in written.out + written.err + told


PIECES = (
    b"&",
    b"=",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"%",
    b"%ff",
    b"\x00",
    b"\xff",
    b"\\ud800",
    b"event",
    b"id",
    b",",
)
SEEDS = (
    json.dumps(MISSED).encode(),
    json.dumps(K2M).encode(),
    urlencode(MISSED).encode(),
    b'{"FILES":["https://pbx.example.com/1.mp3"],"event":"outgoing","finishtype":"Ok","id":"1_2-3"}',
)


def mutated(count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(count):
        raw = bytearray(chance.choice(SEEDS) if chance.random() < 0.9 else chance.randbytes(60))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(0, len(raw) + 1)
            move = chance.randrange(3)
            if move == 0:
                del raw[at : at + chance.randrange(1, 9)]
            elif move == 1:
                raw[at:at] = chance.choice(PIECES)
            elif at < len(raw):
                raw[at] = chance.randrange(256)
        yield bytes(raw)


async def test_random_and_mutated_requests_never_give_a_5xx(edge: Edge) -> None:
    statuses = set()
    for raw in mutated(300, 7):
        answer = await edge.client.post(OPEN, headers=HEADER, content=raw)
        statuses.add(answer.status_code)
        assert isinstance(json.loads(answer.content)["success"], bool)
        query = "".join(chr(byte) if 33 <= byte <= 126 and byte != 35 else f"%{byte:02x}" for byte in raw)
        answer = await edge.client.get(f"{OPEN}?token={SECRET}&{query}")
        statuses.add(answer.status_code)
    assert statuses <= {200, 400, 401}
    assert {200, 400} <= statuses

"""WhatsApp webhooks over HTTP: proof, size, commit before the acknowledgement."""

import asyncio
import hmac
import json
from hashlib import sha256, sha512
from typing import Any

import grpc
import httpx
import pytest
from integration.edge.edge_under_test import Edge, until

from hubgate.policy.v1 import events_pb2

TEXT = {"event": "message", "message_id": "sbx_1", "from": "+966500000000", "text": "Hello"}
EVOLUTION = {
    "event": "messages.upsert",
    "instance": "support",
    "data": {
        "key": {"remoteJid": "966500000000@s.whatsapp.net", "fromMe": False, "id": "3EB0C431C26A1916E07A"},
        "pushName": "Sara",
        "message": {"conversation": "Hello"},
        "messageType": "conversation",
        "messageTimestamp": 1782898200,
    },
}
CLOUD = {
    "object": "whatsapp_business_account",
    "entry": [
        {
            "id": "1",
            "changes": [
                {
                    "field": "messages",
                    "value": {
                        "messaging_product": "whatsapp",
                        "metadata": {
                            "display_phone_number": "966110000000",
                            "phone_number_id": "106540352242922",
                        },
                        "contacts": [{"wa_id": "966500000000", "profile": {"name": "Sara"}}],
                        "messages": [
                            {
                                "from": "966500000000",
                                "id": "wamid.1",
                                "timestamp": "1782898200",
                                "type": "text",
                                "text": {"body": "Hello"},
                            }
                        ],
                    },
                }
            ],
        }
    ],
}
WAHA = {
    "id": "evt_1",
    "event": "message",
    "session": "default",
    "payload": {
        "id": "false_966500000000@c.us_AAA",
        "timestamp": 1782898200,
        "from": "966500000000@c.us",
        "fromMe": False,
        "body": "Hello",
        "hasMedia": False,
    },
}


def proof(backend: str, raw: bytes, secret: str = "hook") -> dict[str, str]:
    if backend == "cloud_api":
        return {"X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), raw, sha256).hexdigest()}"}
    if backend == "waha":
        signature = hmac.new(secret.encode(), raw, sha512).hexdigest()
        return {"X-Webhook-Hmac": signature, "X-Webhook-Hmac-Algorithm": "sha512"}
    return {"X-Webhook-Token": secret}


async def post(
    edge: Edge, backend: str, body: Any, headers: dict[str, str] | None = None, instance: str = ""
) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = f"/webhooks/whatsapp/{backend}/{instance or 'ins_' + backend}"
    return await edge.client.post(
        path, content=raw, headers=proof(backend, raw) if headers is None else headers
    )


@pytest.mark.parametrize(
    ("backend", "body"),
    [("sandbox", TEXT), ("evolution", EVOLUTION), ("cloud_api", CLOUD), ("waha", WAHA)],
)
async def test_a_delivery_is_recorded_and_then_acknowledged(edge: Edge, backend: str, body: Any) -> None:
    answer = await post(edge, backend, body)
    assert (answer.status_code, answer.json()["recorded"]) == (200, 1)
    (request,) = edge.core.recorded
    assert request.instance_id == f"ins_{backend}"
    (event,) = request.events
    assert event.message.text == "Hello"
    assert event.person.phone == "+966500000000"
    assert event.chat == events_pb2.CHAT_KIND_DIRECT
    assert request.HasField("received_at")


@pytest.mark.parametrize("backend", ["sandbox", "evolution", "cloud_api", "waha"])
async def test_without_proof_nothing_is_read(edge: Edge, backend: str) -> None:
    wrong = await post(edge, backend, b"{}", proof(backend, b"{}", "other"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_whatsapp_webhook")
    path = f"/webhooks/whatsapp/{backend}/ins_{backend}"
    frame = f"POST {path} HTTP/1.1\r\nHost: edge\r\nContent-Length: 16000000\r\n\r\n"
    silent = await edge.raw(frame.encode())
    assert (silent.status, silent.closed) == (401, True)
    assert edge.core.recorded == []
    await until(lambda: len({r.reason for r in edge.core.refusals if r.surface == "whatsapp_webhook"}) >= 1)


async def test_unknown_closed_and_mismatched_instances_are_all_alike(edge: Edge) -> None:
    answers = [
        await post(edge, "sandbox", TEXT, instance="ins_nobody"),
        await post(edge, "evolution", EVOLUTION, instance="ins_closed"),
        await post(edge, "sandbox", TEXT, instance="ins_evolution"),
        await post(edge, "telegram", TEXT, instance="ins_sandbox"),
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}


async def test_a_batch_keeps_what_is_whole(edge: Edge) -> None:
    answer = await post(edge, "sandbox", {"events": [TEXT, 5, TEXT | {"message_id": "sbx_2"}]})
    assert answer.json()["recorded"] == 2
    (request,) = edge.core.recorded
    assert len(request.unparsed) == 1


async def test_an_event_the_policy_core_cannot_take_costs_its_neighbours_nothing(edge: Edge) -> None:
    edge.core.poison = "poison"
    events = [TEXT, TEXT | {"message_id": "sbx_2", "text": "poison"}, TEXT | {"message_id": "sbx_3"}]
    answer = await post(edge, "sandbox", {"events": events})
    assert (answer.status_code, answer.json()["recorded"]) == (200, 2)
    assert [len(request.unparsed) for request in edge.core.recorded] == [0, 0, 1]


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.PERMISSION_DENIED]
)
async def test_what_was_not_committed_is_not_acknowledged(edge: Edge, status: grpc.StatusCode) -> None:
    edge.core.record_status = status
    answer = await post(edge, "sandbox", TEXT)
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    edge.core.record_status = None
    assert (await post(edge, "sandbox", TEXT)).status_code == 200


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
async def test_what_is_not_json_is_refused_for_good(edge: Edge, raw: bytes) -> None:
    answer = await post(edge, "sandbox", raw)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_json")


@pytest.mark.parametrize("body", [{}, [], 5, {"event": "unheard.of"}, {"events": []}])
async def test_bodies_never_seen_before_are_taken(edge: Edge, body: Any) -> None:
    for backend in ("sandbox", "evolution", "cloud_api", "waha"):
        assert (await post(edge, backend, body)).status_code == 200


async def test_bodies_up_to_sixteen_mebibytes_are_read(edge: Edge) -> None:
    limit = 16 * 1024 * 1024
    frame = json.dumps(TEXT | {"pad": ""}).encode()
    raw = frame[:-2] + b"x" * (limit - len(frame)) + frame[-2:]
    assert (await post(edge, "sandbox", raw)).json()["recorded"] == 1
    answer = await post(edge, "sandbox", raw + b" ")
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")


async def test_the_cloud_apis_handshake(edge: Edge) -> None:
    path = "/webhooks/whatsapp/cloud_api/ins_cloud_api"
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "verify"}
    answer = await edge.client.get(path, params=query)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")
    assert (await edge.client.get(path, params=query | {"hub.verify_token": "no"})).status_code == 403
    assert (await edge.client.get(path)).status_code == 403
    other = "/webhooks/whatsapp/waha/ins_waha"
    assert (await edge.client.get(other, params=query)).status_code == 403


@pytest.mark.parametrize("backend", ["cloud_api", "waha", "evolution", "sandbox", "telex"])
async def test_a_stranger_cannot_tell_which_instances_there_are(edge: Edge, backend: str) -> None:
    body = b'{"object":"x"}'
    proof = {"cloud_api": "X-Hub-Signature-256", "waha": "X-Webhook-Hmac"}.get(backend, "X-Webhook-Token")
    answers = []
    for instance in (f"ins_{backend}", "ins_unknown", "ins_closed"):
        lines = (f"POST /webhooks/whatsapp/{backend}/{instance} HTTP/1.1", "Host: e", f"{proof}: sha256=00")
        head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(head + body[:5])
        try:
            async with asyncio.timeout(0.3):
                early = await reader.read(65_536)
        except TimeoutError:
            early = b""
        writer.write(body[5:])
        late = early or await reader.read(65_536)
        writer.close()
        assert late.startswith(b"HTTP/1.1 401")
        answers.append((bool(early), [line for line in late.split(b"\r\n") if not line.startswith(b"date")]))
    assert answers == [answers[0]] * len(answers)


async def test_bodies_that_are_held_up_bound_each_other_and_nobody_else(edge: Edge) -> None:
    # Sixteen megabytes each, unproven, and their last byte never comes.
    size = 16 * 1024 * 1024
    head = (
        "POST /webhooks/whatsapp/cloud_api/ins_cloud_api HTTP/1.1\r\nHost: e\r\n"
        f"X-Hub-Signature-256: sha256={'0' * 64}\r\nContent-Length: {size}\r\n\r\n"
    )
    opened = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(6)]
    sending = [
        asyncio.create_task(_send_and_wait(*pair, head.encode() + b"x" * (size - 1))) for pair in opened
    ]
    done, pending = await asyncio.wait(sending, timeout=4)
    # Four fit. The others are told to come again, or see the connection end while they are still sending.
    assert len(done) >= 2
    assert {task.result() for task in done} <= {b"HTTP/1.1 503", b""}
    assert pending
    ordinary = await edge.client.post(
        "/webhooks/whatsapp/sandbox/ins_sandbox",
        content=b'{"from":"+966501112233","text":"hi"}',
        headers={"X-Webhook-Token": "hook"},
    )
    assert ordinary.status_code == 200
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for _, writer in opened:
        writer.close()


async def _send_and_wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> bytes:
    """The beginning of what comes back."""
    try:
        writer.write(raw)
        await writer.drain()
        return (await reader.read(64))[:12]
    except ConnectionError:
        return b""

"""The 3CX webhook over HTTP: authentication, limits, and every answer of the contract."""

import asyncio
import hmac
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from integration.edge.edge_under_test import SECRET_HEADER, WEBHOOK, Edge, RawAnswer, running_edge, until
from integration.edge.scripted_core import SECRET, refused, sent

from hubgate.policy.v1 import policy_service_pb2 as wire
from hubgate.policy.v1 import reasons_pb2

PUBLIC_EXAMPLE = b"""{
  "event_type": "outbound_message",
  "to": "+966500000000",
  "message_text": "Your support ticket has been updated.",
  "message_purpose": "support",
  "conversation_id": "3cx-chat-123",
  "agent_extension": "101"
}
"""
GENERIC = b'{"success": false, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}'
LIMIT = 262_144


def signed(body: bytes, secret: str = SECRET, at: str | None = None) -> dict[str, str]:
    stamp = at or datetime.now(UTC).isoformat()
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, sha256).hexdigest()
    return {"X_WhatsApp_Gateway_Timestamp": stamp, "X_WhatsApp_Gateway_Signature": f"sha256={digest}"}


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: edge", *lines, "", "")).encode()


def body_of_size(size: int) -> bytes:
    frame = b'{"event_type":"test","pad":""}'
    return frame[:-2] + b"x" * (size - len(frame)) + frame[-2:]


async def test_the_public_example_reaches_the_policy_core_as_it_was_written(edge: Edge) -> None:
    answer = await edge.webhook(PUBLIC_EXAMPLE)
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "status": "sent",
        "message_id": "msg_1",
        "log_id": 41,
        "event_type": "outbound_message",
    }
    (submission,) = edge.core.submissions
    assert submission.integration_id == "int_1"
    assert submission.event_type == wire.EVENT_TYPE_OUTBOUND_MESSAGE
    assert submission.phone == "+966500000000"
    assert submission.text == "Your support ticket has been updated."
    assert submission.purpose == "support"
    assert submission.conversation_id == "3cx-chat-123"
    assert submission.agent_extension == "101"
    assert submission.body_digest == sha256(PUBLIC_EXAMPLE).digest()
    assert not submission.HasField("signature")
    assert submission.idempotency_key == ""


async def test_a_used_secret_is_marked(edge: Edge) -> None:
    await edge.webhook(PUBLIC_EXAMPLE)
    await until(lambda: any(use.credential_id == "sec_1" for use in edge.core.uses))


@pytest.mark.parametrize("integration", ["int_1", "int_signed"])
async def test_a_signature_becomes_a_claim(edge: Edge, integration: str) -> None:
    answer = await edge.webhook(PUBLIC_EXAMPLE, integration, **signed(PUBLIC_EXAMPLE))
    assert answer.status_code == 200
    (submission,) = edge.core.submissions
    assert len(submission.signature.digest) == 32
    left = submission.signature.expires_at.seconds - datetime.now(UTC).timestamp()
    assert 290 < left <= 301


async def test_unix_seconds_sign_as_well(edge: Edge) -> None:
    stamp = str(int(datetime.now(UTC).timestamp()))
    answer = await edge.webhook(PUBLIC_EXAMPLE, "int_signed", **signed(PUBLIC_EXAMPLE, at=stamp))
    assert answer.status_code == 200


async def test_the_generic_401_never_tells_its_cause(edge: Edge) -> None:
    old = "2020-01-01T00:00:00Z"
    causes: list[tuple[str, dict[str, Any], str]] = [
        ("int_unknown", {}, "unknown_integration"),
        ("int_off", {}, "disabled_integration"),
        ("int_1", {"secret": None}, "missing_secret"),
        ("int_1", {"secret": "wrong"}, "wrong_secret"),
        ("int_far", {}, "address_not_allowed"),
        ("int_signed", {}, "missing_signature"),
        ("int_1", signed(PUBLIC_EXAMPLE, at=old), "stale_timestamp"),
        ("int_1", signed(PUBLIC_EXAMPLE, at="never"), "malformed_timestamp"),
        ("int_1", signed(PUBLIC_EXAMPLE) | {"X_WhatsApp_Gateway_Signature": "no"}, "malformed_signature"),
        ("int_1", signed(PUBLIC_EXAMPLE, secret="other"), "wrong_signature"),
    ]
    answers = [await edge.webhook(PUBLIC_EXAMPLE, name, **arguments) for name, arguments, _ in causes]
    edge.core.on_submit = lambda _: refused(reasons_pb2.REASON_CODE_SIGNATURE_REPLAYED)
    answers.append(await edge.webhook(PUBLIC_EXAMPLE, "int_1", **signed(PUBLIC_EXAMPLE)))
    edge.core.admission = wire.AdmitRequestResponse(reason=reasons_pb2.REASON_CODE_SIGNATURE_REPLAYED)
    answers.append(await edge.webhook(b"{", "int_1", **signed(b"{")))
    seen = {
        (answer.status_code, answer.content, tuple((k, v) for k, v in answer.headers.items() if k != "date"))
        for answer in answers
    }
    assert len(seen) == 1
    assert answers[0].status_code == 401
    assert answers[0].content == GENERIC
    expected = {reason for _, _, reason in causes} | {"signature_replayed"}
    await until(lambda: {refusal.reason for refusal in edge.core.refusals} >= expected)
    assert {refusal.surface for refusal in edge.core.refusals} == {"threecx_webhook"}
    assert {refusal.source_address for refusal in edge.core.refusals} == {"127.0.0.1"}


async def test_an_unauthenticated_caller_is_answered_before_its_body_comes(edge: Edge) -> None:
    for framing in (f"Content-Length: {50 * 1024 * 1024}", "Transfer-Encoding: chunked"):
        answer = await edge.raw(head(WEBHOOK, framing, f"{SECRET_HEADER}: wrong"))
        assert (answer.status, answer.body) == (401, GENERIC)
        assert answer.closed
    assert edge.core.admissions == []


async def test_a_small_body_after_a_refusal_leaves_the_connection_usable(edge: Edge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(head(WEBHOOK, "Content-Length: 2"))
    first = await reader.readuntil(GENERIC)
    assert b"connection: close" not in first.lower()
    writer.write(b"{}" + b"GET /healthz HTTP/1.1\r\nHost: edge\r\n\r\n")
    assert b"200" in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_bodies_up_to_the_limit_are_read(edge: Edge) -> None:
    assert (await edge.webhook(body_of_size(LIMIT))).status_code == 200
    answer = await edge.webhook(body_of_size(LIMIT + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert len(edge.core.admissions) == 1


async def test_a_chunked_body_is_limited_while_it_is_read(edge: Edge) -> None:
    chunk = b"%x\r\n%s\r\n" % (65_536, b"x" * 65_536)
    answer = await edge.raw(
        head(WEBHOOK, "Transfer-Encoding: chunked", f"{SECRET_HEADER}: {SECRET}"), *[chunk] * 5, b"0\r\n\r\n"
    )
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "payload_too_large")
    assert answer.closed


async def test_an_endless_body_is_cut_off(edge: Edge) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(head(WEBHOOK, "Transfer-Encoding: chunked", f"{SECRET_HEADER}: {SECRET}"))
    chunk = b"%x\r\n%s\r\n" % (65_536, b"x" * 65_536)
    written = await write_until_reset(writer, chunk, 200 * 1024 * 1024)
    assert written < 100 * 1024 * 1024
    writer.close()


async def write_until_reset(writer: asyncio.StreamWriter, chunk: bytes, most: int) -> int:
    """Writes until the other side hangs up; the number of bytes it took."""
    written = 0
    try:
        async with asyncio.timeout(20):
            while written < most:
                writer.write(chunk)
                await writer.drain()
                written += len(chunk)
    except ConnectionError:
        pass
    return written


async def test_a_length_that_lies_changes_nothing(edge: Edge) -> None:
    answer = await edge.raw(
        head(WEBHOOK, f"Content-Length: {LIMIT + 1}", f"{SECRET_HEADER}: {SECRET}", "Expect: 100-continue")
    )
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "payload_too_large")


async def test_a_body_may_come_slowly(edge: Edge) -> None:
    raw = b'{"event_type":"test"}'
    request = head(WEBHOOK, f"Content-Length: {len(raw)}", f"{SECRET_HEADER}: {SECRET}")
    parts = [raw[i : i + 5] for i in range(0, len(raw), 5)]
    answer: RawAnswer = await edge.raw(request, *parts, wait=0.1)
    assert answer.status == 200


async def test_without_a_body_there_is_no_event(edge: Edge) -> None:
    answer = await edge.raw(head(WEBHOOK, f"{SECRET_HEADER}: {SECRET}"))
    assert (answer.status, json.loads(answer.body)["error"]) == (400, "invalid_json")


NOT_JSON = [
    b"",
    b"{",
    b'{"event_type": "test"',
    b"[1]",
    b'"x"',
    b'{"event_type":"test","event_type":"test"}',
    b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
    b'{"a":' * 50_000,
    b"[" * 200_000,
    b'{"text":"\xff"}',
    b'{"message_text":"\\ud800"}',
    b'{"message_text":"\\u0000"}',
    '{"event_type":"test"}'.encode("utf-16"),
    b"event_type=test",
    b'{"a":NaN}',
    b'{"n":' + b"9" * 200_000,
]


async def test_what_is_not_json_is_told_so_and_counted(edge: Edge) -> None:
    for raw in NOT_JSON:
        answer = await edge.webhook(raw, **signed(raw))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_json"), raw[:40]
    assert len(edge.core.admissions) == len(NOT_JSON)
    assert {admission.integration_id for admission in edge.core.admissions} == {"int_1"}
    assert {len(admission.signature.digest) for admission in edge.core.admissions} == {32}
    assert edge.core.submissions == []


async def test_requests_that_cannot_be_parsed_count_against_the_limit(edge: Edge) -> None:
    edge.core.admission = wire.AdmitRequestResponse(reason=reasons_pb2.REASON_CODE_WEBHOOK_RATE_LIMITED)
    edge.core.admission.retry_after.seconds = 12
    for raw in (b"{", body_of_size(LIMIT + 1)):
        answer = await edge.webhook(raw)
        assert (answer.status_code, answer.json()["error"]) == (429, "webhook_rate_limited")
        assert answer.headers["retry-after"] == "12"


async def test_the_content_type_does_not_matter(edge: Edge) -> None:
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "",
    ):
        answer = await edge.webhook(PUBLIC_EXAMPLE, Content_Type=content_type)
        assert answer.status_code == 200


PHONES = ["050 000 0000", "00966500000000", "+966 50 000 0000", "٠٥٠٠٠٠٠٠٠٠", "۰۵۰۰۰۰۰۰۰۰", "966500000000"]


async def test_phones_reach_the_policy_core_as_they_were_written(edge: Edge) -> None:
    for phone in PHONES:
        await edge.webhook(json.dumps({"event_type": "outbound_message", "to": phone}).encode())
    assert [submission.phone for submission in edge.core.submissions] == PHONES


async def test_phones_may_be_numbers(edge: Edge) -> None:
    await edge.webhook(
        b'{"event_type":"missed_call","caller":966500000000,"queue":801,"agent_extension":101}'
    )
    (submission,) = edge.core.submissions
    assert (submission.phone, submission.queue, submission.agent_extension) == ("966500000000", "801", "101")


async def test_idempotency_keys_come_by_header_or_by_event_id(edge: Edge) -> None:
    await edge.webhook(b'{"event_type":"test","event_id":"e-1"}')
    await edge.webhook(b'{"event_type":"test","event_id":"e-1"}', Idempotency_Key="k-1")
    await edge.webhook(b'{"event_type":"test"}', Idempotency_Key="k" * 300)
    keys = [submission.idempotency_key for submission in edge.core.submissions]
    assert keys[:2] == ["e-1", "k-1"]
    assert keys[2].startswith("sha256:")


REFUSALS = [
    ("MODULE_NOT_ENABLED", 2, 403, "module_not_enabled"),
    ("UNSUPPORTED_EVENT_TYPE", 2, 422, "unsupported_event_type"),
    ("OUTBOUND_DISABLED", 2, 403, "outbound_disabled"),
    ("CALL_EVENTS_DISABLED", 2, 403, "call_events_disabled"),
    ("MISSING_PHONE", 2, 422, "missing_phone"),
    ("INVALID_PHONE", 2, 422, "invalid_phone"),
    ("MISSING_MESSAGE_TEXT", 2, 422, "missing_message_text"),
    ("MESSAGE_TOO_LONG", 2, 422, "message_too_long"),
    ("PURPOSE_NOT_ALLOWED", 2, 422, "message_purpose_not_allowed"),
    ("PURPOSE_MISSING", 2, 422, "message_purpose_not_allowed"),
    ("WINDOW_NEVER_OPENED", 2, 409, "conversation_window_closed"),
    ("WINDOW_EXPIRED", 2, 409, "conversation_window_closed"),
    ("RECIPIENT_SUPPRESSED", 2, 403, "recipient_suppressed"),
    ("INSTANCE_PAUSED", 2, 403, "sending_paused"),
    ("PAIR_RATE_LIMITED", 3, 429, "sending_throttled"),
    ("DAILY_QUOTA_SPENT", 2, 429, "quota_exceeded"),
    ("CONTENT_MARKETING", 2, 403, "policy_violation"),
    ("INSTANCE_NOT_CONNECTED", 3, 503, "instance_not_connected"),
    ("IDEMPOTENCY_KEY_REUSED", 2, 409, "idempotency_key_reused"),
    ("WEBHOOK_RATE_LIMITED", 2, 429, "webhook_rate_limited"),
    ("FACTS_UNREADABLE", 3, 503, "service_unavailable"),
]


async def test_every_refusal_has_its_code(edge: Edge) -> None:
    for reason, verdict, http_status, code in REFUSALS:
        answer_with = refused(reasons_pb2.ReasonCode.Value(f"REASON_CODE_{reason}"), verdict)
        edge.core.on_submit = lambda _, answer_with=answer_with: answer_with  # type: ignore[misc]
        answer = await edge.webhook(PUBLIC_EXAMPLE)
        said = answer.json()
        assert (answer.status_code, said["error"], said["log_id"]) == (http_status, code, 42), reason
        assert said["success"] is False
        assert said["message"].endswith(".")
        assert (said["details"]["action"], said["details"]["risk_score"]) == ("block", 17)
        assert ("retry-after" in answer.headers) == (http_status in (429, 503)), reason


async def test_an_unanswered_item_and_an_item_error_are_503(edge: Edge) -> None:
    error = wire.ItemError(code=14, message="database away")
    error.retry_after.seconds = 3
    edge.core.on_submit = lambda _: error
    answer = await edge.webhook(PUBLIC_EXAMPLE)
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "3"


async def test_a_broken_stream_answers_503_and_heals(edge: Edge) -> None:
    edge.core.break_streams = True
    assert (await edge.webhook(PUBLIC_EXAMPLE)).status_code == 503
    edge.core.break_streams = False
    edge.core.on_submit = sent
    assert (await edge.webhook(PUBLIC_EXAMPLE)).status_code == 200


async def test_many_callers_at_once_are_each_answered_with_their_own(edge: Edge) -> None:
    def by_phone(request: wire.SubmitRequest) -> wire.SubmitResponse:
        answer = sent(request)
        answer.message.message_id = f"msg_{request.phone}"
        return answer

    edge.core.on_submit = by_phone
    bodies = [json.dumps({"event_type": "outbound_message", "to": str(n)}).encode() for n in range(200)]
    answers = await asyncio.gather(*(edge.webhook(body) for body in bodies))
    assert [answer.json()["message_id"] for answer in answers] == [f"msg_{n}" for n in range(200)]


async def test_a_trusted_proxy_speaks_for_its_callers() -> None:
    async with running_edge(trusted="127.0.0.1") as edge:
        inside = await edge.webhook(PUBLIC_EXAMPLE, "int_far", X_Forwarded_For="1.2.3.4, 203.0.113.7")
        outside = await edge.webhook(PUBLIC_EXAMPLE, "int_far", X_Forwarded_For="203.0.113.7, 1.2.3.4")
        assert (inside.status_code, outside.status_code) == (200, 401)


async def test_other_methods_and_addresses(edge: Edge) -> None:
    assert (await edge.client.get(WEBHOOK)).status_code == 405
    assert (await edge.client.put(WEBHOOK)).json()["error"] == "method_not_allowed"
    for path in (
        "/integrations/3cx/webhook",
        "/integrations/3cx/webhook/",
        f"{WEBHOOK}/more",
        "/integrations",
    ):
        answer = await edge.client.post(path, content=b"{}")
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")

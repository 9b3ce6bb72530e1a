"""The send API over HTTP: keys, fields, codes, and what became of a message."""

import json
from typing import Any

import httpx
import pytest
from integration.edge.edge_under_test import Edge, until
from integration.edge.scripted_core import LIVE_KEY, allowed, finding, refused

from hubgate.policy.v1 import events_pb2, reasons_pb2
from hubgate.policy.v1 import policy_service_pb2 as wire

MESSAGE: dict[str, Any] = {
    "instance_id": "support",
    "phone": "966500000000",
    "message": "Your appointment is confirmed.",
    "message_purpose": "transactional",
}


async def send(
    edge: Edge, body: dict[str, Any] | bytes = MESSAGE, key: str | None = LIVE_KEY, **headers: str
) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await edge.client.post("/api/send-message", content=raw, headers=sent)


async def test_a_message_is_submitted_under_its_key(edge: Edge) -> None:
    answer = await send(edge, Idempotency_Key="k-1")
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "status": "sent", "message_id": "msg_1", "log_id": 41}
    (submission,) = edge.core.submissions
    assert submission.api_key_id == f"key_{LIVE_KEY}"
    assert submission.integration_id == ""
    assert submission.event_type == wire.EVENT_TYPE_OUTBOUND_MESSAGE
    assert (submission.instance, submission.phone) == ("support", "966500000000")
    assert (submission.text, submission.purpose) == (MESSAGE["message"], "transactional")
    assert submission.idempotency_key == "k-1"
    await until(lambda: any(use.credential_id == f"key_{LIVE_KEY}" for use in edge.core.uses))


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "invalid_api_key"),
        ("wg_live_unknown", "invalid_api_key"),
        ("schlüssel", "invalid_api_key"),
        ("wg_live_2", "revoked_api_key"),
    ],
)
async def test_a_key_must_count(edge: Edge, key: str | None, code: str) -> None:
    headers = {} if key is None else {b"Authorization": f"Bearer {key}".encode()}
    answer = await edge.client.post("/api/send-message", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"
    await until(lambda: any(r.reason == code and r.surface == "send_api" for r in edge.core.refusals))


async def test_a_key_counts_only_as_a_bearer_token(edge: Edge) -> None:
    answer = await edge.client.post("/api/send-message", headers={"Authorization": f"Basic {LIVE_KEY}"})
    assert answer.json()["error"] == "invalid_api_key"


WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({"phone": None}, {"phone"}),
    ({"phone": "  "}, {"phone"}),
    ({"phone": ["+966500000000"]}, {"phone"}),
    ({"message": 5}, {"message"}),
    ({"message": ""}, {"message"}),
    ({"instance_id": {}}, {"instance_id"}),
    ({"message_purpose": 5}, {"message_purpose"}),
    ({"instance_id": "x" * 129, "phone": True}, {"instance_id", "phone"}),
]


async def test_wrong_fields_are_named(edge: Edge) -> None:
    for change, fields in WRONG:
        answer = await send(edge, MESSAGE | change)
        assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
        assert set(answer.json()["details"]["fields"]) == fields
    assert edge.core.submissions == []


async def test_phones_may_be_numbers_and_purposes_are_judged_by_the_policy_core(edge: Edge) -> None:
    await send(edge, MESSAGE | {"phone": 966500000000, "message_purpose": "marketing"})
    await send(edge, {name: value for name, value in MESSAGE.items() if name != "message_purpose"})
    first, second = edge.core.submissions
    assert (first.phone, first.purpose, second.purpose) == ("966500000000", "marketing", "")


@pytest.mark.parametrize(
    ("raw", "http_status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'{"phone":"\\ud800"}', 422, "validation_error"),
        (json.dumps(MESSAGE | {"message": "a\x00b"}).encode(), 400, "invalid_json"),
        (b'{"pad":"' + b"x" * 262_144 + b'"}', 413, "payload_too_large"),
    ],
)
async def test_bad_bodies(edge: Edge, raw: bytes, http_status: int, code: str) -> None:
    answer = await send(edge, raw)
    assert (answer.status_code, answer.json()["error"]) == (http_status, code)


REFUSALS = [
    ("INSTANCE_UNKNOWN", 3, 404, "invalid_instance"),
    ("INSTANCE_NOT_FOR_TEST_KEY", 2, 404, "invalid_instance"),
    ("PURPOSE_MISSING", 2, 422, "message_purpose_required"),
    ("PURPOSE_NOT_ALLOWED", 2, 422, "message_purpose_not_allowed"),
    ("INVALID_PHONE", 2, 422, "invalid_phone"),
    ("MESSAGE_TOO_LONG", 2, 422, "message_too_long"),
    ("WINDOW_EXPIRED", 2, 409, "conversation_window_closed"),
    ("RECIPIENT_SUPPRESSED", 2, 403, "recipient_suppressed"),
    ("ACCOUNT_PAUSED", 2, 403, "sending_paused"),
    ("MONTHLY_QUOTA_SPENT", 2, 429, "quota_exceeded"),
    ("INSTANCE_NOT_CONNECTED", 3, 503, "instance_not_connected"),
    ("IDEMPOTENCY_KEY_REUSED", 2, 409, "idempotency_key_reused"),
]


async def test_every_refusal_has_its_code(edge: Edge) -> None:
    for reason, verdict, http_status, code in REFUSALS:
        number = reasons_pb2.ReasonCode.Value(f"REASON_CODE_{reason}")
        answer_with = refused(number, verdict, [finding(number, verdict)])
        edge.core.on_submit = lambda _, answer_with=answer_with: answer_with  # type: ignore[misc]
        answer = await send(edge)
        assert (answer.status_code, answer.json()["error"]) == (http_status, code), reason
        assert answer.json()["log_id"] == 42


async def test_a_pending_and_a_failed_message(edge: Edge) -> None:
    def in_state(state: events_pb2.MessageState.ValueType) -> wire.SubmitResponse:
        message = events_pb2.Message(message_id="msg_1", state=state, error_code="131026")
        return wire.SubmitResponse(decision=allowed(41), message=message, duplicate=True)

    edge.core.on_submit = lambda _: in_state(events_pb2.MESSAGE_STATE_UNKNOWN)
    answer = await send(edge)
    assert (answer.status_code, answer.json()["status"], answer.json()["duplicate"]) == (202, "pending", True)
    edge.core.on_submit = lambda _: in_state(events_pb2.MESSAGE_STATE_REJECTED)
    answer = await send(edge)
    assert (answer.status_code, answer.json()["error"]) == (502, "gateway_send_failed")
    assert answer.json()["details"]["code"] == "131026"


async def test_what_became_of_a_message(edge: Edge) -> None:
    edge.core.messages["msg_1"] = events_pb2.Message(
        message_id="msg_1",
        account_id="acc_1",
        state=events_pb2.MESSAGE_STATE_DELIVERED,
        external_message_id="wa-1",
        log_id=41,
    )
    edge.core.messages["msg_2"] = events_pb2.Message(message_id="msg_2", account_id="acc_2")
    headers = {"Authorization": f"Bearer {LIVE_KEY}"}
    answer = await edge.client.get("/api/messages/msg_1", headers=headers)
    said = answer.json()
    assert (answer.status_code, said["success"]) == (200, True)
    assert (said["status"], said["state"], said["external_message_id"]) == ("sent", "delivered", "wa-1")
    for unreachable in ("msg_2", "msg_3"):
        answer = await edge.client.get(f"/api/messages/{unreachable}", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert (await edge.client.get("/api/messages/msg_1")).status_code == 401

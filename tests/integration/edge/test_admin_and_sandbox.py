"""The policy log for administrators, and the sandbox's phone and inbox."""

from typing import Any

import pytest
from integration.edge.edge_under_test import Edge, running_edge, until
from integration.edge.scripted_core import ADMIN_TOKEN, WEAK_TOKEN, finding, refused

from hubgate.policy.v1 import events_pb2, reasons_pb2, records_pb2
from hubgate.policy.v1 import policy_service_pb2 as wire

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
WEAK = {"Authorization": f"Bearer {WEAK_TOKEN}"}
STRANGER = {"Authorization": "Bearer nobody"}
PHONE = "/sandbox/ins_sandbox/messages"


def record(log_id: int) -> wire.DecisionRecord:
    spent = finding(reasons_pb2.REASON_CODE_DAILY_QUOTA_SPENT)
    spent.limit, spent.used = 100, 100
    spent.passes_at.seconds = 1_800_000_000
    decision = refused(reasons_pb2.REASON_CODE_DAILY_QUOTA_SPENT, findings=[spent]).decision
    decision.log_id, decision.decision_id = log_id, f"dec_{log_id}"
    return wire.DecisionRecord(
        decision=decision,
        account_id="acc_1",
        integration_id="int_1",
        phone_masked="+9665•••••000",
        event_type=wire.EVENT_TYPE_OUTBOUND_MESSAGE,
    )


async def test_decisions_are_listed_with_every_number(edge: Edge) -> None:
    edge.core.decisions = [record(3), record(2), record(1)]
    answer = await edge.client.get("/admin/decisions", params={"limit": 2}, headers=ADMIN)
    assert answer.status_code == 200
    first, second = answer.json()["decisions"]
    assert (first["log_id"], second["log_id"]) == (3, 2)
    assert (first["phone"], first["error"], first["action"]) == ("+9665•••••000", "quota_exceeded", "block")
    (finding,) = first["findings"]
    assert (finding["limit"], finding["used"]) == (100, 100)
    assert finding["passes_at"] == "2027-01-15T08:00:00.000Z"


async def test_one_decision_is_explained(edge: Edge) -> None:
    edge.core.decisions = [record(3)]
    answer = await edge.client.get("/admin/decisions/3", headers=ADMIN)
    assert (answer.status_code, answer.json()["decision"]["decision_id"]) == (200, "dec_3")
    for unknown in ("4", "abc", "٣", "9" * 30):
        answer = await edge.client.get(f"/admin/decisions/{unknown}", headers=ADMIN)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/admin/decisions", "/admin/decisions/3"])
async def test_the_callers_own_rights_count(edge: Edge, path: str) -> None:
    edge.core.decisions = [record(3)]
    for headers, http_status, code in (
        ({}, 401, "unauthenticated"),
        (STRANGER, 401, "unauthenticated"),
        (WEAK, 403, "permission_denied"),
    ):
        answer = await edge.client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (http_status, code)
    await until(lambda: {r.surface for r in edge.core.refusals} == {"admin_api"})


async def test_a_limit_must_be_sensible(edge: Edge) -> None:
    for limit in ("0", "-1", "1001", "many", "1.5", "٥"):
        answer = await edge.client.get("/admin/decisions", params={"limit": limit}, headers=ADMIN)
        assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")


async def test_the_sandboxs_customer_writes(edge: Edge) -> None:
    answer = await edge.client.post(PHONE, json={"from": "+966500000000", "text": "Where is my order?"})
    said = answer.json()
    assert (answer.status_code, said["success"]) == (200, True)
    assert said["message_id"] == "msg_in_1_0"
    (request,) = edge.core.recorded
    (event,) = request.events
    assert request.instance_id == "ins_sandbox"
    assert (event.message.text, event.person.phone) == ("Where is my order?", "+966500000000")
    assert event.message.external_message_id == said["external_message_id"]
    assert event.chat == events_pb2.CHAT_KIND_DIRECT
    assert event.HasField("provider_time")
    again = await edge.client.post(PHONE, json={"from": "+966500000000", "text": "Hello?"})
    assert again.json()["external_message_id"] != said["external_message_id"]
    assert edge.core.recorded[1].events[0].event_key != event.event_key


WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({"text": "x"}, {"from"}),
    ({"from": "nobody", "text": "x"}, {"from"}),
    ({"from": "+966500000000"}, {"text"}),
    ({"from": "+966500000000", "text": " "}, {"text"}),
    ({}, {"from", "text"}),
]


async def test_the_sandbox_names_wrong_fields(edge: Edge) -> None:
    for body, fields in WRONG:
        answer = await edge.client.post(PHONE, json=body)
        assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
        assert set(answer.json()["details"]["fields"]) == fields


async def test_the_phone_shows_both_directions_oldest_first(edge: Edge) -> None:
    person = events_pb2.PersonRef(phone="+966500000000")
    for name, outbound, state in (
        ("msg_2", True, events_pb2.MESSAGE_STATE_READ),
        ("msg_1", False, events_pb2.MESSAGE_STATE_RECEIVED),
    ):
        edge.core.messages[name] = events_pb2.Message(
            message_id=name, outbound=outbound, state=state, text=f"text of {name}", person=person
        )
    for query in ("", "?person=%2B966500000000", "?person=+966500000000"):
        answer = await edge.client.get(PHONE + query)
        first, second = answer.json()["messages"]
        assert (first["message_id"], first["direction"], first["state"]) == ("msg_1", "inbound", "received")
        assert (second["direction"], second["state"], second["text"]) == ("outbound", "read", "text of msg_2")
    asked = [request.person.phone for request in edge.core.list_requests]
    assert asked == ["", "+966500000000", "+966500000000"]
    assert all(request.reveal and request.instance_id == "ins_sandbox" for request in edge.core.list_requests)
    assert (await edge.client.get(f"{PHONE}?person=nobody")).status_code == 422


async def test_the_inbox_shows_what_was_forwarded_to_3cx(edge: Edge) -> None:
    edge.core.deliveries = [
        records_pb2.Delivery(
            delivery_id="dlv_2",
            integration_id="int_1",
            event_name="message.received",
            body_json='{"a": 1}',
            state=records_pb2.DELIVERY_STATE_SENT,
        ),
        records_pb2.Delivery(delivery_id="dlv_1", webhook_id="whk_1", event_name="message.received"),
    ]
    answer = await edge.client.get("/sandbox/ins_sandbox/threecx")
    (event,) = answer.json()["events"]
    assert (event["delivery_id"], event["body"], event["state"]) == ("dlv_2", {"a": 1}, "sent")


async def test_only_sandbox_instances_have_a_sandbox(edge: Edge) -> None:
    for instance in ("ins_evolution", "ins_nobody"):
        for path in (f"/sandbox/{instance}/messages", f"/sandbox/{instance}/threecx"):
            assert (await edge.client.get(path)).status_code == 404
        answer = await edge.client.post(f"/sandbox/{instance}/messages", json={"from": "+1", "text": "x"})
        assert answer.status_code == 404
    assert edge.core.recorded == []


async def test_a_closed_sandbox_is_not_there() -> None:
    async with running_edge(sandbox="off") as edge:
        assert (await edge.client.get(PHONE, headers=ADMIN)).status_code == 404
        body = {"from": "+966500000000", "text": "x"}
        assert (await edge.client.post(PHONE, json=body, headers=ADMIN)).status_code == 404
        assert edge.core.recorded == []


async def test_a_guarded_sandbox_asks_for_the_admin_token() -> None:
    async with running_edge(sandbox="admin") as edge:
        body = {"from": "+966500000000", "text": "x"}
        for headers, expected in (({}, 401), (STRANGER, 401), (WEAK, 403), (ADMIN, 200)):
            assert (await edge.client.post(PHONE, json=body, headers=headers)).status_code == expected
            assert (await edge.client.get(PHONE, headers=headers)).status_code == expected
            assert (
                await edge.client.get("/sandbox/ins_sandbox/threecx", headers=headers)
            ).status_code == expected
        assert len(edge.core.recorded) == 1

"""The CRM template's doors over HTTP: reports at the webhook, the lookup, and the template itself, under bad input."""

import hmac
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from google.protobuf.duration_pb2 import Duration
from integration.edge.edge_under_test import SECRET_HEADER, Edge, running_edge, until
from integration.edge.scripted_core import ADMIN_TOKEN, SECRET, WEAK_TOKEN

from hubgate.policy.v1 import policy_service_pb2 as wire
from hubgate.policy.v1 import reasons_pb2
from peers.crm_schema import faults

GENERIC = b'{"success": false, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}'
LOOKUP = "/integrations/3cx/crm/int_1/lookup"
TEMPLATE = "/integrations/3cx/int_1/crm-template.xml"
PROOF = {SECRET_HEADER: SECRET}
PHONE = "+966500000001"


def call(**fields: Any) -> bytes:
    body = {
        "source": "3cx_crm_call",
        "call_type": "Missed",
        "customer_phone": PHONE,
        "agent_extension": "101",
    }
    return json.dumps(body | fields).encode()


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- reports ------------------------------------------------------------------------------------------------


async def test_a_report_reaches_the_policy_core_as_an_event_with_a_report(edge: Edge) -> None:
    start = now()
    assert (await edge.webhook(call(call_start=start, queue="800"))).status_code == 200
    (submission,) = edge.core.submissions
    assert submission.event_type == wire.EVENT_TYPE_MISSED_CALL
    assert submission.report.call == wire.REPORTED_CALL_MISSED
    assert submission.report.started_at.ToJsonString() == start
    assert (submission.phone, submission.agent_extension, submission.queue) == (PHONE, "101", "800")
    assert (submission.idempotency_key, submission.call_time) == ("", "")


async def test_a_chat_leaves_its_text_at_the_door(edge: Edge) -> None:
    chat = {
        "source": "3cx_crm_chat",
        "customer_phone": PHONE,
        "transcript": "zebra-crossing",
        "message": "zebra-crossing",
    }
    assert (await edge.webhook(json.dumps(chat).encode())).status_code == 200
    (submission,) = edge.core.submissions
    assert submission.event_type == wire.EVENT_TYPE_CHAT_ENDED and submission.HasField("report")
    assert b"zebra-crossing" not in submission.SerializeToString()


async def test_other_sources_are_the_json_webhooks(edge: Edge) -> None:
    for source in ("crm", "", None, 5, ["3cx_crm_call"], {"a": 1}):
        body = {"source": source, "event_type": "missed_call", "caller": PHONE, "call_type": "Inbound"}
        assert (await edge.webhook(json.dumps(body).encode())).status_code == 200
    assert [each.HasField("report") for each in edge.core.submissions] == [False] * 6
    assert {each.event_type for each in edge.core.submissions} == {wire.EVENT_TYPE_MISSED_CALL}


async def test_a_date_that_nobody_understands_is_told_to_administrators(edge: Edge) -> None:
    assert (await edge.webhook(call(call_start_raw="26/07/1447 09:30:12"))).status_code == 200
    (submission,) = edge.core.submissions
    assert not submission.report.HasField("started_at")
    await until(lambda: any(each.reason == "unreadable_date" for each in edge.core.refusals))


@pytest.mark.parametrize("kind", ["Voicemail", "", None, 7, [], "x" * 5_000, "[CallType]"])
async def test_an_unknown_kind_of_call_is_left_to_the_policy_core(edge: Edge, kind: Any) -> None:
    assert (await edge.webhook(call(call_type=kind))).status_code == 200
    (submission,) = edge.core.submissions
    assert submission.event_type == wire.EVENT_TYPE_UNSPECIFIED
    assert len(submission.event_type_text) <= 64 and submission.HasField("report")


@pytest.mark.parametrize("integration", ["int_2", "int_off", "int_far", "int_signed"])
async def test_reports_prove_themselves_like_everything_else(edge: Edge, integration: str) -> None:
    answer = await edge.webhook(call(), integration)
    assert (answer.status_code, answer.content) == (401, GENERIC)
    assert edge.core.submissions == []


# --- the lookup ---------------------------------------------------------------------------------------------


async def look_up(edge: Edge, body: Any, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await edge.client.post(LOOKUP, content=raw, headers=PROOF | headers)


async def test_somebody_is_found(edge: Edge) -> None:
    contact = wire.Contact(person_id="per_1", name="سارة", phone=PHONE)
    edge.core.looked_up.contact.CopyFrom(contact)
    for written in (PHONE, " 966500000001", "0500000001", "٠٥٠٠٠٠٠٠٠١"):
        answer = await look_up(edge, {"number": written})
        assert answer.status_code == 200
        assert answer.json() == {
            "contacts": [
                {"id": "per_1", "name": "سارة", "phone": written, "contact_url": "https://wa.me/966500000001"}
            ]
        }
        assert edge.core.look_ups[-1].number == written
    edge.core.looked_up.contact.name = ""
    assert (await look_up(edge, {"number": PHONE})).json()["contacts"][0]["name"] == PHONE


@pytest.mark.parametrize("number", [PHONE, "", None, [], {}, True, "x" * 65, "<script>", 966500000001])
async def test_nobody_is_found(edge: Edge, number: Any) -> None:
    answer = await look_up(edge, {"number": number})
    assert (answer.status_code, answer.json()) == (200, {"contacts": []})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"number": "a"',
        b'{"number": "\xff"}',
        b'{"number": "a", "number": "b"}',
        b'{"number": "\\u0000"}',
    ],
)
async def test_a_body_that_cannot_be_read_is_counted_and_told(edge: Edge, body: bytes) -> None:
    answer = await look_up(edge, body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_json")
    assert [each.number for each in edge.core.look_ups] == [""]
    assert edge.core.admissions == []


async def test_a_body_that_is_too_large_is_counted_and_told(edge: Edge) -> None:
    answer = await look_up(edge, b'{"number": "' + b"1" * 300_000 + b'"}')
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert len(edge.core.look_ups) == 1


async def test_too_many_lookups(edge: Edge) -> None:
    edge.core.looked_up = wire.LookUpContactResponse(
        reason=reasons_pb2.REASON_CODE_WEBHOOK_RATE_LIMITED, retry_after=Duration(seconds=7)
    )
    for body in (b'{"number": "1"}', b"nonsense"):
        answer = await look_up(edge, body)
        assert (answer.status_code, answer.json()["error"]) == (429, "webhook_rate_limited")
        assert answer.headers["retry-after"] == "7"


async def test_an_account_without_the_module_is_told_so(edge: Edge) -> None:
    edge.core.looked_up = wire.LookUpContactResponse(reason=reasons_pb2.REASON_CODE_MODULE_NOT_ENABLED)
    answer = await look_up(edge, {"number": PHONE})
    assert (answer.status_code, answer.json()["error"]) == (403, "module_not_enabled")


async def test_a_signed_lookup_is_claimed_and_a_wrong_signature_refused(edge: Edge) -> None:
    body, stamp = b'{"number": "1"}', datetime.now(UTC).isoformat()
    digest = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, sha256).hexdigest()
    signed = {"X-WhatsApp-Gateway-Timestamp": stamp, "X-WhatsApp-Gateway-Signature": digest}
    assert (await look_up(edge, body, **signed)).status_code == 200
    assert len(edge.core.look_ups[0].signature.digest) == 32
    wrong = await look_up(edge, b'{"number": "2"}', **signed)
    assert (wrong.status_code, wrong.content) == (401, GENERIC)
    edge.core.looked_up = wire.LookUpContactResponse(reason=reasons_pb2.REASON_CODE_SIGNATURE_REPLAYED)
    again = await look_up(edge, body, **signed)
    assert (again.status_code, again.content) == (401, GENERIC)


async def test_strangers_hear_the_same_everywhere(edge: Edge) -> None:
    answers = []
    for integration in ("int_1", "int_2", "int_off", "int_far", "int_signed", "%2e%2e", "a" * 200):
        wrong = SECRET if integration not in ("int_1",) else "wrong"
        for path in (
            f"/integrations/3cx/crm/{integration}/lookup",
            f"/integrations/3cx/{integration}/crm-template.xml",
        ):
            method = "POST" if path.endswith("lookup") else "GET"
            answers.append(await edge.client.request(method, path, headers={SECRET_HEADER: wrong}))
            answers.append(await edge.client.request(method, path))
    assert {(each.status_code, each.content) for each in answers} == {(401, GENERIC)}
    assert len({tuple(sorted(set(each.headers) - {"date"})) for each in answers}) == 1
    assert edge.core.look_ups == []
    await until(
        lambda: {"threecx_lookup", "threecx_template"} <= {each.surface for each in edge.core.refusals}
    )


async def test_other_methods_are_not_taken(edge: Edge) -> None:
    assert (await edge.client.get(LOOKUP, headers=PROOF)).status_code == 405
    assert (await edge.client.post(TEMPLATE, headers=PROOF)).status_code == 405


# --- the template -------------------------------------------------------------------------------------------


def filled(xml: bytes) -> dict[str, str]:
    return {each.attrib["Name"]: each.attrib["Default"] for each in ET.fromstring(xml).iter("Parameter")}


async def test_the_template_names_the_address_it_was_asked_at(edge: Edge) -> None:
    answer = await edge.client.get(TEMPLATE, headers=PROOF)
    assert answer.status_code == 200 and faults(answer.content) == []
    assert answer.headers["content-type"] == "application/xml; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert filled(answer.content)["GatewayUrl"] == f"http://127.0.0.1:{edge.port}"
    behind = {"Host": "gateway.example.com", "X-Forwarded-Proto": "https"}
    proxied = await edge.client.get(TEMPLATE, headers=PROOF | behind)
    assert filled(proxied.content)["GatewayUrl"] == "https://gateway.example.com"
    odd = await edge.client.get(TEMPLATE, headers=PROOF | {"Host": "gate_way"})
    assert filled(odd.content)["GatewayUrl"] == ""
    assert SECRET.encode() not in answer.content + proxied.content + odd.content


async def test_the_configured_address_goes_before() -> None:
    async with running_edge(public_url="https://gateway.example.com/hub") as edge:
        answer = await edge.client.get(TEMPLATE, headers=PROOF | {"Host": "elsewhere.example.com"})
        assert filled(answer.content)["GatewayUrl"] == "https://gateway.example.com/hub"


async def test_an_administrator_may_have_it_without_the_secret(edge: Edge) -> None:
    admin = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    assert (await edge.client.get(TEMPLATE, headers=admin)).status_code == 200
    for headers in (
        {"Authorization": f"Bearer {WEAK_TOKEN}"},
        {"Authorization": "Bearer none"},
        admin | {SECRET_HEADER: "x"},
    ):
        answer = await edge.client.get(TEMPLATE, headers=headers)
        assert (answer.status_code, answer.content) == (401, GENERIC)
    nobodys = await edge.client.get("/integrations/3cx/int_of_nobody/crm-template.xml", headers=admin)
    assert (nobodys.status_code, nobodys.content) == (401, GENERIC)


@pytest.mark.parametrize(("language", "status"), [("ar", 200), ("en", 200), ("xx", 400), ("", 400)])
async def test_languages(edge: Edge, language: str, status: int) -> None:
    answer = await edge.client.get(TEMPLATE, params={"language": language}, headers=PROOF)
    assert answer.status_code == status

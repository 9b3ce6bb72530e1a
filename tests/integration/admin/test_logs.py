"""The logs through the AdminService: decisions, messages, deliveries, the security log, and replays."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import insert, select

from hubgate.policy.v1 import accounts_pb2, events_pb2, reasons_pb2
from hubgate.policy.v1 import records_pb2 as pb
from policycore.model import Finding
from policycore.reasons import CheckName, ReasonCode, Verdict
from policycore.store.findings import encode_findings
from policycore.store.log_queries import read_decision
from policycore.store.persons import find_or_create_person
from policycore.store.tables import decisions, instances, messages, outbox, refusals
from support.admin_core import AdminCore, Caller, error_info

NOW = datetime.now(UTC).replace(microsecond=0)
PHONE = "+966500000000"


async def refused(caller: Caller, rpc: str, request: Any) -> tuple[str, str, str]:
    """Code, reason and field a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller(rpc, request)
    return error_info(caught.value)


async def fill(core: AdminCore) -> tuple[str, str]:
    """Two accounts; the first has one instance, five decisions, five messages and four deliveries."""
    ids = []
    for name in ("Demo", "Other"):
        request = accounts_pb2.CreateAccountRequest(account=accounts_pb2.Account(name=name))
        ids.append((await core.admin("CreateAccount", request)).account.account_id)
    async with core.database.transaction() as connection:
        person_id = await find_or_create_person(connection, ids[0], "phone", PHONE, NOW)
        await connection.execute(insert(instances).values(**_instance(ids[0])))
        for number in range(1, 6):
            await connection.execute(insert(decisions).values(**_decision(number, ids[0], person_id)))
            await connection.execute(insert(messages).values(**_message(number, ids[0], person_id)))
        for number, state in enumerate(("pending", "sent", "failed", "blocked"), 1):
            await connection.execute(insert(outbox).values(**_delivery(number, state, ids[0])))
        for minute in range(3):
            await connection.execute(insert(refusals).values(**_refusal(minute)))
    return ids[0], ids[1]


def _instance(account_id: str) -> dict[str, Any]:
    return {
        "id": "ins_1", "account_id": account_id, "name": "demo", "backend": "sandbox", "state": "open",
        "state_changed_at": NOW, "created_at": NOW,
    }  # fmt: skip


def _decision(number: int, account_id: str, person_id: str) -> dict[str, Any]:
    allowed = number % 2 == 1
    reason = ReasonCode.ALLOWED if allowed else ReasonCode.WINDOW_EXPIRED
    verdict = Verdict.ALLOW if allowed else Verdict.DENY
    finding = Finding(CheckName.WINDOW, verdict, reason, "Sentence.", passes_at=NOW, limit=3, used=0)
    return {
        "log_id": number, "id": f"dec_{number}", "decided_at": NOW, "account_id": account_id,
        "integration_id": "int_1", "instance_id": "ins_1", "person_id": person_id, "caller": "edge",
        "source": "threecx", "event_type": 2, "purpose": "support", "phone_masked": "+9665•••••000",
        "conversation_id": "3cx-1", "message_id": f"msg_{number}" if allowed else None,
        "verdict": int(verdict), "reason": int(reason), "action": 1 if allowed else 4, "risk_score": 7,
        "rules_version": 1, "explanation": "Sentence.", "findings_json": encode_findings([finding]),
        "inputs_json": '{"facts": {}}',
    }  # fmt: skip


def _message(number: int, account_id: str, person_id: str) -> dict[str, Any]:
    return {
        "id": f"msg_{number}", "account_id": account_id, "instance_id": "ins_1", "person_id": person_id,
        "outbound": True, "state": 3, "kind": 1, "text": f"text {number}", "to_phone": PHONE,
        "created_at": NOW + timedelta(seconds=number // 2), "updated_at": NOW,
    }  # fmt: skip


def _delivery(number: int, state: str, account_id: str) -> dict[str, Any]:
    return {
        "id": f"dlv_{number}", "account_id": account_id, "integration_id": "int_1", "instance_id": "ins_1",
        "event_name": "message.received", "body": '{"message_text": "secret words"}', "state": state,
        "attempts": 3, "next_attempt_at": NOW, "created_at": NOW,
    }  # fmt: skip


def _refusal(minute: int) -> dict[str, Any]:
    return {
        "minute": NOW + timedelta(minutes=minute), "surface": "threecx_webhook", "target": "int_1",
        "reason": "wrong_secret", "source_address": "192.0.2.1", "count": minute + 1,
    }  # fmt: skip


async def every_page(caller: Caller, rpc: str, request: Any, field: str) -> list[Any]:
    """All rows of a list, two at a time."""
    rows: list[Any] = []
    request.page_size = 2
    for _ in range(20):
        page = await caller(rpc, request)
        rows += getattr(page, field)
        assert len(getattr(page, field)) <= 2
        if not page.next_page_token:
            return rows
        request.page_token = page.next_page_token
    raise AssertionError("the list does not end")


async def test_decisions_newest_first_with_their_findings(core: AdminCore) -> None:
    account_id, other = await fill(core)
    rows = await every_page(core.admin, "ListDecisions", pb.ListDecisionsRequest(), "records")
    assert [row.decision.log_id for row in rows] == [5, 4, 3, 2, 1]
    newest = rows[0]
    assert newest.message_state == events_pb2.MESSAGE_STATE_ACCEPTED
    assert (newest.phone_masked, newest.caller, newest.purpose) == ("+9665•••••000", "edge", "support")
    assert newest.decision.findings[0].check == reasons_pb2.CHECK_NAME_WINDOW
    assert (newest.decision.findings[0].limit, newest.decision.risk_score) == (3, 7)
    assert newest.decision.decided_at.seconds == int(NOW.timestamp())

    async def numbers(**values: Any) -> list[int]:
        request = pb.ListDecisionsRequest(**values)
        return [row.decision.log_id for row in (await core.admin("ListDecisions", request)).records]

    assert await numbers(reason=reasons_pb2.REASON_CODE_WINDOW_EXPIRED) == [4, 2]
    assert await numbers(verdict=reasons_pb2.VERDICT_ALLOW) == [5, 3, 1]
    assert await numbers(account_id=other) == []
    assert await numbers(integration_id="int_1", instance_id="ins_1", account_id=account_id) == [
        5,
        4,
        3,
        2,
        1,
    ]
    person = events_pb2.PersonRef(phone=PHONE)
    assert await numbers(account_id=account_id, person=person) == [5, 4, 3, 2, 1]
    stranger = events_pb2.PersonRef(phone="+966511111111")
    assert await numbers(account_id=account_id, person=stranger) == []
    bare = pb.ListDecisionsRequest(person=person)
    assert (await refused(core.admin, "ListDecisions", bare))[2] == "account_id"


async def test_one_decision_by_number_and_by_id(core: AdminCore) -> None:
    await fill(core)
    async with core.database.reading() as connection:
        by_number = await read_decision(connection, log_id=4)
        by_id = await read_decision(connection, decision_id="dec_4")
        assert await read_decision(connection, log_id=99) is None
    assert by_number is not None
    assert by_number == by_id
    assert by_number.decision.findings[0].passes_at == NOW
    assert by_number.message_state is None


async def test_messages_show_texts_only_to_those_who_may_see_them(core: AdminCore) -> None:
    account_id, other = await fill(core)
    rows = await every_page(
        core.admin, "ListMessages", pb.ListMessagesRequest(instance_id="ins_1"), "messages"
    )
    # Two were made in the same second: the id decides, and none is lost between pages.
    assert [row.message_id for row in rows] == ["msg_5", "msg_4", "msg_3", "msg_2", "msg_1"]
    assert {row.text for row in rows} == {""}
    assert {row.person.phone for row in rows} == {"+9665•••••000"}
    seen = await core.admin("ListMessages", pb.ListMessagesRequest(account_id=account_id, reveal=True))
    assert seen.messages[0].text == "text 5"
    assert seen.messages[0].person.phone == PHONE
    made = await core.admin(
        "CreateServiceToken",
        accounts_pb2.CreateServiceTokenRequest(name="crm", rights=["read"], account_ids=[account_id]),
    )
    await core.snapshot()
    crm = core.caller(made.token)
    reveal = pb.ListMessagesRequest(account_id=account_id, reveal=True)
    assert (await refused(crm, "ListMessages", reveal))[0] == "PERMISSION_DENIED"
    foreign = pb.ListMessagesRequest(account_id=other)
    assert (await refused(crm, "ListMessages", foreign))[0] == "PERMISSION_DENIED"
    assert (await refused(crm, "ListMessages", pb.ListMessagesRequest()))[2] == "account_id"
    nowhere = pb.ListMessagesRequest(instance_id="ins_none")
    assert (await refused(crm, "ListMessages", nowhere))[0] == "NOT_FOUND"


async def test_deliveries_and_their_bodies(core: AdminCore) -> None:
    account_id, _ = await fill(core)
    rows = await every_page(core.admin, "ListDeliveries", pb.ListDeliveriesRequest(), "deliveries")
    assert [row.delivery_id for row in rows] == ["dlv_4", "dlv_3", "dlv_2", "dlv_1"]
    assert {row.body_json for row in rows} == {""}
    request = pb.ListDeliveriesRequest(account_id=account_id, state=pb.DELIVERY_STATE_FAILED, reveal=True)
    failed = (await core.admin("ListDeliveries", request)).deliveries
    assert [row.delivery_id for row in failed] == ["dlv_3"]
    assert "secret words" in failed[0].body_json


@pytest.mark.parametrize(("number", "possible"), [(1, False), (2, False), (3, True), (4, True)])
async def test_only_what_failed_is_replayed(core: AdminCore, number: int, possible: bool) -> None:
    await fill(core)
    request = pb.ReplayDeliveryRequest(delivery_id=f"dlv_{number}")
    if not possible:
        assert (await refused(core.admin, "ReplayDelivery", request))[:2] == (
            "FAILED_PRECONDITION",
            "NOT_REPLAYABLE",
        )
        assert "outbox" not in core.woken
        return
    replayed = (await core.admin("ReplayDelivery", request)).delivery
    assert (replayed.state, replayed.attempts) == (pb.DELIVERY_STATE_PENDING, 0)
    assert core.woken[-1] == "outbox"
    log = await core.admin("ListAuditEntries", pb.ListAuditEntriesRequest(page_size=1))
    assert (log.entries[0].act, log.entries[0].target) == ("ReplayDelivery", f"dlv_{number}")
    assert (await refused(core.admin, "ReplayDelivery", request))[0] == "FAILED_PRECONDITION"


@pytest.mark.parametrize(("number", "possible"), [(1, True), (2, False), (3, True), (4, True)])
async def test_what_was_not_delivered_is_discarded_and_can_be_had_back(
    core: AdminCore, number: int, possible: bool
) -> None:
    await fill(core)
    request = pb.DiscardDeliveryRequest(delivery_id=f"dlv_{number}", reason="the order was cancelled")
    if not possible:
        assert (await refused(core.admin, "DiscardDelivery", request))[:2] == (
            "FAILED_PRECONDITION",
            "NOT_DISCARDABLE",
        )
        return
    discarded = (await core.admin("DiscardDelivery", request)).delivery
    assert discarded.state == pb.DELIVERY_STATE_DISCARDED
    assert discarded.HasField("settled_at")
    assert not discarded.HasField("next_attempt_at")
    assert core.woken[-1] == "outbox"
    log = await core.admin("ListAuditEntries", pb.ListAuditEntriesRequest(page_size=1))
    assert (log.entries[0].act, log.entries[0].target) == ("DiscardDelivery", f"dlv_{number}")
    assert "the order was cancelled" in log.entries[0].detail_json
    assert (await refused(core.admin, "DiscardDelivery", request))[1] == "NOT_DISCARDABLE"
    again = await core.admin("ReplayDelivery", pb.ReplayDeliveryRequest(delivery_id=f"dlv_{number}"))
    assert again.delivery.state == pb.DELIVERY_STATE_PENDING


async def test_deliveries_of_others_are_neither_replayed_nor_discarded(core: AdminCore) -> None:
    _, other = await fill(core)
    made = await core.admin(
        "CreateServiceToken",
        accounts_pb2.CreateServiceTokenRequest(name="other", rights=["admin"], account_ids=[other]),
    )
    await core.snapshot()
    stranger = core.caller(made.token)
    for rpc, request in (
        ("ReplayDelivery", pb.ReplayDeliveryRequest(delivery_id="dlv_3")),
        ("DiscardDelivery", pb.DiscardDeliveryRequest(delivery_id="dlv_3")),
    ):
        assert (await refused(stranger, rpc, request))[0] == "NOT_FOUND"
    shown = await stranger("ListDeliveries", pb.ListDeliveriesRequest(delivery_id="dlv_3"))
    assert not shown.deliveries
    shown = await core.admin("ListDeliveries", pb.ListDeliveriesRequest(delivery_id="dlv_3"))
    assert [each.delivery_id for each in shown.deliveries] == ["dlv_3"]


async def test_a_reason_that_is_too_long_is_refused(sqlite_core: AdminCore) -> None:
    await fill(sqlite_core)
    request = pb.DiscardDeliveryRequest(delivery_id="dlv_3", reason="x" * 501)
    assert (await refused(sqlite_core.admin, "DiscardDelivery", request))[::2] == (
        "INVALID_ARGUMENT",
        "reason",
    )


async def test_an_old_failure_is_not_replayed(sqlite_core: AdminCore) -> None:
    account_id, _ = await fill(sqlite_core)
    old = _delivery(9, "failed", account_id) | {"created_at": NOW - timedelta(days=31)}
    async with sqlite_core.database.transaction() as connection:
        await connection.execute(insert(outbox).values(**old))
    request = pb.ReplayDeliveryRequest(delivery_id="dlv_9")
    assert (await refused(sqlite_core.admin, "ReplayDelivery", request))[0] == "FAILED_PRECONDITION"
    async with sqlite_core.database.reading() as connection:
        state = (await connection.execute(select(outbox.c.state).where(outbox.c.id == "dlv_9"))).scalar_one()
    assert state == "failed"


async def test_the_security_log(core: AdminCore) -> None:
    await fill(core)
    rows = await every_page(core.admin, "ListRefusals", pb.ListRefusalsRequest(target="int_1"), "refusals")
    assert [row.count for row in rows] == [3, 2, 1]
    assert rows[0].reason == "wrong_secret"
    none = await core.admin("ListRefusals", pb.ListRefusalsRequest(target="int_2"))
    assert not none.refusals


async def test_the_state_of_the_system(core: AdminCore) -> None:
    await fill(core)
    state = await core.admin("GetSystemState", pb.GetSystemStateRequest())
    assert [(part.name, part.healthy) for part in state.components] == [("database", True)]
    assert [instance.name for instance in state.instances] == ["demo"]
    assert state.schema_revision == "0002"

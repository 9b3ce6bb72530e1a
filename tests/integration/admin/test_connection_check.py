"""Walking through a connection by the AdminService and by `hubgate doctor --integration`."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from integration.admin.test_instances_and_integrations import (
    make_account,
    make_instance,
    make_integration,
    refused,
)
from sqlalchemy import insert, update

from cli.main import main
from hubgate.policy.v1 import accounts_pb2, integrations_pb2
from hubgate.policy.v1 import connection_check_pb2 as pb
from policycore.ports import PostOutcome, PostResult
from policycore.store.tables import instances, integration_secrets, refusals, windows
from support.admin_core import ADMIN_TOKEN, AdminCore

PLACE = "https://desk.example.com/events"
PUBLIC = "https://gw.example.com"


async def _connection(core: AdminCore) -> tuple[str, str]:
    """An integration with an endpoint, and its instance."""
    account_id = await make_account(core)
    instance = await make_instance(core, account_id)
    made = await make_integration(
        core,
        account_id,
        instance_ids=[instance.instance_id],
        destination_kind=integrations_pb2.DESTINATION_KIND_THREECX_JSON,
        destination_url=PLACE,
    )
    await core.snapshot()
    return made.integration.integration_id, instance.instance_id


async def _walk(core: AdminCore, integration_id: str, **fields: Any) -> Any:
    request = pb.CheckIntegrationRequest(integration_id=integration_id, **fields)
    return await core.admin("CheckIntegration", request)


def _states(found: Any) -> dict[str, int]:
    return {step.name: step.state for step in found.steps}


async def test_from_a_new_connection_to_one_that_works(core: AdminCore) -> None:
    integration_id, instance_id = await _connection(core)
    found = await _walk(core, integration_id)
    states = _states(found)
    assert not found.healthy and found.problem
    assert states["webhook_secret"] == states["open_window"] == states["switches"] == pb.CHECK_STATE_FAILED
    assert states["public_address"] == states["message_to_customer"] == pb.CHECK_STATE_SKIPPED
    assert states["destination_answer"] == states["default_instance"] == pb.CHECK_STATE_OK
    now = datetime.now(UTC)
    async with core.database.transaction() as connection:
        await connection.execute(update(integration_secrets).values(last_used_at=now))
        await connection.execute(
            insert(windows).values(
                instance_id=instance_id,
                person_id="per_1",
                account_id="acc",
                last_inbound_at=now,
                conversation_id="cnv_1",
            )
        )
    request = integrations_pb2.UpdateIntegrationRequest(
        integration=integrations_pb2.Integration(integration_id=integration_id, inbound_enabled=True),
        fields=["inbound_enabled"],
    )
    await core.admin("UpdateIntegration", request)
    await core.snapshot()
    found = await _walk(core, integration_id, public_url=PUBLIC)
    assert found.healthy and not found.problem, found
    assert core.ways.reached[-2:] in ([PUBLIC, PLACE], [PLACE, PUBLIC])
    assert not core.ways.posted


async def test_a_test_event_is_signed_and_posted_only_on_request(core: AdminCore) -> None:
    integration_id, _ = await _connection(core)
    core.ways.answer = PostResult(PostOutcome.RETRY, 500, None, "It failed.")
    found = await _walk(core, integration_id, send_test=True, language="ar")
    step = next(each for each in found.steps if each.name == "message_to_agents")
    assert step.state == pb.CHECK_STATE_FAILED and "500" in step.sentence and "الوجهة" in step.sentence
    (posting,) = core.ways.posted
    assert (posting.url, posting.event_name) == (PLACE, "connection.test")
    assert posting.signing_secret and json.loads(posting.body)["event"] == "connection.test"


async def test_who_was_turned_away_is_said(core: AdminCore) -> None:
    integration_id, _ = await _connection(core)
    async with core.database.transaction() as connection:
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        for reason, count in (("query_token_off", 4), ("wrong_secret", 1)):
            await connection.execute(
                insert(refusals).values(
                    minute=minute,
                    surface="threecx_dialect",
                    target=integration_id,
                    reason=reason,
                    source_address="192.0.2.7",
                    count=count,
                )
            )
    found = await _walk(core, integration_id)
    step = next(each for each in found.steps if each.name == "turned_away")
    assert step.state == pb.CHECK_STATE_FAILED
    assert "192.0.2.7" in step.sentence and "--query-token" in step.sentence and "4 requests" in step.sentence


async def test_bad_calls_are_refused(core: AdminCore) -> None:
    integration_id, _ = await _connection(core)
    code = await refused(core, "CheckIntegration", pb.CheckIntegrationRequest(integration_id="int_no"))
    assert code[0] == "NOT_FOUND"
    for field, value in (("public_url", "gw.example.com"), ("language", "tlh")):
        request = pb.CheckIntegrationRequest(integration_id=integration_id, **{field: value})  # type: ignore[arg-type]
        assert await refused(core, "CheckIntegration", request) == ("INVALID_ARGUMENT", "MALFORMED", field)
    tried = pb.CheckIntegrationRequest(integration_id=integration_id, test_phone="+966500000001")
    assert (await refused(core, "CheckIntegration", tried))[0] == "UNAVAILABLE"


async def test_another_accounts_connection_does_not_exist(core: AdminCore) -> None:
    integration_id, _ = await _connection(core)
    other = await make_account(core, "Other")
    request = accounts_pb2.CreateServiceTokenRequest(
        name="other", rights=["CheckIntegration"], account_ids=[other]
    )
    token = (await core.admin("CreateServiceToken", request)).token
    await core.snapshot()
    stranger = core.caller(token)
    with pytest.raises(Exception, match="NOT_FOUND"):
        await stranger("CheckIntegration", pb.CheckIntegrationRequest(integration_id=integration_id))
    assert core.ways.reached == []


async def test_doctor_walks_through_a_connection(
    sqlite_core: AdminCore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setenv("HUBGATE_POLICYCORE_ADDRESS", sqlite_core.address)
    monkeypatch.setenv("HUBGATE_TOKEN", ADMIN_TOKEN)
    monkeypatch.setenv("HUBGATE_DATA", str(tmp_path))
    integration_id, instance_id = await _connection(sqlite_core)

    async def doctor(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ("doctor", *arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    code, out, _ = await doctor("--integration", integration_id)
    assert code == 1
    assert out.rstrip().splitlines()[-1].startswith("Nobody has called with the webhook secret yet")
    code, out, _ = await doctor("--integration", integration_id, "--json")
    found = json.loads(out)
    assert code == 1 and found["healthy"] is False and found["steps"][1]["name"] == "integration"
    async with sqlite_core.database.transaction() as connection:
        await connection.execute(update(instances).values(state="close"))
    await sqlite_core.snapshot()
    _, out, _ = await doctor("--integration", integration_id, "--language", "ar")
    assert f"hubgate instance probe {instance_id}" in out
    assert (await doctor("--integration", "int_no"))[0] == 4
    code, _, err = await doctor("--send-test")
    assert code == 2 and "--integration" in err

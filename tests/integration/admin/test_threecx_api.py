"""Settings of phone systems' APIs through real gRPC: secrets stay inside, others' integrations do not exist."""

import dataclasses
from typing import Any

import grpc
import pytest
from sqlalchemy import select

from hubgate.policy.v1 import accounts_pb2, instances_pb2, integrations_pb2
from hubgate.policy.v1 import threecx_api_pb2 as pb
from policycore.pbx import MessagingTrunk
from policycore.registry.sealing import THREECX_API_SECRET
from policycore.store.tables import audit_entries, threecx_apis, threecx_calls, threecx_watches
from support.admin_core import AdminCore, Caller, error_info

SECRET = "the-secret-of-the-application"
URL = "https://pbx.example.com/sms/generic/0f3c00000000000000000000000000e1"


async def make_integration(core: AdminCore) -> tuple[str, str]:
    """Account and integration."""
    account = accounts_pb2.Account(name="Acme", time_zone="Asia/Riyadh", plan=accounts_pb2.PLAN_STARTER)
    made = await core.admin("CreateAccount", accounts_pb2.CreateAccountRequest(account=account))
    account_id = made.account.account_id
    instance = instances_pb2.Instance(account_id=account_id, backend="sandbox", name="demo")
    ins = await core.admin("CreateInstance", instances_pb2.CreateInstanceRequest(instance=instance))
    wire = integrations_pb2.Integration(
        account_id=account_id, name="3CX", instance_ids=[ins.instance.instance_id], enabled=True
    )
    found = await core.admin("CreateIntegration", integrations_pb2.CreateIntegrationRequest(integration=wire))
    return account_id, found.integration.integration_id


async def set_api(caller: Caller, integration_id: str, secret: str = SECRET, **fields: Any) -> pb.ThreecxApi:
    """Sets it; returns what is answered."""
    values = {"base_url": "https://pbx.example.com/", "client_id": "900", "missed_calls": True, **fields}
    api = pb.ThreecxApi(integration_id=integration_id, **values)
    answer = await caller("SetThreecxApi", pb.SetThreecxApiRequest(api=api, client_secret=secret))
    found: pb.ThreecxApi = answer.api
    return found


async def refusal(call: Any) -> tuple[str, str, str]:
    """Code, reason and field of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return error_info(raised.value)


async def test_what_is_set_is_shown_without_its_secret_which_is_sealed(core: AdminCore) -> None:
    _, integration_id = await make_integration(core)
    made = await set_api(core.admin, integration_id)
    assert (made.base_url, made.client_id, made.catch_up.seconds) == ("https://pbx.example.com", "900", 3600)
    shown = await core.admin("GetThreecxApi", pb.GetThreecxApiRequest(integration_id=integration_id))
    assert shown.api == made and SECRET not in str(shown)
    async with core.database.reading() as connection:
        sealed = (await connection.execute(select(threecx_apis.c.client_secret_sealed))).scalar_one()
        details = (await connection.execute(select(audit_entries.c.detail_json))).scalars().all()
    assert SECRET.encode() not in sealed
    assert core.sealing.unseal(sealed, THREECX_API_SECRET, integration_id) == SECRET
    assert not any(SECRET in detail for detail in details)
    state = await core.admin(
        "GetThreecxApiState", pb.GetThreecxApiStateRequest(integration_id=integration_id)
    )
    assert (state.state, state.untold) == ("waiting", 0)


async def test_the_secret_goes_nowhere_else_without_being_given_again(core: AdminCore) -> None:
    _, integration_id = await make_integration(core)
    first = set_api(core.admin, integration_id, "")
    assert await refusal(first) == ("INVALID_ARGUMENT", "MALFORMED", "client_secret")
    await set_api(core.admin, integration_id)
    kept = await set_api(core.admin, integration_id, "", missed_calls=False, every_extension_listed=True)
    assert (kept.missed_calls, kept.every_extension_listed) == (False, True)
    state = await core.admin(
        "GetThreecxApiState", pb.GetThreecxApiStateRequest(integration_id=integration_id)
    )
    assert state.state == "idle"
    for changed in ({"base_url": "https://evil.example.com"}, {"client_id": "901"}):
        moved = set_api(core.admin, integration_id, "", **changed)
        assert await refusal(moved) == ("INVALID_ARGUMENT", "MALFORMED", "client_secret")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"base_url": "http://pbx.example.com"}, "api.base_url"),
        ({"base_url": "https://pbx.example.com/callcontrol"}, "api.base_url"),
        ({"base_url": "https://pbx.example.com?x=1"}, "api.base_url"),
        ({"base_url": "https://admin:pw@pbx.example.com"}, "api.base_url"),
        ({"base_url": ""}, "api.base_url"),
        ({"client_id": ""}, "api.client_id"),
        ({"client_id": "9\r\n00"}, "api.client_id"),
        ({"catch_up": {"seconds": 90_000}}, "api.catch_up"),
        ({"catch_up": {"seconds": -1}}, "api.catch_up"),
        ({"secret": "two words"}, "client_secret"),
        ({"secret": "s" * 1_001}, "client_secret"),
    ],
)
async def test_wrong_settings_are_named(sqlite_core: AdminCore, fields: dict[str, Any], field: str) -> None:
    _, integration_id = await make_integration(sqlite_core)
    assert await refusal(set_api(sqlite_core.admin, integration_id, **fields)) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        field,
    )


async def test_removing_leaves_nothing(core: AdminCore) -> None:
    _, integration_id = await make_integration(core)
    await set_api(core.admin, integration_id)
    request = pb.RemoveThreecxApiRequest(integration_id=integration_id)
    await core.admin("RemoveThreecxApi", request)
    async with core.database.reading() as connection:
        for table in (threecx_apis, threecx_watches, threecx_calls):
            assert (await connection.execute(select(table))).all() == []
    assert (await refusal(core.admin("RemoveThreecxApi", request)))[0] == "NOT_FOUND"


async def test_another_accounts_integration_does_not_exist(sqlite_core: AdminCore) -> None:
    core = sqlite_core
    own, _ = await make_integration(core)
    _, integration_id = await make_integration(core)
    await set_api(core.admin, integration_id)
    made = await core.admin(
        "CreateServiceToken",
        accounts_pb2.CreateServiceTokenRequest(name="own", rights=["admin"], account_ids=[own]),
    )
    await core.snapshot()
    other = core.caller(made.token)
    calls = (
        other("GetThreecxApi", pb.GetThreecxApiRequest(integration_id=integration_id)),
        set_api(other, integration_id),
        other("RemoveThreecxApi", pb.RemoveThreecxApiRequest(integration_id=integration_id)),
        other("GetThreecxApiState", pb.GetThreecxApiStateRequest(integration_id=integration_id)),
        other("DiscoverThreecxWebhooks", pb.DiscoverThreecxWebhooksRequest(integration_id=integration_id)),
    )
    assert {(await refusal(call))[0] for call in calls} == {"NOT_FOUND"}


async def test_webhooks_are_masked_unless_somebody_who_may_asks_for_them(sqlite_core: AdminCore) -> None:
    core = sqlite_core
    account_id, integration_id = await make_integration(core)
    trunk = MessagingTrunk("10007", "WhatsApp", "Generic", True, URL, ("+966110000000",))
    core.pbx.trunks_there = [trunk, dataclasses.replace(trunk, webhook_url="not an address")]
    request = pb.DiscoverThreecxWebhooksRequest(integration_id=integration_id)
    assert (await refusal(core.admin("DiscoverThreecxWebhooks", request)))[0] == "NOT_FOUND"
    await set_api(core.admin, integration_id)
    assert await refusal(core.admin("DiscoverThreecxWebhooks", request)) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        "webhook_discovery",
    )
    await set_api(core.admin, integration_id, "", webhook_discovery=True)
    found = await core.admin("DiscoverThreecxWebhooks", request)
    assert [each.webhook_url for each in found.trunks] == ["https://pbx.example.com/…", "…"]
    assert core.pbx.asked[-1].client_secret == SECRET
    request.reveal = True
    assert (await core.admin("DiscoverThreecxWebhooks", request)).trunks[0].webhook_url == URL
    made = await core.admin(
        "CreateServiceToken",
        accounts_pb2.CreateServiceTokenRequest(name="s", rights=["admin"], account_ids=[account_id]),
    )
    await core.snapshot()
    blind = core.caller(made.token)("DiscoverThreecxWebhooks", request)
    assert (await refusal(blind))[0] == "PERMISSION_DENIED"

"""Accounts, API keys and service tokens through the AdminService, on both databases."""

import json
from typing import Any

import grpc
import pytest
from sqlalchemy import select

from hubgate.policy.v1 import accounts_pb2 as pb
from hubgate.policy.v1 import records_pb2
from policycore.registry.credentials import digest
from policycore.store.tables import api_keys, service_tokens
from support.admin_core import AdminCore, Caller, error_info


async def refused(caller: Caller, rpc: str, request: Any) -> tuple[str, str, str]:
    """Code, reason and field a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller(rpc, request)
    return error_info(caught.value)


async def make_account(core: AdminCore, **values: Any) -> Any:
    values = {"name": "Demo", "time_zone": "Asia/Riyadh", "threecx_module_enabled": True, **values}
    return (await core.admin("CreateAccount", pb.CreateAccountRequest(account=pb.Account(**values)))).account


async def test_an_account_from_making_to_changing(core: AdminCore) -> None:
    account = await make_account(core, language="ar")
    assert account.account_id.startswith("acc_")
    assert len(account.account_id) >= 20
    assert account.plan == pb.PLAN_STARTER
    assert account.created_at.seconds > 1_600_000_000
    change = pb.Account(
        account_id=account.account_id, plan=pb.PLAN_CUSTOM, daily_limit=5, monthly_limit=50, name="ignored"
    )
    fields = ["plan", "daily_limit", "monthly_limit"]
    changed = await core.admin("UpdateAccount", pb.UpdateAccountRequest(account=change, fields=fields))
    assert (changed.account.name, changed.account.daily_limit) == ("Demo", 5)
    back = pb.Account(account_id=account.account_id, plan=pb.PLAN_GROWTH)
    changed = await core.admin("UpdateAccount", pb.UpdateAccountRequest(account=back, fields=["plan"]))
    assert not changed.account.HasField("daily_limit")
    listed = await core.admin("ListAccounts", pb.ListAccountsRequest())
    assert [each.plan for each in listed.accounts] == [pb.PLAN_GROWTH]
    config = (await core.snapshot()).accounts[account.account_id]
    assert (config.daily_limit, config.monthly_limit) == (500, 10_000)
    assert core.woken == ["configuration"] * 3


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "account.name"),
        ({"time_zone": "Riyadh"}, "account.time_zone"),
        ({"language": "fr"}, "account.language"),
        ({"plan": 99}, "account.plan"),
        ({"plan": pb.PLAN_CUSTOM}, "account.daily_limit"),
        ({"plan": pb.PLAN_CUSTOM, "daily_limit": 1}, "account.monthly_limit"),
        ({"plan": pb.PLAN_CUSTOM, "daily_limit": -1, "monthly_limit": 1}, "account.daily_limit"),
        ({"daily_limit": 1}, "account.daily_limit"),
    ],
)
async def test_a_wrong_account_is_refused_by_field(
    sqlite_core: AdminCore, values: dict[str, Any], field: str
) -> None:
    wrong = pb.Account(**{"name": "Demo", **values})
    request = pb.CreateAccountRequest(account=wrong)
    assert await refused(sqlite_core.admin, "CreateAccount", request) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        field,
    )
    assert not (await sqlite_core.admin("ListAccounts", pb.ListAccountsRequest())).accounts
    assert sqlite_core.woken == []


async def test_masks_name_what_they_change(sqlite_core: AdminCore) -> None:
    account = await make_account(sqlite_core)
    wire = pb.Account(account_id=account.account_id, name="Other")
    for fields in ([], ["account_id"], ["created_at"], ["name", "nonsense"]):
        request = pb.UpdateAccountRequest(account=wire, fields=fields)
        assert await refused(sqlite_core.admin, "UpdateAccount", request) == (
            "INVALID_ARGUMENT",
            "MALFORMED",
            "fields",
        )
    missing = pb.UpdateAccountRequest(account=pb.Account(account_id="acc_none"), fields=["name"])
    assert (await refused(sqlite_core.admin, "UpdateAccount", missing))[0] == "NOT_FOUND"


async def test_pages_are_whole_and_in_order(core: AdminCore) -> None:
    made = [(await make_account(core, name=f"Account {number}")).account_id for number in range(7)]
    seen: list[str] = []
    token = ""
    for _ in range(4):
        request = pb.ListAccountsRequest(page_size=2, page_token=token)
        page = await core.admin("ListAccounts", request)
        seen += [account.account_id for account in page.accounts]
        token = page.next_page_token
    assert token == ""
    assert seen == made
    wrong = pb.ListAccountsRequest(page_token="nonsense")
    assert (await refused(core.admin, "ListAccounts", wrong))[2] == "page_token"
    wrong = pb.ListAccountsRequest(page_size=1001)
    assert (await refused(core.admin, "ListAccounts", wrong))[2] == "page_size"


async def test_an_api_key_is_shown_once_and_kept_as_a_digest(core: AdminCore) -> None:
    account = await make_account(core)
    request = pb.CreateApiKeyRequest(account_id=account.account_id, name="CRM", test=True)
    made = await core.admin("CreateApiKey", request)
    assert made.key.startswith("wg_test_")
    assert made.key.startswith(made.api_key.prefix)
    async with core.database.reading() as connection:
        stored = (await connection.execute(select(api_keys))).mappings().one()
    assert stored["key_digest"] == digest(made.key)
    assert made.key not in repr(dict(stored))
    listed = await core.admin("ListApiKeys", pb.ListApiKeysRequest(account_id=account.account_id))
    assert made.key not in str(listed)
    key_id = made.api_key.api_key_id
    revoked = await core.admin("RevokeApiKey", pb.RevokeApiKeyRequest(api_key_id=key_id))
    again = await core.admin("RevokeApiKey", pb.RevokeApiKeyRequest(api_key_id=key_id))
    assert revoked.api_key.revoked_at == again.api_key.revoked_at
    assert (await core.snapshot()).api_keys[key_id].revoked
    missing = pb.RevokeApiKeyRequest(api_key_id="key_none")
    assert (await refused(core.admin, "RevokeApiKey", missing))[0] == "NOT_FOUND"


async def test_a_service_token_and_its_limits(core: AdminCore) -> None:
    mine, other = await make_account(core), await make_account(core, name="Other")
    request = pb.CreateServiceTokenRequest(name="crm", rights=["admin"], account_ids=[mine.account_id])
    made = await core.admin("CreateServiceToken", request)
    assert made.token.startswith("hgs_")
    async with core.database.reading() as connection:
        stored = (await connection.execute(select(service_tokens))).mappings().one()
    assert made.token not in repr(dict(stored))
    assert await refused(core.admin, "CreateServiceToken", request) == (
        "ALREADY_EXISTS",
        "ALREADY_EXISTS",
        "name",
    )
    await core.snapshot()
    crm = core.caller(made.token)
    seen = await crm("ListAccounts", pb.ListAccountsRequest())
    assert [account.account_id for account in seen.accounts] == [mine.account_id]
    # Permission comes before existence: another account looks like one that was never made.
    for account_id in (other.account_id, "acc_none"):
        key = pb.CreateApiKeyRequest(account_id=account_id, name="x")
        assert (await refused(crm, "CreateApiKey", key))[:2] == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    foreign = await core.admin("CreateApiKey", pb.CreateApiKeyRequest(account_id=other.account_id, name="x"))
    for key_id in (foreign.api_key.api_key_id, "key_none"):
        revoke = pb.RevokeApiKeyRequest(api_key_id=key_id)
        assert (await refused(crm, "RevokeApiKey", revoke))[0] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("rpc", "request_of"),
    [
        ("CreateAccount", lambda mine: pb.CreateAccountRequest(account=pb.Account(name="New"))),
        (
            "CreateServiceToken",
            lambda mine: pb.CreateServiceTokenRequest(name="b", rights=["submit"], account_ids=["*"]),
        ),
        ("ListServiceTokens", lambda mine: pb.ListServiceTokensRequest()),
        ("RevokeServiceToken", lambda mine: pb.RevokeServiceTokenRequest(token_id="crm")),
        (
            "UpdateAccount",
            lambda mine: pb.UpdateAccountRequest(
                account=pb.Account(account_id=mine, plan=pb.PLAN_SCALE), fields=["plan"]
            ),
        ),
        ("ListRefusals", lambda mine: records_pb2.ListRefusalsRequest()),
        ("GetSystemState", lambda mine: records_pb2.GetSystemStateRequest()),
    ],
)
async def test_who_administers_one_account_does_not_reach_beyond_it(
    sqlite_core: AdminCore, rpc: str, request_of: Any
) -> None:
    mine = await make_account(sqlite_core)
    made = await sqlite_core.admin(
        "CreateServiceToken",
        pb.CreateServiceTokenRequest(name="crm", rights=["admin"], account_ids=[mine.account_id]),
    )
    await sqlite_core.snapshot()
    crm = sqlite_core.caller(made.token)
    assert (await refused(crm, rpc, request_of(mine.account_id)))[0] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"rights": []}, "rights"),
        ({"rights": ["RecordEvents"]}, "rights"),
        ({"rights": ["all"]}, "rights"),
        ({"account_ids": []}, "account_ids"),
        ({"name": ""}, "name"),
        ({"name": "edge"}, "name"),
        ({"name": "admin"}, "name"),
        ({"name": "tok_x"}, "name"),
    ],
)
async def test_a_wrong_service_token_is_refused(
    sqlite_core: AdminCore, values: dict[str, Any], field: str
) -> None:
    request = pb.CreateServiceTokenRequest(
        **{"name": "crm", "rights": ["submit"], "account_ids": ["*"], **values}
    )
    assert await refused(sqlite_core.admin, "CreateServiceToken", request) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        field,
    )


async def test_every_act_is_in_the_audit_log_without_secrets(core: AdminCore) -> None:
    account = await make_account(core)
    key = await core.admin("CreateApiKey", pb.CreateApiKeyRequest(account_id=account.account_id, name="CRM"))
    await core.admin("RevokeApiKey", pb.RevokeApiKeyRequest(api_key_id=key.api_key.api_key_id))
    token = await core.admin(
        "CreateServiceToken",
        pb.CreateServiceTokenRequest(name="crm", rights=["submit"], account_ids=[account.account_id]),
    )
    log = await core.admin("ListAuditEntries", records_pb2.ListAuditEntriesRequest())
    acts = [entry.act for entry in log.entries]
    assert acts == ["CreateServiceToken", "RevokeApiKey", "CreateApiKey", "CreateAccount"]
    assert {entry.actor for entry in log.entries} == {"admin"}
    assert json.loads(log.entries[0].detail_json)["rights"] == ["submit"]
    assert key.key not in str(log)
    assert token.token not in str(log)
    mine = records_pb2.ListAuditEntriesRequest(account_id=account.account_id, page_size=2)
    page = await core.admin("ListAuditEntries", mine)
    rest = records_pb2.ListAuditEntriesRequest(account_id=account.account_id, page_token=page.next_page_token)
    after = await core.admin("ListAuditEntries", rest)
    assert [entry.act for entry in (*page.entries, *after.entries)] == [
        "RevokeApiKey",
        "CreateApiKey",
        "CreateAccount",
    ]

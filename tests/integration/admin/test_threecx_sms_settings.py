"""The settings of SMS-provider connectors and their bearer keys, through the AdminService."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from hubgate.policy.v1 import accounts_pb2, instances_pb2, integrations_pb2
from hubgate.policy.v1 import threecx_sms_pb2 as pb
from policycore.errors import Contended
from policycore.store.tables import audit_entries, threecx_sms, threecx_sms_keys
from policycore.store.usage import record_usage
from support.admin_core import AdminCore, error_info

KEY = "0f3c9d1e5b7a4c2f8e6d0a1b3c5d7e9f"
URL = f"https://pbx.example.com:5001/sms/generic/{KEY}"


class Office:
    """An account with two instances and an integration that serves them."""

    def __init__(self, core: AdminCore, account_id: str, instances: list[str], integration_id: str) -> None:
        self.core, self.account_id, self.instances, self.integration_id = (
            core,
            account_id,
            instances,
            integration_id,
        )

    async def set(self, fields: list[str], **values: Any) -> Any:
        """Changes the connector."""
        wire = pb.ThreecxSms(integration_id=self.integration_id, **values)
        request = pb.SetThreecxSmsRequest(settings=wire, fields=fields)
        return (await self.core.admin("SetThreecxSms", request)).settings

    async def get(self) -> Any:
        """The connector's settings."""
        request = pb.GetThreecxSmsRequest(integration_id=self.integration_id)
        return (await self.core.admin("GetThreecxSms", request)).settings

    async def refused(self, fields: list[str], **values: Any) -> tuple[str, str, str]:
        """Code, reason and field that a change is refused with."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.set(fields, **values)
        assert KEY not in str(caught.value)
        return error_info(caught.value)

    async def destination(self) -> int:
        """Where inbound messages go."""
        request = integrations_pb2.ListIntegrationsRequest(integration_id=self.integration_id)
        return int((await self.core.admin("ListIntegrations", request)).integrations[0].destination_kind)

    def number(self, at: int, number: str) -> Any:
        """A number of one of the instances."""
        return pb.ThreecxSmsNumber(instance_id=self.instances[at], number=number)


async def open_office(core: AdminCore) -> Office:
    account = accounts_pb2.Account(name="Demo", time_zone="Asia/Riyadh", threecx_module_enabled=True)
    made = await core.admin("CreateAccount", accounts_pb2.CreateAccountRequest(account=account))
    account_id = made.account.account_id
    ids = []
    for name in ("one", "two"):
        wire = instances_pb2.Instance(account_id=account_id, name=name, backend="sandbox")
        answer = await core.admin("CreateInstance", instances_pb2.CreateInstanceRequest(instance=wire))
        ids.append(answer.instance.instance_id)
    integration = integrations_pb2.Integration(
        account_id=account_id, name="3CX", enabled=True, instance_ids=ids, country="SA", language="ar"
    )
    request = integrations_pb2.CreateIntegrationRequest(integration=integration)
    found = (await core.admin("CreateIntegration", request)).integration
    assert found.sms_path == f"/integrations/3cx/sms/{found.integration_id}"
    return Office(core, account_id, ids, found.integration_id)


async def test_what_holds_before_anything_was_set(core: AdminCore) -> None:
    found = await (await open_office(core)).get()
    assert (found.webhook_url, found.default_purpose, found.gateway_lines, found.receipts) == (
        "",
        "support",
        True,
        False,
    )
    assert (found.requests_per_minute, list(found.keys), list(found.numbers)) == (600, [], [])


async def test_the_address_is_sealed_masked_and_where_messages_go(core: AdminCore) -> None:
    office = await open_office(core)
    numbers = [office.number(0, "0110000000"), office.number(1, "٩٢٠٠٠٠٠٠٠")]
    assert await office.refused(["webhook_url"], webhook_url=URL) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        "settings.numbers",
    )
    made = await office.set(["webhook_url", "numbers"], webhook_url=URL, numbers=numbers)
    assert made.webhook_url == "https://pbx.example.com:5001/\u2026"
    assert sorted(each.number for each in made.numbers) == ["+966110000000", "+966920000000"]
    assert await office.destination() == integrations_pb2.DESTINATION_KIND_THREECX_SMS
    connector = (await core.snapshot()).integrations[office.integration_id].sms
    assert connector is not None and connector.webhook_url == URL
    assert connector.instance_of("+966110000000") == office.instances[0]
    async with core.database.reading() as connection:
        [row] = (await connection.execute(select(threecx_sms))).all()
        audited = (await connection.execute(select(audit_entries.c.detail_json))).scalars().all()
    assert KEY.encode() not in row.webhook_url_sealed and KEY not in json.dumps(list(audited))
    assert await office.refused(["webhook_url"], webhook_url=made.webhook_url) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        "settings.webhook_url",
    )
    await office.set(["webhook_url"], webhook_url="")
    assert await office.destination() == integrations_pb2.DESTINATION_KIND_NONE


async def test_what_an_integration_cannot_be_told(core: AdminCore) -> None:
    office = await open_office(core)
    wire = integrations_pb2.Integration(
        integration_id=office.integration_id, destination_kind=integrations_pb2.DESTINATION_KIND_THREECX_SMS
    )
    request = integrations_pb2.UpdateIntegrationRequest(integration=wire, fields=["destination_kind"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await core.admin("UpdateIntegration", request)
    assert error_info(caught.value)[2] == "integration.destination_kind"


@pytest.mark.parametrize(
    ("fields", "values", "wrong"),
    [
        (["webhook_url"], {"webhook_url": f"ftp://pbx/{KEY}"}, "settings.webhook_url"),
        (["webhook_url"], {"webhook_url": f"https://user:word@pbx/{KEY}"}, "settings.webhook_url"),
        (["webhook_url"], {"webhook_url": f"https://pbx/{KEY} x"}, "settings.webhook_url"),
        (["default_purpose"], {"default_purpose": "marketing"}, "settings.default_purpose"),
        (["requests_per_minute"], {"requests_per_minute": -1}, "settings.requests_per_minute"),
        (["keys"], {}, "fields"),
        ([], {}, "fields"),
    ],
)
async def test_what_is_refused(
    sqlite_core: AdminCore, fields: list[str], values: dict[str, Any], wrong: str
) -> None:
    office = await open_office(sqlite_core)
    assert (await office.refused(fields, **values))[2] == wrong


async def test_numbers_are_the_integrations_own_and_named_once(sqlite_core: AdminCore) -> None:
    office, stranger = await open_office(sqlite_core), await open_office(sqlite_core)
    for numbers in (
        [stranger.number(0, "+966110000000")],
        [pb.ThreecxSmsNumber(instance_id="ins_none", number="+966110000000")],
        [office.number(0, "12")],
        [office.number(0, "+966110000000"), office.number(1, "0110000000")],
        [office.number(0, "+966110000000"), office.number(0, "+966110000001")],
    ):
        assert (await office.refused(["numbers"], numbers=numbers))[2] == "settings.numbers"
    # Two phone systems of two customers may well have the same number.
    for each in (office, stranger):
        await each.set(["numbers"], numbers=[each.number(0, "+966110000000")])


async def test_two_keys_count_during_an_overlap_and_no_two_integrations_share_one(core: AdminCore) -> None:
    office, stranger = await open_office(core), await open_office(core)
    keys = []
    for overlap in (Duration(seconds=3600), Duration(seconds=7200), None):
        request = pb.RotateThreecxSmsKeyRequest(integration_id=office.integration_id, overlap=overlap)
        keys.append(await core.admin("RotateThreecxSmsKey", request))
    assert len({each.key for each in keys}) == 3 and all(each.key.startswith("sms_") for each in keys)
    shown = (await office.get()).keys
    assert {each.key_id for each in shown} == {each.key_id for each in keys}
    assert sum(each.HasField("valid_until") for each in shown) == 2
    connector = (await core.snapshot()).integrations[office.integration_id].sms
    assert connector is not None and len(connector.keys) == 3
    async with core.database.reading() as connection:
        rows = (await connection.execute(select(threecx_sms_keys))).all()
    assert not any(each.key.encode() in repr(rows).encode() for each in keys)
    theirs = {**rows[0]._asdict(), "id": "smk_stolen", "integration_id": stranger.integration_id}
    with pytest.raises((IntegrityError, Contended)):
        async with core.database.transaction() as connection:
            await connection.execute(insert(threecx_sms_keys).values(theirs))
    used_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
    await record_usage(core.database, [], [(keys[-1].key_id, used_at)])
    marked = {each.key_id: each.last_used_at.seconds for each in (await office.get()).keys}
    assert marked[keys[-1].key_id] == used_at.timestamp() and sorted(marked.values())[:2] == [0, 0]


async def test_nobody_reaches_another_accounts_connector(sqlite_core: AdminCore) -> None:
    office, stranger = await open_office(sqlite_core), await open_office(sqlite_core)
    token = await sqlite_core.admin(
        "CreateServiceToken",
        accounts_pb2.CreateServiceTokenRequest(name="s", rights=["admin"], account_ids=[stranger.account_id]),
    )
    await sqlite_core.snapshot()
    caller = sqlite_core.caller(token.token)
    wire = pb.ThreecxSms(integration_id=office.integration_id)
    for rpc, request in (
        ("GetThreecxSms", pb.GetThreecxSmsRequest(integration_id=office.integration_id)),
        ("SetThreecxSms", pb.SetThreecxSmsRequest(settings=wire, fields=["receipts"])),
        ("RotateThreecxSmsKey", pb.RotateThreecxSmsKeyRequest(integration_id=office.integration_id)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller(rpc, request)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert (
        await caller("GetThreecxSms", pb.GetThreecxSmsRequest(integration_id=stranger.integration_id))
    ).settings

"""Instances, integrations, secrets, templates and customer webhooks through the AdminService."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import select

from hubgate.policy.v1 import accounts_pb2, events_pb2, instances_pb2, policy_service_pb2, records_pb2
from hubgate.policy.v1 import integrations_pb2 as pb
from policycore.ports import AttemptOutcome, Outcome
from policycore.store.tables import instances, integration_secrets
from support.admin_core import AdminCore, error_info


async def refused(core: AdminCore, rpc: str, request: Any) -> tuple[str, str, str]:
    """Code, reason and field a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await core.admin(rpc, request)
    return error_info(caught.value)


async def make_account(core: AdminCore, name: str = "Demo") -> str:
    account = accounts_pb2.Account(name=name, time_zone="Asia/Riyadh", threecx_module_enabled=True)
    made = await core.admin("CreateAccount", accounts_pb2.CreateAccountRequest(account=account))
    return str(made.account.account_id)


async def make_instance(core: AdminCore, account_id: str, **values: Any) -> Any:
    values = {"name": "sandbox", "backend": "sandbox", **values}
    wire = instances_pb2.Instance(account_id=account_id, **values)
    return (await core.admin("CreateInstance", instances_pb2.CreateInstanceRequest(instance=wire))).instance


async def make_integration(core: AdminCore, account_id: str, **values: Any) -> Any:
    values = {"name": "Office", "enabled": True, "outbound_enabled": True, **values}
    wire = pb.Integration(account_id=account_id, **values)
    return await core.admin("CreateIntegration", pb.CreateIntegrationRequest(integration=wire))


EVOLUTION = {
    "name": "support",
    "backend": "evolution",
    "base_url": "http://10.0.0.5:8080",
    "external_name": "main",
    "api_token": "evolution-secret",
    "webhook_secret": "webhook-secret",
}


async def test_an_instance_that_is_held_back_is_shown_with_the_reason(core: AdminCore) -> None:
    account_id = await make_account(core)
    made = await make_instance(core, account_id, **EVOLUTION)
    request = instances_pb2.ListInstancesRequest(instance_id=made.instance_id)
    assert (await core.admin("ListInstances", request)).instances[0].held_back == ""
    entry = core.gates.enter(made.instance_id)
    core.gates.leave(made.instance_id, entry, AttemptOutcome(Outcome.UNKNOWN, "evolution_timeout"))
    [shown] = (await core.admin("ListInstances", request)).instances
    assert shown.held_back == "It is held back for 15 s more: its back end did not answer the last messages."
    state = await core.admin("GetSystemState", records_pb2.GetSystemStateRequest())
    assert [each.held_back for each in state.instances] == [shown.held_back]


async def test_an_instances_secrets_are_sealed_and_never_answered(core: AdminCore) -> None:
    account_id = await make_account(core)
    made = await make_instance(core, account_id, **EVOLUTION)
    assert made.state == events_pb2.INSTANCE_STATE_CONNECTING
    assert made.webhook_path == f"/webhooks/whatsapp/evolution/{made.instance_id}"
    assert "secret" not in str(made)
    async with core.database.reading() as connection:
        row = (await connection.execute(select(instances))).mappings().one()
    assert b"secret" not in row["secrets_sealed"]
    config = (await core.snapshot()).instances[made.instance_id]
    assert (config.api_token, config.webhook_secret) == ("evolution-secret", "webhook-secret")
    change = instances_pb2.Instance(
        instance_id=made.instance_id, webhook_secret="another", messages_per_second=0.0, name="Support"
    )
    request = instances_pb2.UpdateInstanceRequest(
        instance=change, fields=["webhook_secret", "messages_per_second", "name"]
    )
    changed = (await core.admin("UpdateInstance", request)).instance
    assert (changed.name, changed.messages_per_second) == ("Support", 0.0)
    config = (await core.snapshot()).instances[made.instance_id]
    assert (config.api_token, config.webhook_secret) == ("evolution-secret", "another")
    log = await core.admin("ListAuditEntries", records_pb2.ListAuditEntriesRequest())
    assert "another" not in str(log)
    assert "evolution-secret" not in str(log)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"backend": "telegram"}, "instance.backend"),
        ({"name": " "}, "instance.name"),
        ({"name": "ins_x"}, "instance.name"),
        ({**EVOLUTION, "base_url": ""}, "instance.base_url"),
        ({**EVOLUTION, "base_url": "ftp://x"}, "instance.base_url"),
        ({**EVOLUTION, "external_name": ""}, "instance.external_name"),
        ({**EVOLUTION, "api_token": ""}, "instance.api_token"),
        ({**EVOLUTION, "backend": "cloud_api", "external_name": "abc"}, "instance.external_name"),
        ({"messages_per_second": -1.0}, "instance.messages_per_second"),
        ({"burst": 0}, "instance.burst"),
        ({"phone": "0500000000"}, "instance.phone"),
    ],
)
async def test_a_wrong_instance_is_refused_by_field(
    sqlite_core: AdminCore, values: dict[str, Any], field: str
) -> None:
    account_id = await make_account(sqlite_core)
    wire = instances_pb2.Instance(account_id=account_id, **{"name": "x", "backend": "sandbox", **values})
    request = instances_pb2.CreateInstanceRequest(instance=wire)
    assert await refused(sqlite_core, "CreateInstance", request) == ("INVALID_ARGUMENT", "MALFORMED", field)


async def test_instance_names_are_unique_within_an_account(core: AdminCore) -> None:
    first, second = await make_account(core), await make_account(core, "Other")
    await make_instance(core, first)
    await make_instance(core, second)
    wire = instances_pb2.Instance(account_id=first, name="sandbox", backend="sandbox")
    request = instances_pb2.CreateInstanceRequest(instance=wire)
    assert await refused(core, "CreateInstance", request) == (
        "ALREADY_EXISTS",
        "ALREADY_EXISTS",
        "instance.name",
    )
    listed = await core.admin("ListInstances", instances_pb2.ListInstancesRequest())
    assert len(listed.instances) == 2
    one = instances_pb2.ListInstancesRequest(account_id=first)
    assert len((await core.admin("ListInstances", one)).instances) == 1


async def test_probing_records_what_the_back_end_says(core: AdminCore) -> None:
    made = await make_instance(core, await make_account(core), **EVOLUTION)
    ask = instances_pb2.ProbeInstanceRequest(instance_id=made.instance_id)
    core.probe.answer = ("open", "", "")
    answer = await core.admin("ProbeInstance", ask)
    assert answer.instance.state == events_pb2.INSTANCE_STATE_OPEN
    assert core.probe.asked[0].api_token == "evolution-secret"
    assert (await core.snapshot()).instances[made.instance_id].state == "open"
    core.probe.answer = ("", "", "No answer within 5 s.")
    answer = await core.admin("ProbeInstance", ask)
    assert answer.error_text == "No answer within 5 s."
    assert answer.instance.state == events_pb2.INSTANCE_STATE_OPEN
    core.probe.answer = ("close", "logged_out", "")
    answer = await core.admin("ProbeInstance", ask)
    assert answer.instance.state_reason == "logged_out"
    assert (await core.snapshot()).instances[made.instance_id].state == "close"


async def test_an_integration_is_made_ready_to_use(core: AdminCore) -> None:
    account_id = await make_account(core)
    instance = await make_instance(core, account_id)
    made = await make_integration(
        core,
        account_id,
        instance_ids=[instance.instance_id],
        allowed_addresses=["10.0.0.1/8", "2001:DB8::1"],
        country="sa",
        language="ar",
        destination_kind=pb.DESTINATION_KIND_SANDBOX_INBOX,
    )
    wire = made.integration
    assert wire.webhook_path == f"/integrations/3cx/webhook/{wire.integration_id}"
    assert wire.default_instance_id == instance.instance_id
    assert list(wire.allowed_addresses) == ["10.0.0.0/8", "2001:db8::1"]
    assert (wire.country, wire.requests_per_minute, wire.cool_down.seconds) == ("SA", 60, 900)
    assert wire.auth_mode == pb.AUTH_MODE_SECRET
    assert (wire.crm_requests_per_minute, wire.crm_fold_within.seconds, wire.crm_unanswered_sends) == (
        600,
        120,
        False,
    )
    config = (await core.snapshot()).integrations[wire.integration_id]
    assert [secret.secret for secret in config.secrets] == [made.secret]
    assert config.signing_secret == made.signing_secret
    assert len(made.secret) >= 43
    request = pb.ListTemplatesRequest(integration_id=wire.integration_id)
    templates = (await core.admin("ListTemplates", request)).templates
    assert {policy_service_pb2.EventType.Name(each.event_type) for each in templates} == {
        "EVENT_TYPE_MISSED_CALL",
        "EVENT_TYPE_CALL_ENDED",
        "EVENT_TYPE_VOICEMAIL",
        "EVENT_TYPE_QUEUE_EVENT",
        "EVENT_TYPE_QUEUE_CALLBACK",
        "EVENT_TYPE_AFTER_HOURS",
    }
    assert not any(each.enabled for each in templates)
    assert {(each.language, each.purpose) for each in templates} == {("ar", "support")}
    assert all(each.text for each in templates)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "integration.name"),
        ({"auth_mode": 9}, "integration.auth_mode"),
        ({"allowed_addresses": ["pbx.example"]}, "integration.allowed_addresses"),
        ({"instance_ids": ["ins_none"]}, "integration.instance_ids"),
        ({"default_instance_id": "ins_none"}, "integration.instance_ids"),
        ({"country": "ZZ"}, "integration.country"),
        ({"language": "xx"}, "integration.language"),
        ({"requests_per_minute": -1}, "integration.requests_per_minute"),
        ({"cool_down": Duration(seconds=-1)}, "integration.cool_down"),
        ({"cool_down": Duration(seconds=86_401)}, "integration.cool_down"),
        ({"cool_down": Duration(nanos=500_000_000)}, "integration.cool_down"),
        ({"crm_requests_per_minute": -1}, "integration.crm_requests_per_minute"),
        ({"crm_requests_per_minute": 1_000_001}, "integration.crm_requests_per_minute"),
        ({"crm_fold_within": Duration(seconds=-1)}, "integration.crm_fold_within"),
        ({"crm_fold_within": Duration(seconds=3_601)}, "integration.crm_fold_within"),
        ({"crm_fold_within": Duration(nanos=500_000_000)}, "integration.crm_fold_within"),
        ({"destination_kind": 9}, "integration.destination_kind"),
        ({"destination_kind": pb.DESTINATION_KIND_THREECX_JSON}, "integration.destination_url"),
        (
            {"destination_kind": pb.DESTINATION_KIND_THREECX_JSON, "destination_url": "http://pbx.example/"},
            "integration.destination_url",
        ),
    ],
)
async def test_a_wrong_integration_is_refused_by_field(
    sqlite_core: AdminCore, values: dict[str, Any], field: str
) -> None:
    account_id = await make_account(sqlite_core)
    wire = pb.Integration(account_id=account_id, **{"name": "Office", **values})
    request = pb.CreateIntegrationRequest(integration=wire)
    assert await refused(sqlite_core, "CreateIntegration", request) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        field,
    )


async def test_another_accounts_instance_cannot_be_served(sqlite_core: AdminCore) -> None:
    mine, other = await make_account(sqlite_core), await make_account(sqlite_core, "Other")
    foreign = await make_instance(sqlite_core, other)
    wire = pb.Integration(account_id=mine, name="Office", instance_ids=[foreign.instance_id])
    request = pb.CreateIntegrationRequest(integration=wire)
    assert (await refused(sqlite_core, "CreateIntegration", request))[2] == "integration.instance_ids"


async def test_changing_an_integration_leaves_the_rest_alone(core: AdminCore) -> None:
    account_id = await make_account(core)
    first = await make_instance(core, account_id)
    second = await make_instance(core, account_id, name="second")
    made = (await make_integration(core, account_id, instance_ids=[first.instance_id])).integration
    change = pb.Integration(
        integration_id=made.integration_id,
        instance_ids=[first.instance_id, second.instance_id],
        auth_mode=pb.AUTH_MODE_SECRET_HMAC,
        name="ignored",
    )
    request = pb.UpdateIntegrationRequest(integration=change, fields=["instance_ids", "auth_mode"])
    changed = (await core.admin("UpdateIntegration", request)).integration
    assert changed.name == "Office"
    assert changed.auth_mode == pb.AUTH_MODE_SECRET_HMAC
    assert set(changed.instance_ids) == {first.instance_id, second.instance_id}
    assert changed.default_instance_id == first.instance_id
    listed = await core.admin(
        "ListIntegrations", pb.ListIntegrationsRequest(integration_id=made.integration_id)
    )
    assert list(listed.integrations) == [changed]
    off = pb.Integration(integration_id=made.integration_id, enabled=False)
    await core.admin("UpdateIntegration", pb.UpdateIntegrationRequest(integration=off, fields=["enabled"]))
    config = (await core.snapshot()).integrations[made.integration_id]
    assert not config.enabled
    assert set(config.instance_ids) == {first.instance_id, second.instance_id}


async def test_rotation_keeps_the_old_secret_for_the_overlap(core: AdminCore) -> None:
    made = await make_integration(core, await make_account(core))
    integration_id = made.integration.integration_id
    first = await core.admin("RotateSecret", pb.RotateSecretRequest(integration_id=integration_id))
    until = first.old_valid_until.ToDatetime(UTC)
    assert abs(until - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=1)
    config = (await core.snapshot()).integrations[integration_id]
    assert [(each.secret, each.valid_until is None) for each in config.secrets] == [
        (first.secret, True),
        (made.secret, False),
    ]
    request = pb.RotateSecretRequest(integration_id=integration_id, overlap=Duration(seconds=60))
    second = await core.admin("RotateSecret", request)
    listed = (await core.admin("ListSecrets", pb.ListSecretsRequest(integration_id=integration_id))).secrets
    assert [each.secret_id for each in listed][:2] == [second.secret_id, first.secret_id]
    assert not listed[0].HasField("valid_until")
    # A shorter overlap ends the older secrets earlier as well, never later.
    assert {each.valid_until.ToDatetime(UTC) for each in listed[1:]} == {
        second.old_valid_until.ToDatetime(UTC)
    }
    nothing = pb.RotateSecretRequest(integration_id=integration_id, overlap=Duration())
    last = await core.admin("RotateSecret", nothing)
    config = (await core.snapshot()).integrations[integration_id]
    assert [each.secret for each in config.secrets] == [last.secret]
    async with core.database.reading() as connection:
        rows = (await connection.execute(select(integration_secrets))).mappings().all()
    assert all(made.secret.encode() not in row["sealed"] for row in rows)


@pytest.mark.parametrize("seconds", [-1, 14 * 86_400 + 1, 10**14])
async def test_an_overlap_out_of_bounds(sqlite_core: AdminCore, seconds: int) -> None:
    made = await make_integration(sqlite_core, await make_account(sqlite_core))
    request = pb.RotateSecretRequest(
        integration_id=made.integration.integration_id, overlap=Duration(seconds=seconds)
    )
    assert await refused(sqlite_core, "RotateSecret", request) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        "overlap",
    )


async def test_templates_are_checked_when_saved(core: AdminCore) -> None:
    made = await make_integration(core, await make_account(core))
    integration_id = made.integration.integration_id
    template = pb.Template(
        integration_id=integration_id,
        event_type=policy_service_pb2.EVENT_TYPE_MISSED_CALL,
        enabled=True,
        language="en",
        text="Sorry, {{customer_phone}}! {{business_name}}",
        purpose="Support",
    )
    saved = await core.admin("UpdateTemplate", pb.UpdateTemplateRequest(template=template))
    assert saved.template.purpose == "support"
    listed = await core.admin("ListTemplates", pb.ListTemplatesRequest(integration_id=integration_id))
    assert [each.event_type for each in listed.templates if each.enabled] == [template.event_type]
    assert len(listed.templates) == 6
    wrong: dict[str, dict[str, Any]] = {
        "template.text": {"text": "Hello {{name}}"},
        "template.purpose": {"purpose": "marketing"},
        "template.language": {"language": "de"},
        "template.event_type": {"event_type": policy_service_pb2.EVENT_TYPE_CALL_STARTED},
    }
    for field, values in wrong.items():
        bad = pb.Template()
        bad.CopyFrom(template)
        for name, value in values.items():
            setattr(bad, name, value)
        assert await refused(core, "UpdateTemplate", pb.UpdateTemplateRequest(template=bad)) == (
            "INVALID_ARGUMENT",
            "MALFORMED",
            field,
        )
    template.integration_id = "int_none"
    assert (await refused(core, "UpdateTemplate", pb.UpdateTemplateRequest(template=template)))[0] == (
        "NOT_FOUND"
    )


async def test_customer_webhooks(core: AdminCore) -> None:
    account_id = await make_account(core)

    def request(**values: Any) -> pb.CreateCustomerWebhookRequest:
        values = {"account_id": account_id, "url": "https://crm.example/hook", "enabled": True, **values}
        return pb.CreateCustomerWebhookRequest(webhook=pb.CustomerWebhook(**values))

    made = await core.admin("CreateCustomerWebhook", request(event_names=["message.received"]))
    assert made.signing_secret.startswith("whsec_")
    config = (await core.snapshot()).webhooks[account_id][0]
    assert config.signing_secret == made.signing_secret
    assert config.event_names == {"message.received"}
    for values, field in (
        ({"url": "http://crm.example/hook"}, "webhook.url"),
        ({"event_names": ["message.eaten"]}, "webhook.event_names"),
    ):
        assert (await refused(core, "CreateCustomerWebhook", request(**values)))[2] == field
    webhook_id = made.webhook.webhook_id
    await core.admin("DeleteCustomerWebhook", pb.DeleteCustomerWebhookRequest(webhook_id=webhook_id))
    listed = await core.admin("ListCustomerWebhooks", pb.ListCustomerWebhooksRequest(account_id=account_id))
    assert not listed.webhooks
    again = pb.DeleteCustomerWebhookRequest(webhook_id=webhook_id)
    assert (await refused(core, "DeleteCustomerWebhook", again))[0] == "NOT_FOUND"

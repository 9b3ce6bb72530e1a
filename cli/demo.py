"""Owns the demo: an account with a sandbox to try the product out, made once, and how it is shown."""

import json
from collections.abc import Mapping
from typing import Any

from cli.client import Core
from cli.data_folder import DEMO_FILE, DataFolder
from cli.layout import Layout
from cli.output import say
from hubgate.policy.v1 import accounts_pb2, instances_pb2, integrations_pb2, threecx_sms_pb2

CUSTOMER = "+966500000000"
EXAMPLE = {
    "event_type": "outbound_message",
    "to": CUSTOMER,
    "message_text": "Your support ticket has been updated.",
    "message_purpose": "support",
    "conversation_id": "3cx-chat-123",
    "agent_extension": "101",
}
_MOST = 10_000
BUSINESS_NUMBER = "+966110000000"
"""The demo phone system's own number."""

_MADE_ONCE = ("integration_id", "secret", "instance_id", "api_key", "sms_api_key")


def make_demo(core: Core, folder: DataFolder, layout: Layout) -> dict[str, str]:
    """The demo's ids and secrets. Made if there is none yet; found again, with its secrets, if there is.

    Errors: `CliError`.
    """
    kept = folder.read_json(DEMO_FILE) or {}
    if not _still_there(core, kept):
        kept = _make(core)
    if not kept.get("sms_api_key"):
        kept |= {"sms_api_key": _sms_key(core, kept["integration_id"], kept["instance_id"])}
    demo = {
        "base_url": layout.base_url,
        **{name: str(kept[name]) for name in _MADE_ONCE},
        "admin_token": layout.admin_token,
        "policycore_address": layout.policycore_address,
    }
    folder.write_json(DEMO_FILE, demo)
    return demo


def print_demo(demo: Mapping[str, str], *, open_sandbox: bool) -> None:
    """What to type first."""
    base, instance = demo["base_url"], demo["instance_id"]
    allowed = "" if open_sandbox else f" \\\n  -H 'Authorization: Bearer {demo['admin_token']}'"
    customer = json.dumps({"from": CUSTOMER, "text": "Where is my order?"})
    reply = json.dumps(EXAMPLE)
    sms_reply = json.dumps({"from": BUSINESS_NUMBER, "to": CUSTOMER, "text": "It leaves today."})
    say(
        f"""
The first reply, in another terminal:

1. A customer writes. (Try step 2 first, and the reply is refused: nobody has written yet.)

curl -sS {base}/sandbox/{instance}/messages{allowed} \\
  -H 'Content-Type: application/json' -d '{customer}'

2. The agent answers, as 3CX posts it:

curl -sS {base}/integrations/3cx/webhook/{demo["integration_id"]} \\
  -H 'X-WhatsApp-Gateway-3CX-Secret: {demo["secret"]}' \\
  -H 'Content-Type: application/json' -d '{reply}'

   Or as 3CX posts it where it takes the gateway for its SMS provider:

curl -sS {base}/integrations/3cx/sms/{demo["integration_id"]} \\
  -H 'Authorization: Bearer {demo["sms_api_key"]}' \\
  -H 'Content-Type: application/json' -d '{sms_reply}'

3. Look at the customer's phone, and at what 3CX was sent:

curl -sS '{base}/sandbox/{instance}/messages?person=%2B{CUSTOMER.removeprefix("+")}'{allowed}
curl -sS {base}/sandbox/{instance}/threecx{allowed}
"""
    )


def _still_there(core: Core, kept: Mapping[str, Any]) -> bool:
    # The last one is newer than demos that were made before it, and is made for them.
    if not all(isinstance(kept.get(name), str) and kept[name] for name in _MADE_ONCE[:-1]):
        return False
    request = integrations_pb2.ListIntegrationsRequest(integration_id=kept["integration_id"])
    return bool(core.rows("ListIntegrations", request, "integrations", 1))


def _make(core: Core) -> dict[str, str]:
    """Makes what is missing; what an interrupted run left behind is used again, with new secrets."""
    account_id = _account(core)
    instance_id = _instance(core, account_id)
    integration_id, secret = _integration(core, account_id, instance_id)
    key = core.call("CreateApiKey", accounts_pb2.CreateApiKeyRequest(account_id=account_id, name="Demo"))
    return {
        "integration_id": integration_id,
        "secret": secret,
        "instance_id": instance_id,
        "api_key": key.key,
    }


def _account(core: Core) -> str:
    for account in core.rows("ListAccounts", accounts_pb2.ListAccountsRequest(), "accounts", _MOST):
        if account.name == "Demo":
            return str(account.account_id)
    wire = accounts_pb2.Account(
        name="Demo",
        time_zone="Asia/Riyadh",
        plan=accounts_pb2.PLAN_STARTER,
        threecx_module_enabled=True,
        language="en",
    )
    return str(core.call("CreateAccount", accounts_pb2.CreateAccountRequest(account=wire)).account.account_id)


def _instance(core: Core, account_id: str) -> str:
    listed = instances_pb2.ListInstancesRequest(account_id=account_id)
    for instance in core.rows("ListInstances", listed, "instances", _MOST):
        if instance.name == "demo":
            return str(instance.instance_id)
    wire = instances_pb2.Instance(account_id=account_id, name="demo", backend="sandbox")
    made = core.call("CreateInstance", instances_pb2.CreateInstanceRequest(instance=wire))
    return str(made.instance.instance_id)


def _integration(core: Core, account_id: str, instance_id: str) -> tuple[str, str]:
    listed = integrations_pb2.ListIntegrationsRequest(account_id=account_id)
    for integration in core.rows("ListIntegrations", listed, "integrations", _MOST):
        if integration.name == "Demo":
            rotate = integrations_pb2.RotateSecretRequest(integration_id=integration.integration_id)
            rotate.overlap.FromSeconds(0)
            return str(integration.integration_id), str(core.call("RotateSecret", rotate).secret)
    wire = integrations_pb2.Integration(
        account_id=account_id,
        name="Demo",
        enabled=True,
        auth_mode=integrations_pb2.AUTH_MODE_SECRET,
        default_instance_id=instance_id,
        instance_ids=[instance_id],
        inbound_enabled=True,
        outbound_enabled=True,
        call_events_enabled=True,
        destination_kind=integrations_pb2.DESTINATION_KIND_SANDBOX_INBOX,
        country="SA",
        language="en",
    )
    made = core.call("CreateIntegration", integrations_pb2.CreateIntegrationRequest(integration=wire))
    return str(made.integration.integration_id), str(made.secret)


def _sms_key(core: Core, integration_id: str, instance_id: str) -> str:
    """A bearer key of the SMS-provider connector, which knows the demo's number from now on."""
    number = threecx_sms_pb2.ThreecxSmsNumber(instance_id=instance_id, number=BUSINESS_NUMBER)
    wire = threecx_sms_pb2.ThreecxSms(integration_id=integration_id, numbers=[number])
    core.call("SetThreecxSms", threecx_sms_pb2.SetThreecxSmsRequest(settings=wire, fields=["numbers"]))
    rotate = threecx_sms_pb2.RotateThreecxSmsKeyRequest(integration_id=integration_id)
    rotate.overlap.FromSeconds(0)
    return str(core.call("RotateThreecxSmsKey", rotate).key)

"""`hubgate integration api` against a real policy core, and what resealing makes of its secret."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cli.errors import ExitCode
from cli.main import main
from hubgate.policy.v1 import accounts_pb2, instances_pb2, integrations_pb2, threecx_api_pb2
from policycore.pbx import MessagingTrunk
from policycore.registry.sealing import THREECX_API_SECRET, Sealing
from policycore.store.resealing import reseal
from policycore.store.tables import threecx_apis
from support.admin_core import ADMIN_TOKEN, MASTER_KEY, AdminCore

SECRET = "the-secret-of-the-application"


async def make_integration(core: AdminCore) -> str:
    """An integration's id."""
    account = accounts_pb2.Account(name="Acme", time_zone="UTC", plan=accounts_pb2.PLAN_STARTER)
    made = await core.admin("CreateAccount", accounts_pb2.CreateAccountRequest(account=account))
    account_id = made.account.account_id
    instance = instances_pb2.Instance(account_id=account_id, backend="sandbox", name="demo")
    ins = await core.admin("CreateInstance", instances_pb2.CreateInstanceRequest(instance=instance))
    wire = integrations_pb2.Integration(
        account_id=account_id, name="3CX", instance_ids=[ins.instance.instance_id]
    )
    found = await core.admin("CreateIntegration", integrations_pb2.CreateIntegrationRequest(integration=wire))
    return str(found.integration.integration_id)


async def test_a_phone_system_is_set_shown_and_removed_from_the_command_line(
    sqlite_core: AdminCore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HUBGATE_POLICYCORE_ADDRESS", sqlite_core.address)
    monkeypatch.setenv("HUBGATE_TOKEN", ADMIN_TOKEN)
    monkeypatch.setenv("HUBGATE_DATA", str(tmp_path))
    (tmp_path / "key.txt").write_text(SECRET + "\n")
    integration_id = await make_integration(sqlite_core)
    printed: list[str] = []

    async def run(*arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ("integration", "api", *arguments))
        captured = capsys.readouterr()
        printed.append(captured.out + captured.err)
        return code, printed[-1]

    async def run_json(*arguments: str) -> Any:
        code, out = await run(*arguments, "--json")
        assert code == 0, out
        return json.loads(out)

    address = ("--address", "https://pbx.example.com", "--client-id", "900")
    missing = str(tmp_path / "none.txt")
    assert (await run("show", integration_id))[0] == ExitCode.REFUSED
    assert (await run("set", integration_id, *address, "--client-secret-file", missing))[0] == ExitCode.USAGE
    assert (await run("set", integration_id, *address))[0] == ExitCode.USAGE
    key = ("--client-secret-file", str(tmp_path / "key.txt"))
    made = await run_json("set", integration_id, *address, *key, "--catch-up", "2h", "--who-replied")
    assert (made["base_url"], made["catch_up"], made["who_replied"]) == (address[1], "7200s", True)
    assert await run_json("show", integration_id) == made
    assert (await run_json("status", integration_id))["state"] == "waiting"
    url = "https://pbx.example.com/sms/generic/0f3c"
    sqlite_core.pbx.trunks_there = [MessagingTrunk("10007", "WhatsApp", "Generic", True, url)]
    code, out = await run("webhooks", integration_id)
    assert code == 0 and "https://pbx.example.com/…" in out and "0f3c" not in out
    assert (await run_json("webhooks", integration_id, "--reveal"))["trunks"][0]["webhook_url"] == url
    sqlite_core.pbx.failure = "credentials_refused"
    code, out = await run("webhooks", integration_id)
    assert code == ExitCode.PROBLEM and "credentials_refused" in out
    assert (await run("remove", integration_id))[0] == 0
    assert (await run("status", integration_id))[0] == ExitCode.REFUSED
    assert not any(SECRET in each or "Traceback" in each for each in printed)


async def test_the_secret_is_sealed_again_with_a_new_master_key(core: AdminCore, database_url: str) -> None:
    integration_id = await make_integration(core)
    api = threecx_api_pb2.ThreecxApi(
        integration_id=integration_id, base_url="https://pbx.example.com", client_id="900"
    )
    await core.admin("SetThreecxApi", threecx_api_pb2.SetThreecxApiRequest(api=api, client_secret=SECRET))
    new = bytes(reversed(range(32)))
    done = await reseal(database_url, [new, MASTER_KEY], os.urandom, lambda *_: None)
    assert done.problems == []
    async with core.database.reading() as connection:
        sealed = (await connection.execute(select(threecx_apis.c.client_secret_sealed))).scalar_one()
    assert Sealing(new, os.urandom).unseal(sealed, THREECX_API_SECRET, integration_id) == SECRET

"""The command line against a real policy core: what it prints, and how it ends."""

import asyncio
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from cli.errors import ExitCode
from cli.main import main
from policycore.ports import AttemptOutcome, Outcome
from policycore.store.tables import outbox, refusals
from support.admin_core import ADMIN_TOKEN, AdminCore


class Shell:
    """Runs commands as a person or a script would."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, arguments)
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    async def json(self, *arguments: str) -> Any:
        """What a script gets; the command must succeed."""
        code, out, err = await self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def shell(
    sqlite_core: AdminCore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Shell:
    monkeypatch.setenv("HUBGATE_POLICYCORE_ADDRESS", sqlite_core.address)
    monkeypatch.setenv("HUBGATE_TOKEN", ADMIN_TOKEN)
    monkeypatch.setenv("HUBGATE_DATA", str(tmp_path))
    return Shell(capsys)


async def _account(shell: Shell) -> str:
    made = await shell.json("account", "create", "Demo", "--time-zone", "Asia/Riyadh")
    return str(made["account_id"])


async def _integration(shell: Shell, account: str) -> tuple[str, str]:
    instance = await shell.json("instance", "create", "demo", "--account", account, "--backend", "sandbox")
    made = await shell.json(
        "integration", "create", "Office", "--account", account, "--instance", instance["instance_id"],
        "--country", "SA", "--destination", "sandbox_inbox", "--cool-down", "20m",
    )  # fmt: skip
    assert made["integration"]["cool_down"] == "1200s"
    assert made["secret"]
    assert made["signing_secret"]
    return str(made["integration"]["integration_id"]), str(instance["instance_id"])


async def test_accounts_and_keys(shell: Shell) -> None:
    account = await _account(shell)
    changed = await shell.json(
        "account", "update", account, "--plan", "custom", "--daily-limit", "7", "--monthly-limit", "70",
        "--no-threecx",
    )  # fmt: skip
    assert (changed["plan"], changed["daily_limit"]) == ("PLAN_CUSTOM", "7")
    assert changed["threecx_module_enabled"] is False
    assert await shell.json("account", "show", account) == changed
    assert await shell.json("account", "list") == [changed]
    key = await shell.json("api-key", "create", "--account", account, "--name", "CRM", "--test")
    assert key["key"].startswith("wg_test_")
    code, out, _ = await shell("api-key", "list", "--account", account)
    assert code == 0
    assert key["api_key"]["prefix"] in out
    assert key["key"] not in out
    revoked = await shell.json("api-key", "revoke", key["api_key"]["api_key_id"])
    assert revoked["revoked_at"]
    token = await shell.json("service-token", "create", "crm", "--right", "submit", "--account", account)
    assert token["token"].startswith("hgs_")
    assert [each["name"] for each in await shell.json("service-token", "list")] == ["crm"]
    assert (await shell.json("service-token", "revoke", "crm"))["revoked_at"]


async def test_the_sms_provider_connector(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    integration, instance = await _integration(shell, await _account(shell))
    key = "0f3c9d1e5b7a4c2f8e6d0a1b3c5d7e9f"
    monkeypatch.setenv("HUBGATE_THREECX_SMS_WEBHOOK_URL", f"https://192.168.1.5:5001/sms/generic/{key}")
    made = await shell.json("integration", "sms", "set", integration, "--number", f"{instance}=0110000000")
    assert made["numbers"] == [{"instance_id": instance, "number": "+966110000000"}]
    assert made["webhook_url"] == "https://192.168.1.5:5001/\u2026"
    monkeypatch.delenv("HUBGATE_THREECX_SMS_WEBHOOK_URL")
    changed = await shell.json(
        "integration", "sms", "set", integration, "--no-lines", "--purpose", "operational"
    )
    assert (changed["gateway_lines"], changed["default_purpose"]) == (False, "operational")
    assert changed["numbers"] == made["numbers"]
    rotated = await shell.json("integration", "sms", "rotate-key", integration, "--overlap", "2h")
    assert rotated["key"].startswith("sms_")
    shown = await shell.json("integration", "sms", "show", integration)
    assert [rotated["key"].startswith(each["prefix"]) for each in shown["keys"]] == [True]
    code, out, _ = await shell("integration", "sms", "show", integration)
    assert code == 0 and "gateway lines" in out and key not in out and rotated["key"] not in out
    audited = await shell.json("log", "audit")
    assert key not in json.dumps([shown, audited]) and rotated["key"] not in json.dumps([shown, audited])
    for wrong in ("nonsense", f"{instance}=12", "ins_none=+966110000001"):
        assert (await shell("integration", "sms", "set", integration, "--number", wrong))[0] == 2


async def test_business_hours(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    integration, _ = await _integration(shell, await _account(shell))
    hours = ("integration", "hours")
    none = {"integration_id": integration, "calendar": None, "is_open": True, "changes_at": None}
    assert await shell.json(*hours, "show", integration) == none
    code, out, _ = await shell(*hours, "show", integration)
    assert code == 0 and "no business hours" in out

    closed = {"time_zone": "Asia/Riyadh", "week": {}}
    (tmp_path / "hours.json").write_text(json.dumps(closed), "utf-8")
    kept = await shell.json(*hours, "set", integration, "--file", f"{tmp_path}/hours.json")
    assert kept == {**none, "calendar": closed, "is_open": False}
    assert await shell.json(*hours, "show", integration) == kept

    named = {
        **closed,
        "week": {"sunday": [["09:00", "17:00"]]},
        "holidays": [{"name": "عيد", "from": "2026-09-23"}],
    }
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(named, ensure_ascii=False)))
    assert (await shell(*hours, "set", integration, "--file", "-"))[0] == 0
    shown = await shell.json(*hours, "show", integration)
    assert shown["calendar"] == named and shown["changes_at"].endswith("Z")
    code, out, _ = await shell(*hours, "show", integration)
    assert code == 0 and "عيد" in out and "Asia/Riyadh" in out

    assert await shell.json(*hours, "clear", integration) == none
    assert (await shell(*hours, "clear", integration))[0] == 0


async def test_business_hours_that_cannot_be_read(shell: Shell, tmp_path: Path) -> None:
    integration, _ = await _integration(shell, await _account(shell))
    file = tmp_path / "hours.json"
    set_hours = ("integration", "hours", "set", integration, "--file")
    for wrong, words in (
        (b"{", "not JSON"),
        (b"", "is empty"),
        (b"\xff", "cannot be read"),
        (b"[1]", "object"),
        (b'{"time_zone": "Riyadh"}', "time_zone"),
        (b'{"time_zone": "Asia/Riyadh", "week": {"sunday": [["9", "17:00"]]}}', "week.sunday"),
        (b" " * 300_000, "at most"),
    ):
        file.write_bytes(wrong)
        code, _, err = await shell(*set_hours, str(file))
        assert code == ExitCode.USAGE and words in err, (wrong[:80], err)
    assert (await shell(*set_hours, f"{tmp_path}/none.json"))[0] == ExitCode.USAGE
    assert (await shell.json("integration", "hours", "show", integration))["calendar"] is None
    file.write_text('{"time_zone": "Asia/Riyadh"}', "utf-8")
    assert (await shell("integration", "hours", "set", "int_none", "--file", str(file)))[
        0
    ] == ExitCode.REFUSED


async def test_integrations_and_instances(shell: Shell) -> None:
    account = await _account(shell)
    integration, instance = await _integration(shell, account)
    shown = await shell.json("integration", "show", integration)
    assert (len(shown["secrets"]), len(shown["templates"])) == (1, 6)
    changed = await shell.json(
        "integration", "update", integration, "--auth-mode", "secret-hmac", "--allow", "10.0.0.0/8",
        "--no-inbound", "--disabled",
    )  # fmt: skip
    assert changed["auth_mode"] == "AUTH_MODE_SECRET_HMAC"
    assert (changed["inbound_enabled"], changed["outbound_enabled"], changed["enabled"]) == (
        False,
        True,
        False,
    )
    crm = await shell.json(
        "integration", "update", integration, "--crm-fold-within", "90s", "--crm-requests-per-minute", "50",
        "--crm-unanswered-sends",
    )  # fmt: skip
    assert (crm["crm_fold_within"], crm["crm_requests_per_minute"], crm["crm_unanswered_sends"]) == (
        "90s",
        50,
        True,
    )
    opened = await shell.json("integration", "update", integration, "--allow-all")
    assert opened["allowed_addresses"] == []
    rotated = await shell.json("integration", "rotate-secret", integration, "--overlap", "2h")
    assert rotated["secret"] not in json.dumps(shown)
    template = await shell.json(
        "integration",
        "set-template",
        integration,
        "missed_call",
        "--text",
        "Hi {{business_name}}",
        "--enabled",
    )
    assert template["enabled"] is True
    await shell.json("instance", "update", instance, "--name", "other", "--messages-per-second", "0")
    assert [each["name"] for each in await shell.json("instance", "list")] == ["other"]
    probed = await shell.json("instance", "probe", instance)
    assert probed["instance"]["state"] == "INSTANCE_STATE_OPEN"
    for arguments in (("integration", "show", integration), ("instance", "show", instance)):
        assert (await shell(*arguments))[0] == 0


async def test_an_instance_that_cannot_be_asked(shell: Shell, sqlite_core: AdminCore) -> None:
    _, instance = await _integration(shell, await _account(shell))
    sqlite_core.probe.answer = ("", "", "No answer within 5 s.")
    code, _, err = await shell("instance", "probe", instance)
    assert (code, err) == (1, "No answer within 5 s.\n")


async def test_suppressions_and_their_import(shell: Shell, tmp_path: Path) -> None:
    account = await _account(shell)
    added = await shell.json("suppress", "add", "+966500000000", "--account", account, "--reason", "asked")
    file = tmp_path / "list.csv"
    rows = [f"+9665{number:08d}," for number in range(80)]
    file.write_text("\ufeffPhone,Reason\n" + "\n".join(rows) + "\n0500,bad\n\n+966500000000,again\n", "utf-8")
    code, out, _ = await shell("suppress", "import", str(file), "--account", account, "--json")
    result = json.loads(out)
    assert (code, result["rows"], result["suppressed"]) == (1, 82, 81)
    assert [problem["line"] for problem in result["problems"]] == [82]
    listed = await shell.json("suppress", "list", "--account", account, "--limit", "1000")
    assert len(listed) == 80
    assert {each["reason"] for each in listed} == {"asked", "imported"}
    one = await shell.json("suppress", "list", "--account", account, "--person", "+966500000000")
    assert [each["suppression_id"] for each in one] == [added["suppression_id"]]
    assert (await shell.json("suppress", "lift", added["suppression_id"], "--reason", "error"))["lifted_at"]


@pytest.mark.parametrize("content", [b"number\n1\n", b"", b"\xff\xfe\x00phone\n", b"phone\n\x00\xff\n"])
async def test_a_file_that_is_no_list(shell: Shell, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    code, _, err = await shell("suppress", "import", str(file), "--account", "acc_1")
    assert code == 2
    assert str(file) in err


async def test_pauses_and_rules(shell: Shell) -> None:
    account = await _account(shell)
    made = await shell.json("pause", "--account", account, "--for", "2h", "--reason", "audit")
    person = await shell.json("pause", "--account", account, "--person", "+966500000000")
    assert person["pause"]["scope"] == "PAUSE_SCOPE_PERSON"
    listed = await shell.json("pauses")
    assert [each["reason"] for each in listed] == ["", "audit"]
    ids = [each["pause_id"] for each in listed]
    assert all(each["lifted_at"] for each in await shell.json("resume", *ids))
    assert await shell.json("pauses") == []
    assert len(await shell.json("pauses", "--ended")) == 2
    assert made["senders_confirmed"] == 2
    await shell.json("rules", "set", "--content-block-score", "90", "--shadow", "content", "--window", "12h")
    await shell.json("rules", "set", "--account", account, "--pair-burst", "9")
    await shell.json("rules", "set", "--clear", "window")
    rules = await shell.json("rules", "show", "--account", account)
    assert rules["effective"]["window"] == "86400s"
    assert (rules["effective"]["content_block_score"], rules["effective"]["pair_burst"]) == (90, 9)
    code, out, _ = await shell("rules", "show")
    assert code == 0
    assert "content" in out


async def test_customers_systems_and_what_was_done(shell: Shell) -> None:
    account = await _account(shell)
    made = await shell.json(
        "webhook", "create", "https://crm.example.test/events", "--account", account,
        "--event", "message.received",
    )  # fmt: skip
    assert made["signing_secret"]
    webhook = made["webhook"]["webhook_id"]
    code, table, _ = await shell("webhook", "list", "--account", account)
    assert code == 0
    assert webhook in table
    assert "message.received" in table
    assert made["signing_secret"] not in table
    code, _, err = await shell("webhook", "create", "ftp://crm.example.test", "--account", account)
    assert (code, "webhook.url" in err) == (2, True)
    assert await shell.json("webhook", "delete", webhook) == {"webhook_id": webhook}
    assert await shell.json("webhook", "list", "--account", account) == []
    assert (await shell("webhook", "delete", webhook))[0] == 4
    entries = await shell.json("log", "audit", "--account", account)
    assert [entry["act"] for entry in entries][:2] == ["DeleteCustomerWebhook", "CreateCustomerWebhook"]
    assert all(made["signing_secret"] not in entry["detail_json"] for entry in entries)
    code, table, _ = await shell("log", "audit")
    assert (code, "CreateAccount" in table) == (0, True)


async def test_who_was_turned_away(shell: Shell, sqlite_core: AdminCore) -> None:
    assert "Nobody" in (await shell("log", "security"))[1]
    async with sqlite_core.database.transaction() as connection:
        await connection.execute(
            insert(refusals).values(
                minute=datetime(2026, 3, 14, 9, 0, tzinfo=UTC),
                surface="threecx_webhook",
                target="int_x",
                reason="wrong_secret",
                source_address="192.0.2.7",
                count=3,
            )
        )
    [row] = await shell.json("log", "security", "--target", "int_x")
    assert (row["reason"], row["count"], row["source_address"]) == ("wrong_secret", "3", "192.0.2.7")
    assert await shell.json("log", "security", "--target", "int_y") == []


async def test_doctor_says_what_is_ill(shell: Shell, sqlite_core: AdminCore) -> None:
    _, instance = await _integration(shell, await _account(shell))
    code, out, _ = await shell("doctor", "--json")
    clock = next(each for each in json.loads(out)["checks"] if each["name"] == "clock here")
    # The core under test says a date of the past, so this machine's clock is far from it.
    assert (code, clock["healthy"]) == (1, False)
    sqlite_core.probe.answer = ("close", "logged_out", "")
    await shell.json("instance", "probe", instance)
    _, out, _ = await shell("doctor")
    assert "logged_out" in out
    assert "PROBLEM" in out


WRONG: dict[str, tuple[int, Callable[[str], tuple[str, ...]]]] = {
    "not found": (4, lambda account: ("account", "show", "acc_none")),
    "no such decision filter": (2, lambda account: ("decisions", "list", "--reason", "nonsense")),
    "malformed": (2, lambda account: ("account", "create", " ")),
    "no argument": (2, lambda account: ("account", "create")),
    "no such command": (2, lambda account: ("nonsense",)),
    "overlap": (2, lambda account: ("integration", "rotate-secret", "int_1", "--overlap", "soon")),
    "two scopes": (2, lambda account: ("pause", "--platform", "--instance", "ins_1")),
    "no scope": (2, lambda account: ("pause",)),
    "until and for": (
        2,
        lambda account: ("pause", "--platform", "--for", "1h", "--until", "2030-01-01T00:00:00Z"),
    ),
    "person alone": (2, lambda account: ("pause", "--person", "+966500000000")),
    "taken name": (
        4,
        lambda account: ("instance", "create", "demo", "--account", account, "--backend", "sandbox"),
    ),
    "rule": (2, lambda account: ("rules", "set", "--clear", "nonsense")),
    "nothing named": (2, lambda account: ("account", "update", account)),
}


@pytest.mark.parametrize("name", WRONG)
async def test_failures_have_their_exit_code(shell: Shell, name: str) -> None:
    account = await _account(shell)
    await _integration(shell, account)
    expected, arguments = WRONG[name]
    code, out, err = await shell(*arguments(account))
    assert code == expected
    assert out == ""
    assert err.strip()


async def test_who_is_not_known_or_not_there(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBGATE_TOKEN", "somebody-else")
    code, _, err = await shell("account", "list")
    assert code == 4
    assert "HUBGATE_TOKEN" in err
    assert "somebody-else" not in err
    monkeypatch.delenv("HUBGATE_TOKEN")
    code, _, err = await shell("account", "list")
    assert code == 2
    assert "HUBGATE_TOKEN" in err
    monkeypatch.setenv("HUBGATE_TOKEN", ADMIN_TOKEN)
    monkeypatch.setenv("HUBGATE_POLICYCORE_ADDRESS", "127.0.0.1:1")
    code, _, err = await shell("account", "list")
    assert code == 3
    assert "127.0.0.1:1" in err
    assert (await shell("doctor"))[0] == 1


async def test_migrate_knows_where_the_database_stands(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HUBGATE_DATABASE_URL", f"sqlite:///{tmp_path}/fresh.db")
    assert (await shell("migrate", "--check"))[0] == 1
    assert (await shell.json("migrate"))["before"] is None
    assert (await shell("migrate", "--check"))[0] == 0
    monkeypatch.setenv("HUBGATE_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/none")
    code, _, err = await shell("migrate")
    assert code == 3
    assert "hunter2" not in err
    monkeypatch.setenv("HUBGATE_DATABASE_URL", "mysql://u:hunter2@db/none")
    code, _, err = await shell("migrate")
    assert code == 2
    assert "HUBGATE_DATABASE_URL" in err


async def test_help_and_version(shell: Shell) -> None:
    code, out, _ = await shell("--help")
    assert code == 0
    assert "decision" in out
    assert (await shell("version", "--json"))[0] == 0


async def test_an_instance_that_is_held_back_is_a_problem(sqlite_core: AdminCore, shell: Shell) -> None:
    account = await _account(shell)
    made = await shell.json("instance", "create", "demo", "--account", account, "--backend", "sandbox")
    instance_id = made["instance_id"]
    entry = sqlite_core.gates.enter(instance_id)
    sqlite_core.gates.leave(instance_id, entry, AttemptOutcome(Outcome.UNKNOWN, "evolution_timeout"))
    shown = await shell.json("instance", "show", instance_id)
    assert "did not answer" in shown["held_back"]
    code, out, _ = await shell("doctor")
    assert code == 1
    assert "did not answer" in " ".join(out.split())


async def _outbox_rows(core: AdminCore, account: str) -> None:
    moment = datetime.now(UTC)
    rows = [
        {
            "id": f"dlv_{number}",
            "account_id": account,
            "webhook_id": "whk_1",
            "event_name": "message.received",
            "body": "{}",
            "state": state,
            "attempts": 12,
            "next_attempt_at": moment,
            "last_http_status": 500,
            "last_error": "It failed.",
            "created_at": moment + timedelta(seconds=number),
        }
        for number, state in enumerate(("failed", "sent", "blocked", "pending"))
    ]
    async with core.database.transaction() as connection:
        await connection.execute(insert(outbox), rows)


async def test_dead_letters_are_listed_shown_replayed_and_discarded(
    sqlite_core: AdminCore, shell: Shell
) -> None:
    account = await _account(shell)
    await _outbox_rows(sqlite_core, account)
    failed = await shell.json("deliveries", "list", "--account", account, "--state", "failed")
    assert [each["delivery_id"] for each in failed] == ["dlv_0"]
    _, out, _ = await shell("deliveries", "list")
    assert "dlv_3" in out
    shown = await shell.json("deliveries", "show", "dlv_0")
    assert (shown["last_error"], shown["attempts"]) == ("It failed.", 12)
    code, _, err = await shell("deliveries", "discard", "dlv_1")
    assert code == ExitCode.REFUSED
    assert "sent" in err
    discarded = await shell.json("deliveries", "discard", "dlv_3", "--reason", "not wanted")
    assert [each["state"] for each in discarded] == ["DELIVERY_STATE_DISCARDED"]
    replayed = await shell.json("deliveries", "replay", "--all-failed", "--webhook", "whk_1")
    assert [each["delivery_id"] for each in replayed] == ["dlv_0", "dlv_2"]
    code, out, _ = await shell("deliveries", "replay", "--all-failed", "--account", account)
    assert (code, out.strip()) == (0, "There is nothing of the kind.")
    for wrong in (
        ("replay",),
        ("discard", "--all-failed"),
        ("discard", "dlv_1", "--all-failed"),
        ("show", "dlv_9"),
    ):
        code, _, err = await shell("deliveries", *wrong)
        assert code in (ExitCode.USAGE, ExitCode.REFUSED)
        assert err

"""The whole product with certificates between its services, made and looked at with the command line."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.gateway import ROOT, Gateway

PHONE = "+966500000000"
SERVICES = ("edge", "policycore", "sender")


def _hubgate(gateway: Gateway, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = gateway.environment | {"HUBGATE_TOKEN": gateway.admin_token} | environ
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder of certificates."""
    made = tmp_path / "certificates"
    command = [sys.executable, "-m", "cli.main", "certificates", "create", "--folder", str(made)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return made


@pytest.fixture
def certified(tmp_path: Path, certificates: Path) -> Iterator[Gateway]:
    """The product, each service with its own certificate."""
    data = tmp_path / "data"
    data.mkdir()
    folders = {name: {"HUBGATE_TLS_FOLDER": str(certificates / name)} for name in SERVICES}
    gateway = Gateway(data, f"sqlite+aiosqlite:///{data}/hubgate.db", part_extra=folders)
    asyncio.run(gateway.start())
    yield gateway
    gateway.stop()


def _made(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_message_passes_under_certificates(certified: Gateway, certificates: Path) -> None:
    admin = {"HUBGATE_TLS_FOLDER": str(certificates / "admin")}

    def admin_makes(*arguments: str) -> Any:
        return _made(_hubgate(certified, *arguments, "--json", **admin))

    account = admin_makes("account", "create", "Example", "--time-zone", "Asia/Riyadh")["account_id"]
    instance = admin_makes("instance", "create", "Phone", "--account", account, "--backend", "sandbox")
    instance_id = instance["instance_id"]
    made = admin_makes("integration", "create", "Office", "--account", account, "--instance", instance_id)
    url = f"/integrations/3cx/webhook/{made['integration']['integration_id']}"
    reply = {
        "event_type": "outbound_message",
        "to": PHONE,
        "message_text": "Your support ticket has been updated.",
        "message_purpose": "support",
    }
    with httpx.Client(base_url=certified.base_url, trust_env=False, timeout=15) as client:

        def post() -> httpx.Response:
            headers = {"X-WhatsApp-Gateway-3CX-Secret": made["secret"]}
            return client.post(url, json=reply, headers=headers)

        while (refused := post()).status_code == 401:  # the edge hears of a new integration within a second
            pass
        assert refused.json()["error"] == "conversation_window_closed"
        client.post(f"/sandbox/{instance_id}/messages", json={"from": PHONE, "text": "Hello"})
        answer = post()
    assert (answer.status_code, answer.json()["status"]) == (200, "sent")

    without = _hubgate(certified, "account", "list")
    assert without.returncode == 3, "a caller without a certificate gets no connection"
    as_sender = _hubgate(certified, "account", "list", HUBGATE_TLS_FOLDER=str(certificates / "sender"))
    assert as_sender.returncode == 4
    assert "may not speak for" in as_sender.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_without_its_certificate_does_not_start(
    tmp_path: Path, certificates: Path, name: str
) -> None:
    gateway = Gateway(tmp_path, f"sqlite+aiosqlite:///{tmp_path}/hubgate.db")
    (certificates / name / "tls.key").unlink()
    environ = {"HUBGATE_TLS_FOLDER": str(certificates / name)}
    migrated = _hubgate(gateway, "migrate")
    assert migrated.returncode == 0
    done = _hubgate(gateway, name, "serve", **environ)
    assert done.returncode == 2
    assert "HUBGATE_TLS_FOLDER" in done.stderr
    assert "Traceback" not in done.stderr

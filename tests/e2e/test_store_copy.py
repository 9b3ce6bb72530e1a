"""An embedded installation moves to PostgreSQL, and nobody who uses it notices more than a short silence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from servers.postgres import PostgresServer
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import ROOT, CoreClient, Gateway


def _hubgate(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env=gateway.environment,
        capture_output=True,
        text=True,
        check=False,
    )


async def _fill(desk: Desk) -> tuple[str, str, dict[str, Any]]:
    """One person in conversation, one who opted out, and an accepted request with a key."""
    talking, opted_out = fresh_phone(), fresh_phone()
    await desk.customer_writes(talking)
    await desk.customer_writes(opted_out, "STOP")
    accepted = await desk.reply(talking, event_id="evt-before")
    assert accepted.json()["status"] == "sent"
    assert (await desk.reply(opted_out)).json()["error"] == "recipient_suppressed"
    return talking, opted_out, accepted.json()


async def _is_the_same(desk: Desk, talking: str, opted_out: str, accepted: dict[str, Any]) -> None:
    again = (await desk.reply(talking, event_id="evt-before")).json()
    assert again["duplicate"] is True
    assert (again["message_id"], again["log_id"]) == (accepted["message_id"], accepted["log_id"])
    fresh = await desk.reply(talking, message_text="The window is still open.")
    assert fresh.json()["status"] == "sent", fresh.text
    assert fresh.json()["log_id"] > accepted["log_id"]
    assert (await desk.reply(opted_out)).json()["error"] == "recipient_suppressed"
    told = await desk.http.get(
        f"/admin/decisions/{accepted['log_id']}",
        headers={"Authorization": f"Bearer {desk.gateway.admin_token}"},
    )
    assert told.json()["decision"]["reason"] == "allowed"
    texts = [shown["text"] for shown in await desk.phone_shows(talking)]
    assert texts == ["Hello", "Your support ticket has been updated.", "The window is still open."]


async def test_an_installation_moves(tmp_path: Path, postgres_server: PostgresServer) -> None:
    old = Gateway(tmp_path, f"sqlite+aiosqlite:///{tmp_path}/hubgate.db")
    target = postgres_server.url(postgres_server.create_database())
    new = Gateway(tmp_path, target, extra={})
    new.environment = {**old.environment, "HUBGATE_DATABASE_URL": target}
    new.admin_token, new.base_url, new.core_address = old.admin_token, old.base_url, old.core_address
    try:
        await old.start()
        async with (
            CoreClient(old.core_address, old.admin_token) as core,
            httpx.AsyncClient(base_url=old.base_url, trust_env=False, timeout=15) as http,
        ):
            desk = await open_desk(old, core, http)
            found = await _fill(desk)
        running = _hubgate(old, "store", "copy", "--to", target)
        assert running.returncode == 4 and "stop the services" in running.stderr
        old.stop()
        done = _hubgate(old, "store", "copy", "--to", target, "--json")
        assert done.returncode == 0, done.stderr
        rows = {each["table"]: each for each in json.loads(done.stdout)["tables"]}
        assert rows["messages"]["rows"] >= 4 and len(rows["messages"]["digest"]) == 64
        twice = _hubgate(old, "store", "copy", "--to", target)
        assert twice.returncode == 4 and "not empty" in twice.stderr
        closed = _hubgate(old, "policycore", "serve")
        assert closed.returncode == 2 and "moved to PostgreSQL" in closed.stderr
        await new.start()
        async with (
            CoreClient(new.core_address, new.admin_token) as core,
            httpx.AsyncClient(base_url=new.base_url, trust_env=False, timeout=15) as http,
        ):
            moved = Desk(new, core, http, desk.account, desk.instance, desk.integration, desk.secret)
            await _is_the_same(moved, *found)
    finally:
        old.stop()
        new.stop()

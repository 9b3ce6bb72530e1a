"""The policy core as it is started: it checks itself, tells what is broken, and ends when it is told to."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from policycore.ledger import MessageState
from policycore.store import tables
from policycore.store.engine import open_database
from policycore.store.migrate import upgrade

ROOT = Path(__file__).resolve().parents[3]


async def _with_an_orphan(url: str) -> None:
    """A database with one message that no decision stands for, made twenty minutes ago."""
    await upgrade(url)
    database = open_database(url)
    made_at = datetime.now(UTC) - timedelta(minutes=20)
    account = {"id": "acc_1", "name": "A", "time_zone": "Asia/Riyadh", "plan": 1, "created_at": made_at}
    message = {
        "id": "msg_orphan",
        "account_id": "acc_1",
        "instance_id": "ins_1",
        "person_id": "per_1",
        "outbound": True,
        "state": int(MessageState.LAPSED),
        "kind": 1,
        "text": "Hello",
        "log_id": 7,
        "created_at": made_at,
        "updated_at": made_at,
        "provider_at": None,
    }
    reply_to = {**message, "id": "msg_inbound", "outbound": False, "provider_at": made_at, "log_id": 0}
    async with database.transaction() as connection:
        await connection.execute(insert(tables.accounts), [account])
        await connection.execute(insert(tables.messages), [reply_to, message])
    await database.close()


def _environment(url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'proto/gen'}",
        "HUBGATE_DATABASE_URL": url,
        "HUBGATE_MASTER_KEY": base64.b64encode(b"m" * 32).decode(),
        "HUBGATE_PERMIT_KEY": f"k1:{base64.b64encode(b'p' * 32).decode()}",
        "HUBGATE_EDGE_TOKEN": "e" * 32,
        "HUBGATE_ADMIN_TOKEN": "a" * 32,
        "HUBGATE_SENDER_TOKEN": "s" * 32,
        "HUBGATE_POLICYCORE_LISTEN": "127.0.0.1:0",
        "HUBGATE_INVARIANTS_EVERY_SECONDS": "1",
    }


def _told(log: Path) -> list[dict[str, Any]]:
    lines = [line for line in log.read_text("utf-8").splitlines() if '"invariant' in line]
    return [json.loads(line) for line in lines]


def test_a_running_policy_core_finds_what_is_broken(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/core.db"
    asyncio.run(_with_an_orphan(url))
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "policycore.main"], cwd=ROOT, env=_environment(url), stderr=stderr
        )
    try:
        ends = time.monotonic() + 30
        while not _told(log) and time.monotonic() < ends and process.poll() is None:
            time.sleep(0.1)
        # Found once: the runs after it have nothing to add.
        time.sleep(2.5)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    told = [(line["event"], line["level"], line["invariant"], line["subject"]) for line in _told(log)]
    assert told == [("invariant.violated", "error", "logged_message", "msg_orphan")]
    assert code == 0

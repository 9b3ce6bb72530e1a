"""What the policy core says when it cannot start."""

import base64
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert

from policycore.registry.instance_secrets import InstanceSecrets, pack
from policycore.registry.sealing import INSTANCE_SECRETS, Sealing
from policycore.store import tables
from policycore.store.engine import open_database
from policycore.store.migrate import upgrade

ROOT = Path(__file__).resolve().parents[3]


def _start(url: str, key: bytes) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'proto/gen'}",
        "HUBGATE_DATABASE_URL": url,
        "HUBGATE_MASTER_KEY": base64.b64encode(key).decode(),
        "HUBGATE_PERMIT_KEY": f"k1:{base64.b64encode(b'p' * 32).decode()}",
        "HUBGATE_EDGE_TOKEN": "e" * 32,
        "HUBGATE_ADMIN_TOKEN": "a" * 32,
        "HUBGATE_SENDER_TOKEN": "s" * 32,
        "HUBGATE_POLICYCORE_LISTEN": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "policycore.main"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


async def test_a_wrong_master_key_is_one_sentence_that_names_it(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/core.db"
    await upgrade(url)
    database, now = open_database(url), datetime.now(UTC)
    sealed = Sealing(b"1" * 32, os.urandom).seal(
        pack(InstanceSecrets("t", "w", "")), INSTANCE_SECRETS, "ins_1"
    )
    async with database.transaction() as connection:
        account = {"id": "acc_1", "name": "A", "time_zone": "Asia/Riyadh", "plan": 1, "created_at": now}
        await connection.execute(insert(tables.accounts), [account])
        instance = {
            "id": "ins_1",
            "account_id": "acc_1",
            "name": "main",
            "backend": "sandbox",
            "secrets_sealed": sealed,
            "state": "open",
            "state_changed_at": now,
            "created_at": now,
        }
        await connection.execute(insert(tables.instances), [instance])
    await database.close()
    ended = _start(url, b"2" * 32)
    assert ended.returncode == 2
    assert "HUBGATE_MASTER_KEY" in ended.stderr and "Traceback" not in ended.stderr


def test_a_database_without_tables_is_one_sentence(tmp_path: Path) -> None:
    ended = _start(f"sqlite+aiosqlite:///{tmp_path}/empty.db", b"1" * 32)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1 and "database" in ended.stderr.lower()

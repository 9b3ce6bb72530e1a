"""`hubgate key` and `hubgate store` as scripts use them: exit codes and JSON."""

import asyncio
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cli.data_folder import DataFolder, new_key, new_permit_key, new_token
from cli.main import main
from policycore.registry.credentials import token_id
from policycore.registry.sealing import INTEGRATION_SECRET, Sealing, key_id
from policycore.settings import read_master_keys, read_settings
from policycore.store.migrate import upgrade
from sender.settings import read_settings as read_sender_settings


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command; gives its exit code, what it printed as JSON (or as text), and what it said about errors."""

    def run_command(*arguments: str) -> tuple[int, Any, str]:
        code = main(arguments)
        said = capsys.readouterr()
        printed = json.loads(said.out) if "--json" in arguments and said.out else said.out
        return code, printed, said.err

    return run_command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a migrated store and its keys, one of them being changed."""
    path = tmp_path / "data"
    monkeypatch.setenv("HUBGATE_DATA", str(path))
    data = DataFolder(path)
    data.create()
    data.keep("master.key", lambda: f"{new_key(os.urandom)},{new_key(os.urandom)}")
    data.keep("permit.key", lambda: new_permit_key(os.urandom))
    for name in ("edge", "admin", "sender"):
        data.keep(f"{name}.token", lambda: new_token(os.urandom))
    asyncio.run(upgrade(f"sqlite+aiosqlite:///{path}/hubgate.db"))
    return path


def test_new_keys_are_what_the_services_read(run: Any) -> None:
    environ: dict[str, str] = {}
    for kind in ("master", "permit"):
        code, made, _ = run("key", "new", kind, "--json")
        assert code == 0
        environ.update(made)
    for name in ("EDGE", "ADMIN", "SENDER"):
        environ[f"HUBGATE_{name}_TOKEN"] = run("key", "new", "token", "--json")[1]["token"]
    settings = read_settings(environ)
    assert list(read_sender_settings(environ).permit_public_keys) == [settings.permit_key.key_id]
    assert run("key", "new", "permit")[1].startswith("HUBGATE_PERMIT_KEY=")
    code, _, said = run("key", "new", "nonsense")
    assert code == 2 and "master, permit or token" in said


def test_keys_are_listed_by_id_and_secrets_sealed_again(run: Any, folder: Path) -> None:
    first, second = read_master_keys({"HUBGATE_MASTER_KEY": (folder / "master.key").read_text()})
    _write_secret(folder, second)
    _, listed, _ = run("key", "list", "--json")
    masters = [(row["id"], row["use"], row["secrets"]) for row in listed if row["key"] == "master"]
    assert masters == [(key_id(first), "current", 0), (key_id(second), "also counts", 1)]
    admin = next(row for row in listed if row["key"] == "admin token")
    assert admin["id"] == token_id((folder / "admin.token").read_text().strip())
    code, done, _ = run("key", "reseal", "--json")
    assert (code, done) == (0, {"resealed": 1, "untouched": 0, "problems": []})
    assert run("key", "reseal", "--json")[1]["untouched"] == 1
    (folder / "master.key").write_text(new_key(os.urandom))
    code, done, _ = run("key", "reseal", "--json")
    assert code == 1 and key_id(first) in done["problems"][0]
    assert (key_id(first), "missing") in {(row["id"], row["use"]) for row in run("key", "list", "--json")[1]}


def _write_secret(folder: Path, key: bytes) -> None:

    sealed = Sealing(key, os.urandom).seal("secret", INTEGRATION_SECRET, "sec_1")
    with sqlite3.connect(folder / "hubgate.db") as store:
        store.execute(
            "INSERT INTO accounts (id, name, time_zone, plan, created_at) VALUES ('acc_1', 'A', 'UTC', 1, 1)"
        )
        store.execute(
            "INSERT INTO integrations (id, account_id, name, created_at) VALUES ('int_1', 'acc_1', 'X', 1)"
        )
        columns = "(id, integration_id, sealed, created_at)"
        store.execute(f"INSERT INTO integration_secrets {columns} VALUES ('sec_1', 'int_1', ?, 1)", (sealed,))
    store.close()


def test_a_back_up_is_made_and_put_back(run: Any, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved.db"
    code, done, _ = run("store", "backup", str(file), "--json")
    assert (code, done) == (0, {"file": str(file), "size_bytes": file.stat().st_size})
    code, _, said = run("store", "backup", str(file))
    assert code == 4 and "there already" in said
    code, done, _ = run("store", "restore", str(file), "--json")
    assert code == 0 and done["pause_id"].startswith("pau_") and Path(done["replaced"]).is_file()
    code, done, _ = run("store", "restored", "--no-pause", "--keep-windows", "--json")
    assert (code, done["pause_id"], done["windows_closed"]) == (0, "", 0)
    code, done, _ = run("store", "restored", "--nothing-lost", "--json")
    assert (code, done) == (0, {"nothing_lost": True})
    assert "may be used" in run("store", "restored", "--nothing-lost")[1]
    code, _, said = run("store", "restore", str(tmp_path / "none.db"))
    assert code == 4 and "no back-up" in said
    assert "Sending is paused" in run("store", "restore", str(file))[1]


def test_a_wrong_url_is_named_and_not_shown(run: Any, folder: Path) -> None:
    code, _, said = run("store", "copy", "--to", "mysql://u:hunter2@db/hub")
    assert code == 2 and "--to" in said and "hunter2" not in said
    code, _, said = run("store", "copy", "--to", "postgresql://u:hunter2@127.0.0.1:9/hub")
    assert code == 3 and "hunter2" not in said

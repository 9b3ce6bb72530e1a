"""Changing the master key of a store: every secret, nothing but secrets, and again after an interruption."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from policycore.registry.instance_secrets import InstanceSecrets, pack
from policycore.registry.sealing import (
    INSTANCE_SECRETS,
    INTEGRATION_SECRET,
    SIGNING_SECRET,
    THREECX_SMS_URL,
    WEBHOOK_SECRET,
    Sealing,
    key_id,
)
from policycore.store import tables
from policycore.store.config_reader import read_snapshot
from policycore.store.engine import open_database
from policycore.store.migrate import upgrade
from policycore.store.resealing import BATCH_ROWS, count_by_key, reseal
from policycore.store.signing_tables import next_signing_secrets

OLD, NEW = b"o" * 32, b"n" * 32
NOW = datetime(2026, 3, 14, tzinfo=UTC)
SECRETS = BATCH_ROWS + 7


def _ignore(_doing: str, _table: str, _done: int, _whole: int) -> None:
    """Nobody looks."""


@pytest.fixture(params=["sqlite", "postgresql"])
async def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store whose secrets are sealed with the old key."""
    url = f"sqlite+aiosqlite:///{tmp_path}/core.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    await upgrade(url)
    old = Sealing(OLD, os.urandom)
    database = open_database(url)
    async with database.transaction() as connection:
        for table, rows in _rows(old).items():
            await connection.execute(insert(table), rows)
    await database.close()
    return url


def _rows(sealing: Sealing) -> dict[Any, list[dict[str, Any]]]:
    own = {"account_id": "acc_1", "created_at": NOW}
    account = {"id": "acc_1", "name": "A", "time_zone": "UTC", "plan": 1, "created_at": NOW}
    secrets = sealing.seal(pack(InstanceSecrets("token", "hook")), INSTANCE_SECRETS, "ins_1")
    instance = {"backend": "waha", "state": "open", "state_changed_at": NOW, **own}
    instances: list[dict[str, Any]] = [
        {"id": "ins_1", "name": "one", "secrets_sealed": secrets, **instance},
        {"id": "ins_2", "name": "two", "secrets_sealed": None, **instance},
    ]
    signing = sealing.seal("signing", SIGNING_SECRET, "int_1")
    hook = sealing.seal("hook-signing", WEBHOOK_SECRET, "whk_1")
    following = [
        {"destination_id": each, "sealed": sealing.seal(f"next {each}", place, each)}
        for each, place in (("int_1", SIGNING_SECRET), ("whk_1", WEBHOOK_SECRET))
    ]
    return {
        tables.accounts: [account],
        tables.instances: instances,
        tables.integrations: [{"id": "int_1", "name": "3CX", "signing_secret_sealed": signing, **own}],
        tables.integration_secrets: [
            {
                "id": f"sec_{number}",
                "integration_id": "int_1",
                "sealed": sealing.seal(f"secret {number}", INTEGRATION_SECRET, f"sec_{number}"),
                "created_at": NOW + timedelta(seconds=number),
            }
            for number in range(SECRETS)
        ],
        tables.customer_webhooks: [
            {"id": "whk_1", "url": "https://crm.example.com", "signing_secret_sealed": hook, **own}
        ],
        tables.threecx_sms: [
            {
                "integration_id": "int_1",
                "webhook_url_sealed": sealing.seal("https://pbx/sms/generic/0f3c", THREECX_SMS_URL, "int_1"),
                "default_purpose": "support",
                "changed_at": NOW,
            }
        ],
        next_signing_secrets: [{"signs_from": NOW, "created_at": NOW, **each} for each in following],
    }


async def _opened(url: str, key: bytes) -> Any:
    """The configuration, opened with one key alone; what has no order of its own is left out."""
    database = open_database(url)
    async with database.reading() as connection:
        found = await read_snapshot(connection, Sealing(key, os.urandom).unseal, NOW)
    await database.close()
    return replace(found, instances_by_account={}, integrations_by_instance={})


async def test_every_secret_is_sealed_with_the_new_key_and_says_the_same(store_url: str) -> None:
    before = await _opened(store_url, OLD)
    assert await count_by_key(store_url) == {key_id(OLD): SECRETS + 6}
    done = await reseal(store_url, [NEW, OLD], os.urandom, _ignore)
    assert (done.resealed, done.untouched, done.problems) == (SECRETS + 6, 0, [])
    assert await count_by_key(store_url) == {key_id(NEW): SECRETS + 6}
    assert await _opened(store_url, NEW) == before
    again = await reseal(store_url, [NEW], os.urandom, _ignore)
    assert (again.resealed, again.untouched) == (0, SECRETS + 6)


async def test_an_interruption_loses_nothing(store_url: str) -> None:
    before = await _opened(store_url, OLD)

    def interrupt(_doing: str, table: str, done: int, _whole: int) -> None:
        if table == "integration_secrets" and done == BATCH_ROWS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await reseal(store_url, [NEW, OLD], os.urandom, interrupt)
    halfway = await count_by_key(store_url)
    assert halfway[key_id(NEW)] == BATCH_ROWS + 1 and halfway[key_id(OLD)] > 0
    done = await reseal(store_url, [NEW, OLD], os.urandom, _ignore)
    assert done.untouched == BATCH_ROWS + 1
    assert await _opened(store_url, NEW) == before


async def test_what_no_key_opens_is_named_and_left_alone(store_url: str) -> None:
    lost = Sealing(b"l" * 32, os.urandom).seal("lost", INTEGRATION_SECRET, "sec_3")
    database = open_database(store_url)
    secrets = tables.integration_secrets
    async with database.transaction() as connection:
        await connection.execute(update(secrets).where(secrets.c.id == "sec_3").values(sealed=lost))
    done = await reseal(store_url, [NEW, OLD], os.urandom, _ignore)
    assert done.resealed == SECRETS + 5
    (problem,) = done.problems
    assert "sec_3" in problem and key_id(b"l" * 32) in problem
    async with database.reading() as connection:
        kept = (
            await connection.execute(select(secrets.c.sealed).where(secrets.c.id == "sec_3"))
        ).scalar_one()
    await database.close()
    assert kept == lost


async def test_the_documented_way_out_when_the_key_is_lost(store_url: str) -> None:
    page = (Path(__file__).parents[3] / "docs/keys.md").read_text("utf-8")
    statements = page.partition("```sql\n")[2].partition("```")[0].split(";")
    assert len(statements) > 3
    database = open_database(store_url)
    async with database.transaction() as connection:
        for statement in statements:
            if statement.strip():
                await connection.execute(text(statement))
    await database.close()
    found = await _opened(store_url, NEW)
    assert set(found.instances) == {"ins_1", "ins_2"} and set(found.integrations) == {"int_1"}
    assert found.instances["ins_1"].api_token == "" and found.integrations["int_1"].secrets == ()

"""Moving an embedded store to PostgreSQL: the same rows, all or nothing, and never two stores of one installation."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import insert, make_url, text, update
from sqlalchemy.ext.asyncio import create_async_engine

from policycore.model import EventType
from policycore.store import tables
from policycore.store.copying import Copied, SetDigest, copy
from policycore.store.engine import open_database
from policycore.store.home import move_in
from policycore.store.migrate import upgrade
from policycore.store.partitions import Month, name_of
from policycore.store.store_errors import StoreDiffers, StoreFenced, StoreRefused
from policycore.store.types import to_microseconds
from support.core_parts import PHONE, CoreParts, TestClock, open_core

OTHER = "+966500000009"


def _ignore(_doing: str, _table: str, _done: int, _whole: int) -> None:
    """Nobody looks."""


async def _full_store(folder: Path) -> str:
    """An embedded store in which something has happened in most tables."""
    url = f"sqlite+aiosqlite:///{folder}/core.db"
    core = await open_core(url, datetime.now(UTC))
    await core.inbound("Hello", phone=PHONE)
    await core.inbound("STOP", phone=OTHER)
    await core.reply(key="k1", body_digest=b"d" * 32)
    await core.reply("Sorry", phone_text=OTHER)
    await core.reply(event_type=EventType.MISSED_CALL, text="")
    await _give_connector(core)
    await core.close()
    return url


async def _give_connector(core: CoreParts) -> None:
    """An SMS-provider connector, with a number, a bearer key and a line that was written."""
    now, of = core.clock(), {"integration_id": "int_1"}
    key = {"id": "smk_1", "key_digest": b"d" * 32, "prefix": "sms_", "created_at": now}
    chat = {"business_number": "+966110000000", "customer": PHONE, "reason": "x", "written_at": now}
    connector = {"webhook_url_sealed": b"sealed", "default_purpose": "support", "changed_at": now}
    async with core.database.transaction() as connection:
        for table, row in (
            (tables.threecx_sms, connector),
            (tables.threecx_sms_numbers, {"instance_id": "ins_1", "number": "+966110000000"}),
            (tables.threecx_sms_keys, key),
            (tables.gateway_lines, chat),
        ):
            await connection.execute(insert(table).values(**of, **row))


async def _target_rows(url: str) -> dict[str, int]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        found = {
            name: int((await connection.execute(text(f'SELECT count(*) FROM "{name}"'))).scalar_one())
            for name in tables.accounts.metadata.tables
        }
    await engine.dispose()
    return found


async def _driver(url: str) -> Any:
    return await asyncpg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    )


async def test_every_row_arrives_and_numbers_go_on(tmp_path: Path, postgres_url: str) -> None:
    source = await _full_store(tmp_path)
    seen: set[str] = set()
    copied = await copy(source, postgres_url, lambda doing, _table, _done, _whole: seen.add(doing))
    rows = {each.name: each.rows for each in copied.tables}
    assert rows["messages"] >= 5 and rows["decisions"] >= 3 and rows["suppressions"] == 1
    assert rows["idempotency_keys"] == 1 and rows["windows"] == 2 and rows["quota_usage"] == 2
    connector = ("threecx_sms", "threecx_sms_numbers", "threecx_sms_keys", "gateway_lines")
    assert [rows[name] for name in connector] == [1, 1, 1, 1]
    there = await _target_rows(postgres_url)
    assert {name: there[name] for name in rows} == rows
    assert seen == {"copying", "verifying"}
    driver = await _driver(postgres_url)
    highest = await driver.fetchval("SELECT max(log_id) FROM decisions")
    assert await driver.fetchval("SELECT nextval('decision_log_ids')") == highest + 1
    newest = await driver.fetchval("SELECT max(number) FROM outbox")
    outbox_numbers = await driver.fetchval("SELECT nextval(pg_get_serial_sequence('outbox', 'number'))")
    assert outbox_numbers == newest + 1
    await driver.close()


async def test_the_past_of_the_policy_log_arrives_in_its_months(tmp_path: Path, postgres_url: str) -> None:
    source = await _full_store(tmp_path)
    file = sqlite3.connect(str(make_url(source).database))
    now = datetime.now(UTC)
    old = Month.of(now).later(-2)
    count = file.execute("SELECT count(*) FROM decisions").fetchone()[0]
    first = "log_id = (SELECT min(log_id) FROM decisions)"
    file.execute(f"UPDATE decisions SET decided_at = {to_microseconds(old.first)} WHERE {first}")
    file.commit()
    file.close()
    await copy(source, postgres_url, _ignore)
    driver = await _driver(postgres_url)
    rows = await driver.fetch("SELECT tableoid::regclass::text, count(*) FROM decisions GROUP BY 1")
    months = await driver.fetch("SELECT relid FROM pg_partition_tree('decisions') WHERE isleaf")
    await driver.close()
    assert {row[0]: row[1] for row in rows} == {name_of(old): 1, name_of(Month.of(now)): count - 1}
    # Two months that are over, this one, three ahead, and the default one.
    assert len(months) == 7


async def test_the_core_works_on_what_was_copied(tmp_path: Path, postgres_url: str) -> None:
    await copy(await _full_store(tmp_path), postgres_url, _ignore)
    core = CoreParts(open_database(postgres_url), TestClock(datetime.now(UTC)))
    await core.config.start()
    before = await core.rows(tables.decisions)
    decided = await core.reply("Again", phone_text=OTHER)
    assert decided.decision.reason.name == "RECIPIENT_SUPPRESSED"
    assert decided.log_id > max(row.log_id for row in before)
    again = await core.reply(key="k1", body_digest=b"d" * 32)
    assert again.duplicate
    await core.close()


async def test_a_store_that_was_moved_is_closed(tmp_path: Path, postgres_url: str) -> None:
    source = await _full_store(tmp_path)
    await copy(source, postgres_url, _ignore)
    old, new = open_database(source), open_database(postgres_url)
    with pytest.raises(StoreFenced, match="was moved to PostgreSQL"):
        await move_in(old)
    await move_in(new)
    await move_in(new)
    await old.close()
    await new.close()


async def test_a_target_with_anything_in_it_is_refused(tmp_path: Path, postgres_url: str) -> None:
    source = await _full_store(tmp_path)
    await upgrade(postgres_url)
    driver = await _driver(postgres_url)
    await driver.execute("INSERT INTO refusals VALUES (1, 'a', 'b', 'c', 'd', 1)")
    with pytest.raises(StoreRefused, match="refusals"):
        await copy(source, postgres_url, _ignore)
    await driver.execute("DELETE FROM refusals; UPDATE config_state SET version = 2")
    with pytest.raises(StoreRefused, match="configuration"):
        await copy(source, postgres_url, _ignore)
    await driver.close()
    assert sum((await _target_rows(postgres_url)).values()) == 2


async def test_an_interruption_leaves_nothing_and_the_next_run_does_it_all(
    tmp_path: Path, postgres_url: str
) -> None:
    source = await _full_store(tmp_path)

    def interrupt(doing: str, table: str, _done: int, _whole: int) -> None:
        if doing == "verifying" and table == "messages":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy(source, postgres_url, interrupt)
    assert sum((await _target_rows(postgres_url)).values()) == 2
    assert (await copy(source, postgres_url, _ignore)).tables


async def test_a_row_that_was_changed_on_the_way_is_found(tmp_path: Path, postgres_url: str) -> None:
    source = await _full_store(tmp_path)
    await upgrade(postgres_url)
    driver = await _driver(postgres_url)
    await driver.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.last_inbound_at := NEW.last_inbound_at + 1; RETURN NEW; END $$;"
        "CREATE TRIGGER spoil BEFORE INSERT ON windows FOR EACH ROW EXECUTE FUNCTION spoil()"
    )
    await driver.close()
    with pytest.raises(StoreDiffers, match="windows"):
        await copy(source, postgres_url, _ignore)
    assert (await _target_rows(postgres_url))["windows"] == 0
    store = open_database(source)
    await move_in(store)
    await store.close()


async def test_a_store_in_use_or_of_another_version_is_refused(tmp_path: Path, postgres_url: str) -> None:
    source = await _full_store(tmp_path)
    busy = open_database(source)
    async with busy.reading() as connection:
        await connection.execute(text("SELECT 1 FROM accounts"))
    with pytest.raises(StoreRefused, match="stop the services"):
        await copy(source, postgres_url, _ignore)
    await busy.close()
    with sqlite3.connect(tmp_path / "core.db") as connection_to_file:
        connection_to_file.execute("UPDATE alembic_version SET version_num = '0002'")
    connection_to_file.close()
    with pytest.raises(StoreRefused, match="hubgate migrate"):
        await copy(source, postgres_url, _ignore)
    with pytest.raises(StoreRefused, match="no embedded store"):
        await copy(f"sqlite+aiosqlite:///{tmp_path}/none.db", postgres_url, _ignore)
    with pytest.raises(StoreRefused, match="must be PostgreSQL"):
        await copy(source, source, _ignore)


async def test_text_that_postgresql_cannot_keep_is_replaced_and_told(
    tmp_path: Path, postgres_url: str
) -> None:
    source = await _full_store(tmp_path)
    store = open_database(source)
    async with store.transaction() as connection:
        await connection.execute(update(tables.accounts).values(name="Nul\x00l"))
    await store.close()
    copied: Copied = await copy(source, postgres_url, _ignore)
    assert copied.replaced == 1
    driver = await _driver(postgres_url)
    assert await driver.fetchval("SELECT name FROM accounts") == "Nul\ufffdl"
    await driver.close()


async def test_a_row_that_is_too_long_is_named(tmp_path: Path, postgres_url: str) -> None:
    source = await _full_store(tmp_path)
    store = open_database(source)
    async with store.transaction() as connection:
        await connection.execute(
            insert(tables.quota_usage).values(account_id="acc_1", period="x" * 17, used=1)
        )
    await store.close()
    with pytest.raises(StoreDiffers, match="quota_usage"):
        await copy(source, postgres_url, _ignore)


def test_the_digest_knows_rows_and_not_their_order() -> None:
    def digest(*rows: tuple[Any, ...]) -> str:
        made = SetDigest()
        for row in rows:
            made.add(row)
        return made.hex()

    one, two = (1, "a", None, b"x"), (2, "a", None, b"x")
    assert digest(one, two) == digest(two, one)
    assert len({digest(one), digest(two), digest(one, two), digest(one, one), digest()}) == 5
    assert digest((1,)) != digest(("1",)) != digest((b"1",))

"""A store that was put back from an older state: what the lost time did is not done again, and what was said holds."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, make_url, update

from policycore.ledger import MessageState
from policycore.store import tables
from policycore.store.backup import back_up, put_back
from policycore.store.config_reader import bump_version
from policycore.store.engine import open_database
from policycore.store.home import move_in
from policycore.store.restoring import NUMBERS_APART, Fences, declare_moved, declare_restored
from policycore.store.store_errors import StoreFenced, StoreRefused
from servers.postgres import PostgresServer
from support.core_parts import PHONE, CoreParts, TestClock, open_core

OPTED_OUT = "+966500000011"
LATER_OPTED_OUT = "+966500000012"


def _ignore(_doing: str, _file: str, _done: int, _whole: int) -> None:
    """Nobody looks."""


@dataclass
class Store:
    """A store that can be backed up as it is, and put back as it was."""

    url: str
    save: Callable[[], Awaitable[None]]
    put_back: Callable[[], Awaitable[str]]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Backed up and put back by the documented commands of each database."""
    if request.param == "sqlite":
        return _embedded(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = str(request.getfixturevalue("postgres_url"))
    file = tmp_path / "hubgate.dump"

    async def save() -> None:
        await asyncio.to_thread(server.dump, str(make_url(url).database), file)

    async def put_back_dump() -> str:
        restored = server.url(await asyncio.to_thread(server.restore, file))
        await declare_restored(restored, Fences(), os.urandom)
        return restored

    return Store(url, save, put_back_dump)


def _embedded(folder: Path) -> Store:
    url, file = f"sqlite+aiosqlite:///{folder}/hubgate.db", folder / "saved.db"

    async def save() -> None:
        await back_up(url, file, datetime.now(UTC), _ignore)

    async def put_back_file() -> str:
        await put_back(url, file, datetime.now(UTC), Fences(), os.urandom)
        return url

    return Store(url, save, put_back_file)


async def _core_on(url: str) -> CoreParts:
    clock = TestClock(datetime.now(UTC))
    database = open_database(url, clock)
    await move_in(database)
    core = CoreParts(database, clock)
    # Ids of the lost time must not come again by chance of the test's own randomness.
    for _ in range(1_000):
        core.random_bytes(1)
    await core.config.start()
    return core


async def _states(core: CoreParts) -> dict[str, MessageState]:
    return {row.text: MessageState(row.state) for row in await core.rows(tables.messages) if row.outbound}


async def _before(core: CoreParts) -> "asyncio.Task[Any]":
    """One answered, one on its way, one waiting for its turn, one who opted out."""
    for phone in (PHONE, LATER_OPTED_OUT):
        await core.inbound("Hello", phone=phone)
    await core.inbound("STOP", phone=OPTED_OUT)
    await core.reply("answered", key="k1", body_digest=b"d" * 32)
    core.senders.gate = asyncio.Event()
    on_its_way = asyncio.create_task(core.reply("on its way"))
    async with asyncio.timeout(5):
        while "on its way" not in {each.text for each in core.senders.sent}:  # noqa: ASYNC110 - a twin signals nothing
            await asyncio.sleep(0.01)
    async with core.database.transaction() as connection:
        waiting = dict((await _row(core, "on its way"))._mapping)
        waiting.update(id="msg_waiting", text="waiting", state=int(MessageState.WAITING), handed_out_at=None)
        waiting.update(created_at=core.clock(), send_after=core.clock() + timedelta(seconds=20))
        await connection.execute(insert(tables.messages), [waiting])
    return on_its_way


async def _row(core: CoreParts, text: str) -> Any:
    return next(row for row in await core.rows(tables.messages) if row.text == text)


async def _lost_time(core: CoreParts, on_its_way: "asyncio.Task[Any]") -> list[int]:
    """Everything is sent, somebody opts out, and more is decided. Returns the numbers that were given out."""
    assert core.senders.gate is not None
    core.senders.gate.set()
    await on_its_way
    await core.inbound("STOP", phone=LATER_OPTED_OUT)
    decided = await core.reply("in the lost time", key="k2", body_digest=b"e" * 32)
    assert decided.message is not None
    numbers = [row.log_id for row in await core.rows(tables.decisions)]
    return numbers + [row.sequence for row in await core.rows(tables.message_events)]


async def test_nothing_is_sent_twice_and_nobody_who_said_no_is_written_to(store: Store) -> None:
    lost = await open_core(store.url, datetime.now(UTC))
    on_its_way = await _before(lost)
    await store.save()
    numbers = await _lost_time(lost, on_its_way)
    await lost.close()

    url = await store.put_back()
    core = await _core_on(url)
    core.clock.forward(minutes=2)
    for _ in range(3):
        await core.dispatcher.sweep()
    states = await _states(core)
    if core.database.is_postgres:
        # Its clock is not the test's: what was handed out less than 90 s ago is still looked upon as under way.
        assert states["on its way"] is states["waiting"] is MessageState.HANDED_OUT
    else:
        assert states["on its way"] is states["waiting"] is MessageState.UNKNOWN
    assert states["answered"] is MessageState.ACCEPTED
    assert core.senders.sent == []

    assert (await core.reply(phone_text=OPTED_OUT)).decision.reason.name == "RECIPIENT_SUPPRESSED"
    later = await core.reply(phone_text=LATER_OPTED_OUT)
    assert {"WINDOW_EXPIRED", "PLATFORM_PAUSED"} <= {each.reason.name for each in later.decision.findings}
    again = await core.reply("in the lost time", key="k2", body_digest=b"e" * 32)
    assert again.message is None and not again.duplicate
    assert (await core.reply("answered", key="k1", body_digest=b"d" * 32)).duplicate
    assert core.senders.sent == []
    assert again.log_id > max(numbers) and again.log_id > NUMBERS_APART
    await core.close()


async def test_work_goes_on_when_the_pause_is_lifted_and_the_person_writes(store: Store) -> None:
    lost = await open_core(store.url, datetime.now(UTC))
    on_its_way = await _before(lost)
    await store.save()
    before = {row.period: row.used for row in await lost.rows(tables.quota_usage)}
    await _lost_time(lost, on_its_way)
    await lost.close()
    core = await _core_on(await store.put_back())
    # What became UNKNOWN keeps its quota: it may have been sent.
    assert {row.period: row.used for row in await core.rows(tables.quota_usage)} == before
    async with core.database.transaction() as connection:
        lifted = update(tables.pauses).values(lifted_at=core.clock(), lifted_by="admin")
        await connection.execute(lifted)
        await bump_version(connection)
    await core.config.refresh()
    assert (await core.reply()).decision.reason.name == "WINDOW_EXPIRED"
    core.clock.forward(seconds=1)
    await core.inbound("Are you there?", event_key="after", provider_time=core.clock())
    decided = await core.reply("Yes, we are.")
    assert decided.message is not None, decided.decision.explanation
    newest = max(row.sequence for row in await core.rows(tables.message_events))
    assert newest > NUMBERS_APART
    await core.close()


async def test_a_copy_is_never_taken_for_the_store(store: Store) -> None:
    core = await open_core(store.url, datetime.now(UTC))
    await move_in(core.database)
    await store.save()
    await core.close()
    url = await store.put_back()
    database = open_database(url)
    await move_in(database)
    await move_in(database)
    await database.close()


async def test_a_dump_in_another_database_is_refused_until_somebody_says_what_it_is(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    core = await open_core(postgres_url, datetime.now(UTC))
    await move_in(core.database)
    await asyncio.to_thread(postgres_server.dump, str(make_url(postgres_url).database), tmp_path / "dump")
    copy = postgres_server.url(await asyncio.to_thread(postgres_server.restore, tmp_path / "dump"))
    database = open_database(copy)
    with pytest.raises(StoreFenced, match="hubgate store restored"):
        await move_in(database)
    with pytest.raises(StoreRefused, match="stop the services"):
        await declare_moved(copy)
    await database.close()
    await declare_moved(copy)
    database = open_database(copy)
    await move_in(database)
    await database.close()
    await core.close()


async def test_an_embedded_back_up_is_private_whole_and_no_store(tmp_path: Path) -> None:
    store, file = _embedded(tmp_path), tmp_path / "saved.db"
    core = await open_core(store.url, datetime.now(UTC))
    await core.inbound("Hello")
    await store.save()
    assert os.stat(file).st_mode & 0o077 == 0
    assert [name for name in os.listdir(tmp_path) if name.startswith("saved")] == ["saved.db"]
    with closing(sqlite3.connect(file)) as copy:
        assert copy.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    with pytest.raises(StoreRefused, match="there already"):
        await store.save()
    as_store = open_database(f"sqlite+aiosqlite:///{file}")
    with pytest.raises(StoreFenced, match="is a back-up"):
        await move_in(as_store)
    await as_store.close()
    with pytest.raises(StoreRefused, match="stop the services"):
        await store.put_back()
    with pytest.raises(StoreRefused, match="stop the services"):
        await declare_restored(store.url, Fences(), os.urandom)
    await core.inbound("After the back-up")
    await core.close()
    with pytest.raises(StoreRefused, match="no back-up"):
        await put_back(store.url, tmp_path / "hubgate.db", datetime.now(UTC), None, os.urandom)
    await store.put_back()
    (replaced,) = [name for name in os.listdir(tmp_path) if name.startswith("hubgate.db.replaced-")]
    with (
        closing(sqlite3.connect(tmp_path / replaced)) as before,
        closing(sqlite3.connect(tmp_path / "hubgate.db")) as now,
    ):
        assert before.execute("SELECT count(*) FROM messages").fetchone() == (2,)
        assert now.execute("SELECT count(*) FROM messages").fetchone() == (1,)


async def test_a_back_up_is_made_while_others_write(tmp_path: Path) -> None:
    store = _embedded(tmp_path)
    core = await open_core(store.url, datetime.now(UTC))
    begun, stop = asyncio.Event(), asyncio.Event()

    async def write() -> int:
        written = 0
        while not stop.is_set():
            await core.inbound(f"Message {written}")
            written += 1
            begun.set()
        return written

    writing = asyncio.create_task(write())
    await begun.wait()
    await store.save()
    stop.set()
    assert await writing > 0
    await core.close()
    with closing(sqlite3.connect(tmp_path / "saved.db")) as copy:
        texts = [text for (text,) in copy.execute("SELECT text FROM messages ORDER BY created_at, id")]
        people = copy.execute("SELECT count(*) FROM windows").fetchone()
    assert texts and set(texts) == {f"Message {number}" for number in range(len(texts))}
    assert people == (1,)


async def test_events_that_waited_are_posted_again_under_the_ids_they_had(store: Store) -> None:
    lost = await open_core(store.url, datetime.now(UTC))
    await lost.inbound("Hello")
    await lost.change(update(tables.outbox).values(leased_until=lost.clock() + timedelta(hours=1)))
    before = [(row.id, row.body) for row in await lost.rows(tables.outbox)]
    await store.save()
    await lost.change(update(tables.outbox).values(state="sent"))
    await lost.close()
    core = await _core_on(await store.put_back())
    waiting = [
        row for row in await core.rows(tables.outbox) if row.state == "pending" and row.leased_until is None
    ]
    assert [(row.id, row.body) for row in waiting] == before != []
    await core.close()

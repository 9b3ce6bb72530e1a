"""Who watches a phone system, and each missed call told once: over two policy cores, on both databases."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from policycore.pbx import (
    TOLD_WITHIN,
    HeldWatch,
    LeaseLost,
    MissedCall,
    PbxNews,
    retry_after,
)
from policycore.pbx_authors import Authorship
from policycore.registry.sealing import THREECX_API_SECRET, Sealing
from policycore.store import migrate
from policycore.store.engine import Database, open_database
from policycore.store.message_authors import SqlMessageAuthors
from policycore.store.tables import (
    accounts,
    integrations,
    threecx_apis,
    threecx_calls,
    threecx_watches,
)
from policycore.store.threecx_watches import KEPT, SqlPbxLedger

CALLER = "+966500000001"
LEASE = 30.0
SEALING = Sealing(bytes(32), os.urandom)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/hubgate.db"
    else:
        url = str(request.getfixturevalue("postgres_url"))
    await migrate.upgrade(url)
    opened = open_database(url)
    yield opened
    await opened.close()


async def now_of(database: Database) -> datetime:
    async with database.reading() as connection:
        return await database.now(connection)


async def configure(database: Database, integration_id: str = "int_1", **changes: Any) -> datetime:
    """An integration with an API, ready to be watched; returns the time it is."""
    now = await now_of(database)
    api = {
        "integration_id": integration_id,
        "base_url": "https://pbx.example.com",
        "client_id": "900",
        "client_secret_sealed": SEALING.seal("s", THREECX_API_SECRET, integration_id),
        "missed_calls": True,
        "who_replied": False,
        "webhook_discovery": False,
        "every_extension_listed": False,
        "catch_up_seconds": 3600,
        "revision": 1,
        "changed_at": now,
        **changes,
    }
    async with database.transaction() as connection:
        if integration_id == "int_1":
            await connection.execute(
                insert(accounts).values(
                    id="acc_1", name="Acme", time_zone="UTC", plan=1, threecx_module_enabled=True,
                    language="en", created_at=now,
                )
            )  # fmt: skip
        await connection.execute(
            insert(integrations).values(
                id=integration_id, account_id="acc_1", name="3CX", enabled=True, signature_required=False,
                allowed_addresses="[]", inbound_enabled=True, outbound_enabled=True, call_events_enabled=True,
                destination_kind="none", destination_url="", country="SA", requests_per_minute=60,
                cool_down_seconds=900, language="en", created_at=now,
            )
        )  # fmt: skip
        await connection.execute(insert(threecx_apis).values(api))
        await connection.execute(
            insert(threecx_watches).values(
                integration_id=integration_id, known_until=now, state="waiting", state_since=now
            )
        )
    return now


def ledger(database: Database) -> SqlPbxLedger:
    return SqlPbxLedger(database, SEALING.unseal, os.urandom)


def call(now: datetime, ago: float = 60, **fields: Any) -> MissedCall:
    ended = now - timedelta(seconds=ago)
    return MissedCall(
        **{
            "caller": CALLER,
            "began_at": ended - timedelta(seconds=20),
            "ended_at": ended,
            "reached_dn": "150",
            "from_history": False,
            **fields,
        }
    )


def news(*missed: MissedCall, until: datetime, **fields: Any) -> PbxNews:
    return PbxNews(**{"state": "watching", "reason": "", "missed": missed, "known_until": until, **fields})


async def claimed(kept: SqlPbxLedger, holder: str = "pcr_1") -> HeldWatch:
    [held] = await kept.claim(holder, LEASE, 10)
    return held


async def expire(database: Database) -> None:
    """The lease of whoever holds one ends."""
    async with database.transaction() as connection:
        now = await database.now(connection)
        await connection.execute(update(threecx_watches).values(leased_until=now - timedelta(seconds=1)))


async def test_one_of_many_cores_holds_a_watch_until_its_lease_ends(database: Database) -> None:
    await configure(database)
    cores = [ledger(database) for _ in range(4)]
    found = await asyncio.gather(*(core.claim(f"pcr_{n}", LEASE, 10) for n, core in enumerate(cores)))
    [held] = [each for some in found for each in some]
    assert held.target.client_secret == "s" and "client_secret" not in repr(held.target)
    await cores[0].extend(held, LEASE)
    assert await cores[1].claim("pcr_9", LEASE, 10) == []
    await expire(database)
    other = await claimed(cores[1], "pcr_9")
    for act in (cores[0].extend(held, LEASE), cores[0].take_news(held, news(until=held.known_until))):
        with pytest.raises(LeaseLost):
            await act
    await cores[0].release(held)
    await cores[1].extend(other, LEASE)
    await cores[1].release(other)
    assert (await claimed(cores[0])).holder == "pcr_1"


@pytest.mark.parametrize("change", ["revision", "switched off", "removed", "integration disabled"])
async def test_a_change_of_settings_ends_the_lease(database: Database, change: str) -> None:
    await configure(database)
    kept = ledger(database)
    held = await claimed(kept)
    async with database.transaction() as connection:
        if change == "revision":
            await connection.execute(update(threecx_apis).values(revision=2))
        elif change == "switched off":
            await connection.execute(update(threecx_apis).values(missed_calls=False))
        elif change == "removed":
            await connection.execute(threecx_apis.delete())
        else:
            await connection.execute(update(integrations).values(enabled=False))
    with pytest.raises(LeaseLost):
        await kept.extend(held, LEASE)
    await kept.release(held)
    assert [each.revision for each in await kept.claim("pcr_2", LEASE, 10)] == (
        [2] if change == "revision" else []
    )


async def test_a_call_told_of_by_socket_and_history_and_again_is_one(database: Database) -> None:
    now = await configure(database)
    kept = ledger(database)
    held = await claimed(kept)
    first = call(now)
    again = replace(first, began_at=first.began_at - timedelta(seconds=90), from_history=True)
    assert await kept.take_news(held, news(first, again, first, until=now)) == 1
    other = replace(first, caller="+966500000002", ended_at=first.ended_at + timedelta(seconds=1))
    later = call(now + timedelta(seconds=200), 0)
    assert await kept.take_news(held, news(again, other, later, until=now)) == 2
    waiting = await kept.untold(held, 10)
    assert [each.caller for each in waiting] == [CALLER, "+966500000002", CALLER]
    await kept.note_told(waiting[0].call_id, "allowed")
    await kept.note_tried(waiting[1], "instance_not_connected")
    assert [each.call_id for each in await kept.untold(held, 10)] == [waiting[2].call_id]
    assert await kept.take_news(held, news(first, until=now)) == 0


async def test_a_call_that_is_too_old_is_kept_and_not_told(database: Database) -> None:
    now = await configure(database, catch_up_seconds=600)
    kept = ledger(database)
    held = await claimed(kept)
    assert await kept.take_news(held, news(call(now, 700), until=now)) == 1
    assert await kept.untold(held, 10) == []
    async with database.reading() as connection:
        assert (await connection.execute(select(threecx_calls.c.outcome))).scalar_one() == "too_old"


async def test_the_mark_goes_forward_only_and_never_into_the_future(database: Database) -> None:
    now = await configure(database)
    kept = ledger(database)
    held = await claimed(kept)
    await kept.take_news(held, news(until=now - timedelta(minutes=5)))
    async with database.reading() as connection:
        assert (await connection.execute(select(threecx_watches.c.known_until))).scalar_one() == now
    await kept.take_news(held, news(until=now + timedelta(days=400)))
    async with database.reading() as connection:
        mark = (await connection.execute(select(threecx_watches.c.known_until))).scalar_one()
    assert now <= mark <= await now_of(database)


async def test_a_long_time_without_a_watch_is_caught_up_as_far_as_it_is_wanted(database: Database) -> None:
    now = await configure(database, catch_up_seconds=600)
    async with database.transaction() as connection:
        await connection.execute(update(threecx_watches).values(known_until=now - timedelta(days=3)))
    held = await claimed(ledger(database))
    assert now - timedelta(seconds=600) <= held.known_until < now


async def test_a_secret_sealed_with_another_key_is_said_and_holds_up_no_other(database: Database) -> None:
    other = Sealing(bytes(range(32)), os.urandom).seal("s", THREECX_API_SECRET, "int_1")
    await configure(database, client_secret_sealed=other)
    await configure(database, "int_2")
    found = await ledger(database).claim("pcr_1", LEASE, 10)
    assert [each.target.integration_id for each in found] == ["int_2"]
    async with database.reading() as connection:
        query = select(threecx_watches.c.integration_id, threecx_watches.c.reason)
        states = {row.integration_id: row.reason for row in await connection.execute(query)}
    assert states["int_1"] == "secret_sealed_otherwise"


async def test_old_calls_are_forgotten(database: Database) -> None:
    now = await configure(database)
    kept = ledger(database)
    held = await claimed(kept)
    old = KEPT.total_seconds() + 60
    await kept.take_news(held, news(call(now, old), call(now, 30), until=now))
    assert (await kept.clean(), await kept.clean()) == (1, 0)


async def test_authors_are_kept_once_and_forgotten_with_their_messages(database: Database) -> None:
    kept = SqlMessageAuthors(database)
    found = [Authorship("msg_1", "7", "150", "Sara"), Authorship("msg_2", "7", "151", "Omar")]
    assert await kept.note("int_1", found) == 1
    assert await kept.note("int_1", [replace(found[0], extension="151")]) == 0
    assert (await kept.find("msg_1"), await kept.find("msg_2")) == (("150", "Sara"), None)
    assert await kept.already("int_1", ["7", "8"]) == {"7"}
    assert await kept.already("int_2", ["7"]) == set()
    assert await kept.unknown("acc_1", "int_1") == []
    assert (await kept.clean(), await kept.find("msg_1")) == (1, None)


def test_tries_grow_apart_and_all_fit_into_the_time_there_is() -> None:
    pauses = [retry_after(tries) for tries in range(1, 40)]
    assert pauses == sorted(pauses) and pauses[0] < TOLD_WITHIN and pauses[-1] < TOLD_WITHIN

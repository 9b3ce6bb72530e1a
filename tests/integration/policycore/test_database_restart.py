"""A PostgreSQL that goes away and comes back: told while it is away, used again afterwards, nothing left over."""

import asyncio

import asyncpg

from policycore.errors import DatabaseUnavailable
from policycore.model import Action
from policycore.store import tables
from policycore.store.direct import driver_of
from servers.postgres import running_postgres
from support.core_parts import CoreParts, open_core


async def replies(core: CoreParts, text: str) -> list[object]:
    """Six replies at once: what they were answered, or why not."""
    answers = await asyncio.gather(
        *(core.reply(f"{text} {n}", timeout=5.0) for n in range(6)), return_exceptions=True
    )
    return [answer if isinstance(answer, BaseException) else answer.decision.action for answer in answers]


async def test_a_database_that_was_restarted_is_used_again() -> None:
    with running_postgres() as server:
        core = await open_core(server.url(server.create_database()))
        await core.inbound("Hello")
        assert await replies(core, "Before") == [Action.SEND] * 6
        server.stop()
        assert {type(answer) for answer in await replies(core, "Meanwhile")} == {DatabaseUnavailable}
        server.start()
        assert await replies(core, "After") == [Action.SEND] * 6
        assert len([row for row in await core.rows(tables.messages) if row.outbound]) == 12
        assert len(core.senders.sent) == 12
        await core.close()


async def test_connections_that_were_ended_are_replaced_before_they_are_used(postgres_url: str) -> None:
    core = await open_core(postgres_url)
    await core.inbound("Hello")
    assert await replies(core, "Before") == [Action.SEND] * 6
    administrator = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    await administrator.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await administrator.close()
    await asyncio.sleep(0.2)
    assert await replies(core, "After") == [Action.SEND] * 6
    await core.close()


async def test_a_transaction_that_was_left_open_is_not_written_into(postgres_url: str) -> None:
    core = await open_core(postgres_url)
    async with core.database.statement() as connection:
        await driver_of(connection).execute("BEGIN")
        forgotten = await driver_of(connection).fetch("SELECT pg_backend_pid()")
    async with core.database.statement() as connection:
        own = await driver_of(connection).fetch("SELECT pg_backend_pid()")
        assert own[0][0] != forgotten[0][0]
    await core.close()


async def test_a_transaction_whose_beginning_was_broken_off_leaves_nothing_open(postgres_url: str) -> None:
    core = await open_core(postgres_url)
    for steps in range(12):
        task = asyncio.create_task(_look(core))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with core.database.statement() as connection:
            assert not driver_of(connection).is_in_transaction()
    await core.close()


async def _look(core: CoreParts) -> None:
    async with core.database.transaction() as connection:
        await driver_of(connection).fetch("SELECT 1")

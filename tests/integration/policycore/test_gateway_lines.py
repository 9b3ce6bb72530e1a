"""One line for each chat and reason in ten minutes, whoever asks, however many at once, on both databases."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from policycore.event_ledger import EventWrites, NewLine
from policycore.store.events import SqlEventLedger
from policycore.store.expiry import remove_expired
from policycore.store.gateway_line_rows import QUIET
from policycore.store.tables import gateway_lines, outbox
from support.core_parts import PHONE, CoreParts


def a_line(number: int = 0, **changes: Any) -> NewLine:
    values: dict[str, Any] = {
        "delivery_id": f"dlv_{number}",
        "account_id": "acc_1",
        "integration_id": "int_1",
        "instance_id": "ins_1",
        "business_number": "+966110000000",
        "customer": PHONE,
        "reason": "conversation_window_closed",
        "person_id": None,
        "log_id": 0,
        "event_name": "gateway.line",
        "body": {"from": PHONE},
    }
    return NewLine(**{**values, **changes})


async def write(core: CoreParts, *lines: NewLine) -> int:
    """Writes lines in a transaction of their own; returns how many were due."""
    writes = EventWrites(lines=list(lines))
    async with SqlEventLedger(core.database, core.config.at).begin() as transaction:
        await transaction.write(writes)
    return len(writes.deliveries)


async def test_of_many_at_once_one_is_written(core: CoreParts) -> None:
    # Each is a process of its own to the database: what is remembered between them is rows.
    written = await asyncio.gather(*(write(core, a_line(number)) for number in range(8)))
    assert sum(written) == 1
    assert len(await core.rows(outbox)) == 1 and len(await core.rows(gateway_lines)) == 1


async def test_a_chat_is_two_numbers_and_each_reason_is_told(core: CoreParts) -> None:
    others = (
        a_line(1),
        a_line(2, customer="+966500000009"),
        a_line(3, business_number="+966110000001"),
        a_line(4, reason="recipient_suppressed"),
        a_line(5, integration_id="int_2"),
    )
    assert await write(core, *others) == 5
    assert await write(core, *others) == 0


async def test_ten_minutes_later_it_is_told_again(core: CoreParts) -> None:
    assert await write(core, a_line(1)) == 1
    async with core.database.transaction() as connection:
        now = await core.database.now(connection)
        almost = now - QUIET + timedelta(seconds=30)
        await connection.execute(gateway_lines.update().values(written_at=almost))
    assert await write(core, a_line(2)) == 0
    async with core.database.transaction() as connection:
        await connection.execute(gateway_lines.update().values(written_at=now - QUIET))
    assert await write(core, a_line(3)) == 1


async def test_it_stands_in_the_persons_own_line_of_deliveries(core: CoreParts) -> None:
    await core.inbound("Hello")
    await write(core, a_line(1), a_line(2, customer="+966500000099"))
    rows = {row.id: row for row in await core.rows(outbox) if row.event_name == "gateway.line"}
    [known] = {row.person_id for row in await core.rows(outbox) if row.event_name == "message.received"} or {
        rows["dlv_1"].person_id
    }
    assert rows["dlv_1"].person_id == known is not None
    assert rows["dlv_2"].person_id is None and json.loads(rows["dlv_2"].body) == {"from": PHONE}


async def test_what_came_another_way_has_no_chat(core: CoreParts) -> None:
    await core.inbound("Hello")
    decided = await core.reply()
    assert decided.log_id and await write(core, a_line(1, log_id=decided.log_id)) == 0
    assert await write(core, a_line(2, log_id=999_999)) == 0
    assert await core.rows(gateway_lines) == []


async def test_what_is_over_is_removed(core: CoreParts) -> None:
    await write(core, a_line(1), a_line(2, reason="quota_exceeded"))
    async with core.database.transaction() as connection:
        past = await core.database.now(connection) - timedelta(days=1, seconds=1)
        await connection.execute(
            gateway_lines.update().where(gateway_lines.c.reason == "quota_exceeded").values(written_at=past)
        )
    await remove_expired(core.database)
    assert [row.reason for row in await core.rows(gateway_lines)] == ["conversation_window_closed"]

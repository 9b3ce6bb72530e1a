"""Which rows of the outbox are leased and what settling does, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from integration.outbox.outbox_rows import Rows

from policycore.ports import OutboxRow, OutboxSettlement
from policycore.store.engine import open_database
from policycore.store.outbox import SqlOutbox


def settlement(row: OutboxRow | int, state: str, attempts: int = 1, due: float = 3600.0) -> OutboxSettlement:
    number = row if isinstance(row, int) else row.number
    at = datetime.now(UTC) + timedelta(seconds=due)
    return OutboxSettlement(number, state, attempts, at, 200 if state == "sent" else 500, "why")


async def leased_numbers(store: SqlOutbox, limit: int = 200) -> list[int]:
    return [row.number for row in await store.lease(limit, 60)]


async def test_a_leased_row_tells_everything(rows: Rows) -> None:
    number = await rows.add("psn_a", "whk_a")
    (row,) = await SqlOutbox(rows.database).lease(10, 60)
    assert row == OutboxRow(
        number,
        "dlv_1",
        "acc_a",
        None,
        "whk_a",
        "psn_a",
        "message.received",
        '{"n": 1}',
        0,
        row.created_at,
        row.leased_until,
    )
    assert row.leased_until - rows.began > timedelta(seconds=30)
    assert abs(row.created_at - rows.began) < timedelta(microseconds=1)


async def test_only_the_oldest_of_a_person_is_leased_until_it_is_settled(rows: Rows) -> None:
    store = SqlOutbox(rows.database)
    first, second, other = await rows.add(), await rows.add(), await rows.add("psn_b")
    assert await leased_numbers(store) == [first, other]
    assert await leased_numbers(store) == []
    await store.settle([settlement(first, "sent")])
    assert await leased_numbers(store) == [second]


async def test_a_failing_head_holds_up_its_own_line_only(rows: Rows) -> None:
    store = SqlOutbox(rows.database)
    first, _ = await rows.add(), await rows.add()
    elsewhere = await rows.add("psn_a", "int_b")
    webhook = await rows.add("psn_a", "whk_a")
    assert await leased_numbers(store) == [first, elsewhere, webhook]
    await store.settle([settlement(first, "pending")])
    assert await leased_numbers(store) == []
    assert await store.next_due_seconds() == pytest.approx(60, abs=5), "when the other leases would end"
    await store.settle([settlement(elsewhere, "sent"), settlement(webhook, "failed")])
    assert await store.next_due_seconds() == pytest.approx(3600, abs=5)


async def test_a_row_that_was_set_aside_holds_up_nobody(rows: Rows) -> None:
    store = SqlOutbox(rows.database)
    first, second, third = await rows.add(), await rows.add(), await rows.add()
    assert await leased_numbers(store) == [first]
    await store.settle([settlement(first, "set_aside", attempts=3, due=-1)])
    assert (await rows.row(first)).state == "pending"
    assert await leased_numbers(store) == [first, second]
    await store.settle([settlement(first, "pending", attempts=4), settlement(second, "sent")])
    assert await leased_numbers(store) == [third], "it stays aside, and the line goes on"


async def test_rows_of_nobody_have_no_order(rows: Rows) -> None:
    numbers = [await rows.add(None) for _ in range(3)]
    assert await leased_numbers(SqlOutbox(rows.database)) == numbers


async def test_what_is_not_due_is_not_leased_and_the_wait_is_known(rows: Rows) -> None:
    store = SqlOutbox(rows.database)
    assert await store.next_due_seconds() is None
    await rows.add("psn_a", due=50)
    await rows.add("psn_b", due=20)
    assert await leased_numbers(store) == []
    assert await store.next_due_seconds() == pytest.approx(20, abs=3)
    due = await rows.add("psn_c")
    assert await store.next_due_seconds() == 0.0
    assert await leased_numbers(store) == [due]


async def test_a_lease_that_ended_is_leased_again(rows: Rows) -> None:
    store = SqlOutbox(rows.database)
    number = await rows.add()
    assert await leased_numbers(store) == [number]
    assert await leased_numbers(store) == []
    await rows.end_lease(number)
    assert await leased_numbers(store) == [number]


async def test_one_destination_does_not_fill_everybodys_hands(rows: Rows) -> None:
    store = SqlOutbox(rows.database, held_by_one_destination=3)
    slow = [await rows.add(f"psn_{n}", "int_slow") for n in range(6)]
    quick = await rows.add("psn_a", "int_quick")
    assert await leased_numbers(store) == [*slow[:3], quick]
    assert await leased_numbers(store) == [], "what is held counts, whoever holds it"
    await store.settle([settlement(slow[1], "sent")])
    assert await leased_numbers(store) == [slow[3]]


async def test_the_limit_takes_the_oldest(rows: Rows) -> None:
    numbers = [await rows.add(f"psn_{n}", f"int_{n}") for n in range(5)]
    store = SqlOutbox(rows.database)
    assert await leased_numbers(store, 2) == numbers[:2]
    assert await leased_numbers(store, 2) == numbers[2:4]


async def test_settling_is_recorded(rows: Rows) -> None:
    store = SqlOutbox(rows.database)
    sent, failed, blocked, waiting = [await rows.add(f"psn_{n}") for n in range(4)]
    await leased_numbers(store)
    await store.settle(
        [
            settlement(sent, "sent"),
            settlement(failed, "failed", attempts=12),
            settlement(blocked, "blocked"),
            settlement(waiting, "pending", attempts=2, due=30),
        ]
    )
    found = [await rows.row(number) for number in (sent, failed, blocked, waiting)]
    assert [row.state for row in found] == ["sent", "failed", "blocked", "pending"]
    assert [row.attempts for row in found] == [1, 12, 1, 2]
    assert [row.settled_at is None for row in found] == [False, False, False, True]
    assert [row.last_http_status for row in found] == [200, 500, 500, 500]
    assert found[3].last_error == "why"
    assert found[3].leased_until is None
    await store.settle([])


async def test_a_late_settlement_undoes_nothing_but_a_delivery_counts(rows: Rows) -> None:
    """The first process's lease ended while it was posting; a second one leased the row and settled it."""
    store = SqlOutbox(rows.database)
    failing, delivered, finished = [await rows.add(f"psn_{n}") for n in range(3)]
    second_words = [
        settlement(failing, "pending", attempts=5),
        settlement(delivered, "pending", attempts=5),
        settlement(finished, "sent", attempts=2),
    ]
    await store.settle(second_words)
    await store.settle(
        [
            settlement(failing, "failed", attempts=4),
            settlement(delivered, "sent", attempts=4),
            settlement(finished, "pending", attempts=2),
        ]
    )
    assert ((await rows.row(failing)).state, (await rows.row(failing)).attempts) == ("pending", 5)
    assert (await rows.row(delivered)).state == "sent"
    assert (await rows.row(finished)).state == "sent"


async def test_after_a_recovery_everything_in_line_is_due_in_order(rows: Rows) -> None:
    store = SqlOutbox(rows.database)
    a1, b1, aside = await rows.add("psn_a"), await rows.add("psn_b"), await rows.add("psn_c")
    a2, elsewhere = await rows.add("psn_a"), await rows.add("psn_a", "whk_a")
    await leased_numbers(store)
    await store.settle(
        [settlement(number, "pending", attempts=7) for number in (a1, b1, elsewhere)]
        + [settlement(aside, "set_aside", attempts=7)]
    )
    assert await leased_numbers(store) == []
    assert await store.wake_destination(integration_id="int_a", webhook_id=None) == 2
    assert await leased_numbers(store) == [a1, b1]
    await store.settle([settlement(a1, "sent")])
    assert await leased_numbers(store) == [a2]
    assert await store.wake_destination(integration_id=None, webhook_id="whk_a") == 1
    assert await leased_numbers(store) == [elsewhere]


async def test_two_processes_never_hold_the_same_lease(rows: Rows) -> None:
    numbers = [await rows.add(f"psn_{n}", f"int_{n % 9}") for n in range(60)]
    other = open_database(rows.database.engine.url.render_as_string(hide_password=False))
    try:
        stores = [SqlOutbox(rows.database), SqlOutbox(other)]
        leases = await asyncio.gather(*(stores[n % 2].lease(10, 60) for n in range(16)))
        taken = [row.number for lease in leases for row in lease]
        assert len(taken) == len(set(taken))
        while more := [number for store in stores for number in await leased_numbers(store)]:
            taken += more
        assert sorted(taken) == numbers
    finally:
        await other.close()


async def test_a_lease_is_extended_by_whoever_has_it_and_by_nobody_else(rows: Rows) -> None:
    store, other = SqlOutbox(rows.database), SqlOutbox(rows.database)
    for n in range(4):
        await rows.add(f"psn_{n}")
    leases = {row.number: row.leased_until for row in await store.lease(10, 5)}
    first, second, third, fourth = sorted(leases)
    await rows.end_lease(second)
    await other.lease(10, 60)
    await store.settle([settlement(third, "sent")])
    longer = await store.extend(leases, 90)
    assert sorted(longer) == [first, fourth]
    assert longer[first] - leases[first] > timedelta(seconds=80)
    assert (await rows.row(first)).leased_until == longer[first]
    assert sorted(await store.extend(leases, 90)) == [], "by its new end, not by its old one"
    assert sorted(await store.extend(longer, 90)) == [first, fourth]
    assert await store.extend({}, 90) == {}


async def test_a_long_line_of_one_destination_hides_nobody(rows: Rows) -> None:
    """What waits behind one failing message is more than is looked at of a destination."""
    store = SqlOutbox(rows.database)
    head = await rows.add("psn_stuck", "whk_a")
    await rows.add_many(1_200, "psn_stuck", "whk_a")
    late = await rows.add("psn_late", "whk_a")
    other = await rows.add("psn_other", "int_b")
    assert set(await leased_numbers(store)) >= {head, other}
    await store.settle([settlement(head, "pending")])
    await rows.end_lease(late)
    assert await leased_numbers(store) == [late], "a destination that gives nothing is looked through further"


async def test_destinations_that_are_left_out_are_not_leased(rows: Rows) -> None:
    store = SqlOutbox(rows.database)
    await rows.add("psn_a", "whk_ill")
    await rows.add("psn_a", "int_ill")
    well = await rows.add("psn_a", "int_well", due=30)
    assert await store.lease(10, 60, ["whk_ill", "int_ill"]) == []
    assert await store.next_due_seconds(["whk_ill", "int_ill"]) == pytest.approx(30, abs=5)
    assert await store.next_due_seconds(["whk_ill", "int_ill", "int_well"]) is None
    assert len(await store.lease(10, 60, ["whk_ill"])) == 1
    assert (await rows.row(well)).leased_until is None

"""The worker on real databases, with a poster that does what a test says."""

import asyncio
import contextlib
import functools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from integration.outbox.outbox_rows import Rows
from sqlalchemy import update

from policycore.dispatch.outbox import OutboxWorker
from policycore.dispatch.senders import NOT_POSTED
from policycore.ports import OutboxRow, OutboxSettlement, Posting, PostOutcome, PostResult
from policycore.store.engine import open_database
from policycore.store.outbox import SqlOutbox
from policycore.store.tables import outbox

TAKEN = PostResult(PostOutcome.TAKEN, 200)
BUSY = PostResult(PostOutcome.RETRY, 503, None, "busy")


@dataclass
class ScriptedPoster:
    """`answers` tells what comes of a posting; `url` is the destination's id, `body` the row's."""

    answers: Callable[[Posting], PostResult | Awaitable[PostResult]] = lambda posting: TAKEN
    tries: list[Posting] = field(default_factory=list)
    taken: list[Posting] = field(default_factory=list)
    under_way: Counter[str] = field(default_factory=Counter)
    most_under_way: Counter[str] = field(default_factory=Counter)

    async def post(self, posting: Posting) -> PostResult:
        self.tries.append(posting)
        self.under_way[posting.url] += 1
        self.most_under_way[posting.url] = max(self.most_under_way[posting.url], self.under_way[posting.url])
        try:
            await asyncio.sleep(0)
            answer = self.answers(posting)
            result = answer if isinstance(answer, PostResult) else await answer
        finally:
            self.under_way[posting.url] -= 1
        if result.outcome is PostOutcome.TAKEN:
            self.taken.append(posting)
        return result


def resolve(row: OutboxRow) -> Posting | None:
    destination = row.webhook_id or row.integration_id or ""
    if destination == "int_gone":
        return None
    return Posting(row.delivery_id, "threecx_json", destination, row.event_name, row.body, "s")


@contextlib.asynccontextmanager
async def working(
    store: Any, poster: ScriptedPoster, ready: Callable[[], bool] = lambda: True, **more: float
) -> AsyncIterator[OutboxWorker]:
    worker = OutboxWorker(
        store, poster, resolve, lambda: datetime.now(UTC), random.Random(1).random, ready=ready, **more
    )
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop(1.0)


async def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while True:
        found = true()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.02)


async def make(rows: Rows, number: int, **values: Any) -> None:
    async with rows.database.transaction() as connection:
        await connection.execute(update(outbox).where(outbox.c.number == number).values(**values))


async def state(rows: Rows, number: int) -> str:
    return str((await rows.row(number)).state)


async def test_everything_is_delivered_in_order_for_each_person(rows: Rows) -> None:
    persons = {await rows.add(f"psn_{n % 4}", ("int_a", "whk_a")[n % 2]): f"psn_{n % 4}" for n in range(40)}
    poster = ScriptedPoster()
    async with working(SqlOutbox(rows.database), poster):
        await until(lambda: len(poster.taken) == 40)
    assert len({posting.delivery_id for posting in poster.tries}) == 40
    order = [int(posting.delivery_id.removeprefix("dlv_")) for posting in poster.taken]
    for person in range(4):
        mine = [number for number in order if (number - 1) % 4 == person]
        assert mine == sorted(mine)
    assert {await state(rows, number) for number in persons} == {"sent"}


async def test_two_workers_share_the_work_and_deliver_nothing_twice(rows: Rows) -> None:
    for n in range(80):
        await rows.add(f"psn_{n % 25}", f"int_{n % 3}")
    posters = [ScriptedPoster(), ScriptedPoster()]
    other = open_database(rows.database.engine.url.render_as_string(hide_password=False))
    try:
        async with (
            working(SqlOutbox(rows.database), posters[0]),
            working(SqlOutbox(other), posters[1]),
        ):
            await until(lambda: len(posters[0].taken) + len(posters[1].taken) >= 80)
            await asyncio.sleep(0.3)
    finally:
        await other.close()
    delivered = Counter(posting.delivery_id for poster in posters for posting in poster.tries)
    assert len(delivered) == 80
    assert set(delivered.values()) == {1}


async def test_a_woken_worker_finds_new_rows_at_once(rows: Rows) -> None:
    poster = ScriptedPoster()
    async with working(SqlOutbox(rows.database), poster) as worker:
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await rows.add()
        worker.wake()
        await until(lambda: poster.taken)
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("destination", "answer", "expected"),
    [
        ("int_a", PostResult(PostOutcome.GONE, 410, None, "gone"), "failed"),
        ("int_a", PostResult(PostOutcome.BLOCKED, 0, None, "private address"), "blocked"),
        ("int_gone", TAKEN, "failed"),
    ],
)
async def test_what_ends_without_a_delivery(
    rows: Rows, destination: str, answer: PostResult, expected: str
) -> None:
    first, second = await rows.add("psn_a", destination), await rows.add("psn_a", destination)
    poster = ScriptedPoster(lambda posting: answer)
    async with working(SqlOutbox(rows.database), poster):

        async def both_ended() -> bool:
            return [await state(rows, first), await state(rows, second)] == [expected] * 2

        await until(both_ended)
    row = await rows.row(first)
    assert row.last_http_status == answer.http_status * (destination != "int_gone")
    assert row.last_error
    assert len(poster.tries) == (0 if destination == "int_gone" else 2)


async def test_a_failure_is_tried_again_by_the_schedule_and_not_before_it_was_asked_for(rows: Rows) -> None:
    plain, asked = await rows.add("psn_a", "int_a"), await rows.add("psn_b", "int_b")
    poster = ScriptedPoster(
        lambda posting: (
            BUSY if posting.url == "int_a" else PostResult(PostOutcome.RETRY, 429, 3_600.0, "slow")
        )
    )
    async with working(SqlOutbox(rows.database), poster):
        await until(lambda: len(poster.tries) == 2)
        await asyncio.sleep(0.3)
    now = datetime.now(UTC)
    row = await rows.row(plain)
    assert (row.state, row.attempts, row.last_http_status, row.last_error) == ("pending", 1, 503, "busy")
    assert timedelta(seconds=2) < row.next_attempt_at - now < timedelta(seconds=6)
    assert timedelta(minutes=59) < (await rows.row(asked)).next_attempt_at - now < timedelta(minutes=61)
    assert len(poster.tries) == 2


async def test_the_last_try_gives_up(rows: Rows) -> None:
    number, young = await rows.add("psn_a"), await rows.add("psn_b")
    await make(rows, number, attempts=11, created_at=rows.began - timedelta(days=4, minutes=1))
    await make(rows, young, attempts=11, created_at=rows.began - timedelta(days=3))
    poster = ScriptedPoster(lambda posting: BUSY)
    async with working(SqlOutbox(rows.database), poster):
        await until(lambda: len(poster.tries) == 2)
    assert (await state(rows, number), await state(rows, young)) == ("failed", "pending")
    assert (await rows.row(number)).attempts == 12


async def test_without_a_sender_nothing_counts_as_a_try(rows: Rows) -> None:
    number = await rows.add()
    answers = iter([NOT_POSTED, TAKEN])
    poster = ScriptedPoster(lambda posting: next(answers))
    async with working(SqlOutbox(rows.database), poster):
        await until(lambda: poster.taken)
    row = await rows.row(number)
    assert (row.state, row.attempts) == ("sent", 1)


async def test_nothing_is_leased_while_no_sender_is_ready(rows: Rows) -> None:
    number = await rows.add()
    poster = ScriptedPoster()
    connected = False
    async with working(SqlOutbox(rows.database), poster, lambda: connected) as worker:
        await asyncio.sleep(0.4)
        assert (await rows.row(number)).leased_until is None
        connected = True
        worker.wake()
        await until(lambda: poster.taken)


async def test_a_slow_destination_slows_nobody_else(rows: Rows) -> None:
    gate = asyncio.Event()

    async def slow() -> PostResult:
        await gate.wait()
        return TAKEN

    poster = ScriptedPoster(lambda posting: slow() if posting.url == "int_slow" else TAKEN)
    for n in range(60):
        await rows.add(f"psn_{n}", "int_slow")
    for n in range(20):
        await rows.add(f"psn_{n % 5}", "int_quick")
    async with working(SqlOutbox(rows.database), poster):
        await until(lambda: sum(posting.url == "int_quick" for posting in poster.taken) == 20)
        assert poster.most_under_way["int_slow"] == 8
        gate.set()
        await until(lambda: len(poster.taken) == 80)
        assert poster.most_under_way["int_slow"] == 8


async def test_a_message_that_fails_while_others_pass_is_set_aside(rows: Rows) -> None:
    bad, next_of_person = await rows.add("psn_bad"), await rows.add("psn_bad")
    poster = ScriptedPoster(lambda posting: BUSY if posting.delivery_id == "dlv_1" else TAKEN)

    def tried(times: int) -> bool:
        return sum(posting.delivery_id == "dlv_1" for posting in poster.tries) == times

    def passed_more_than(before: int) -> bool:
        return len(poster.taken) > before

    async with working(SqlOutbox(rows.database), poster) as worker:
        for failures in range(1, 4):
            await until(functools.partial(tried, failures))
            passed = len(poster.taken)
            if failures == 3:
                break
            await asyncio.sleep(0.2)
            assert await state(rows, next_of_person) == "pending", "order is kept for the first failures"
            await rows.add(f"psn_{failures}")
            worker.wake()
            await until(functools.partial(passed_more_than, passed))
            await make(rows, bad, next_attempt_at=rows.began)
            worker.wake()
        await until(lambda: any(posting.delivery_id == "dlv_2" for posting in poster.taken))
    # A recovery that comes just now makes everything due, so one try more may have been made.
    assert await state(rows, bad) == "pending"
    assert (await rows.row(bad)).attempts in (3, 4)


async def test_in_an_outage_nothing_is_set_aside_and_recovery_keeps_the_order(rows: Rows) -> None:
    for n in range(3):
        for _ in range(3):
            await rows.add(f"psn_{n}")
    up = False
    poster = ScriptedPoster(lambda posting: TAKEN if up else BUSY)
    heads = [1, 4, 7]

    def tried(times: int) -> bool:
        return len(poster.tries) == times

    async with working(SqlOutbox(rows.database), poster) as worker:
        for round_ in range(1, 5):
            await until(functools.partial(tried, 3 * round_))
            await asyncio.sleep(0.2)
            if round_ < 4:
                for number in heads:
                    await make(rows, number, next_attempt_at=rows.began)
                worker.wake()
        assert {posting.delivery_id for posting in poster.tries} == {"dlv_1", "dlv_4", "dlv_7"}
        up = True
        await rows.add("psn_new")
        worker.wake()
        await until(lambda: len(poster.taken) == 10)
    order = [int(posting.delivery_id.removeprefix("dlv_")) for posting in poster.taken]
    assert order[0] == 10
    for head in heads:
        assert [number for number in order if head <= number < head + 3] == [head, head + 1, head + 2]


async def test_an_endpoint_that_takes_nothing_keeps_few_hands_busy(rows: Rows) -> None:
    for n in range(16):
        await rows.add(f"psn_{n}", "int_dead")
    gate = asyncio.Event()

    async def refuse(posting: Posting) -> PostResult:
        if len(poster.tries) > 8:
            await gate.wait()
        return BUSY

    poster = ScriptedPoster(refuse)
    async with working(SqlOutbox(rows.database), poster):
        await until(lambda: len(poster.tries) >= 12)
        quick = await rows.add("psn_quick", "int_quick")
        poster.answers = lambda _: TAKEN
        await until(lambda: [each.url for each in poster.taken] == ["int_quick"])
        assert poster.under_way["int_dead"] == 4
        assert len(poster.tries) == 13, "the others were given back, and are not due yet"
        gate.set()
    assert await state(rows, quick) == "sent"


async def test_a_slow_delivery_is_not_taken_over_while_its_worker_lives(rows: Rows) -> None:
    number = await rows.add()
    slow, quick = ScriptedPoster(lambda _: asyncio.sleep(1.5, TAKEN)), ScriptedPoster()
    async with working(SqlOutbox(rows.database), slow, lease_seconds=0.3):
        await until(lambda: slow.tries)
        async with working(SqlOutbox(rows.database), quick, lease_seconds=0.3):
            await until(lambda: slow.taken)
    assert await state(rows, number) == "sent"
    assert len(slow.tries) == 1
    assert not quick.tries


async def test_a_row_that_was_lost_while_it_waited_is_left_to_others(rows: Rows) -> None:
    gate = asyncio.Event()

    async def wait(posting: Posting) -> PostResult:
        await gate.wait()
        return TAKEN

    for n in range(10):
        await rows.add(f"psn_{n}")
    stuck, other = ScriptedPoster(wait), ScriptedPoster()
    store = TroubledStore(SqlOutbox(rows.database))
    async with working(store, stuck, lease_seconds=0.3):
        await until(lambda: len(stuck.tries) == 8)
        # Its database is away for longer than its leases; another worker's is not.
        store.away = {"lease", "extend", "settle"}
        async with working(SqlOutbox(rows.database), other, lease_seconds=0.3):
            await until(lambda: len(other.taken) == 10)
        store.away = set()
        await asyncio.sleep(0.3)
        gate.set()
        await until(lambda: len(stuck.taken) == 8)
        await asyncio.sleep(0.1)
    assert len(stuck.tries) == 8, "what was not begun is not tried"


@dataclass
class TroubledStore:
    """A store whose database is away now and then."""

    store: SqlOutbox
    away: set[str] = field(default_factory=set)

    async def lease(self, limit: int, seconds: float, without: Collection[str] = ()) -> list[OutboxRow]:
        self._ask("lease")
        return await self.store.lease(limit, seconds, without)

    async def extend(self, leases: Mapping[int, datetime], seconds: float) -> dict[int, datetime]:
        self._ask("extend")
        return await self.store.extend(leases, seconds)

    async def settle(self, settlements: list[OutboxSettlement]) -> None:
        self._ask("settle")
        await self.store.settle(settlements)

    async def wake_destination(self, *, integration_id: str | None, webhook_id: str | None) -> int:
        return await self.store.wake_destination(integration_id=integration_id, webhook_id=webhook_id)

    async def next_due_seconds(self, without: Collection[str] = ()) -> float | None:
        return await self.store.next_due_seconds(without)

    def _ask(self, what: str) -> None:
        if what in self.away:
            raise ConnectionError(what)


async def test_what_was_delivered_while_the_database_was_away_is_settled_later(rows: Rows) -> None:
    number = await rows.add()
    store = TroubledStore(SqlOutbox(rows.database), {"settle"})
    poster = ScriptedPoster()
    async with working(store, poster) as worker:
        await until(lambda: poster.taken)
        await asyncio.sleep(0.2)
        assert await state(rows, number) == "pending"
        store.away.add("lease")
        worker.wake()
        await asyncio.sleep(0.1)
        store.away.clear()

        async def settled() -> bool:
            return await state(rows, number) == "sent"

        await until(settled)
    assert len(poster.tries) == 1


async def test_stopping_waits_for_tries_and_gives_back_the_rest(rows: Rows) -> None:
    gate = asyncio.Event()

    async def slow() -> PostResult:
        await gate.wait()
        return TAKEN

    numbers = [await rows.add(f"psn_{n}") for n in range(12)]
    poster = ScriptedPoster(lambda posting: slow())
    worker = OutboxWorker(
        SqlOutbox(rows.database), poster, resolve, lambda: datetime.now(UTC), random.Random(1).random
    )
    await worker.start()
    await until(lambda: len(poster.tries) == 8)
    stopping = asyncio.create_task(worker.stop(5.0))
    await asyncio.sleep(0.1)
    gate.set()
    await stopping
    found = [await rows.row(number) for number in numbers]
    assert [row.state for row in found] == ["sent"] * 8 + ["pending"] * 4
    assert all(row.leased_until is None and row.attempts == 0 for row in found[8:])

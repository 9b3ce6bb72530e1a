"""Group commit under failures: who is answered, with what, and how often work is done."""

import asyncio
from collections.abc import Sequence

import pytest

from policycore.errors import Contended, DatabaseUnavailable, Malformed, Unavailable
from policycore.usecases.contention import MOST_TRIES
from policycore.usecases.group_commit import GroupCommit


class Work:
    """Does batches, noting them; raises what it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.errors: dict[int, list[BaseException]] = {}

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await asyncio.sleep(0)
        for item in items:
            if self.errors.get(item):
                raise self.errors[item].pop(0)
        return [item * 10 for item in items]


async def answers(group: GroupCommit[int, int], items: Sequence[int]) -> list[int | BaseException]:
    """What every caller is answered, all of them waiting for the same batch behind a first one."""
    first = asyncio.create_task(group.do(0))
    await asyncio.sleep(0)
    rest = await asyncio.gather(*(group.do(item) for item in items), return_exceptions=True)
    await first
    return rest


async def test_one_poisoned_item_fails_alone() -> None:
    work = Work()
    work.errors[2] = [Malformed("a", "b"), Malformed("a", "b")]
    found = await answers(GroupCommit(work, max_batch=8, max_waiting=99), [1, 2, 3])
    assert [found[0], found[2]] == [10, 30]
    assert isinstance(found[1], Malformed)


async def test_a_database_that_is_away_is_asked_once_for_a_whole_batch() -> None:
    work = Work()
    work.errors[2] = [DatabaseUnavailable()]
    found = await answers(GroupCommit(work, max_batch=8, max_waiting=99), [1, 2, 3])
    assert [type(each) for each in found] == [DatabaseUnavailable] * 3
    assert work.batches == [[0], [1, 2, 3]]


async def test_an_item_gives_way_to_other_transactions_a_few_times() -> None:
    work = Work()
    work.errors[1] = [Contended() for _ in range(3)]
    assert await GroupCommit(work, max_batch=8, max_waiting=99).do(1) == 10
    work.errors[1] = [Contended() for _ in range(MOST_TRIES + 1)]
    with pytest.raises(Contended):
        await GroupCommit(work, max_batch=8, max_waiting=99).do(1)


async def test_work_that_is_broken_off_leaves_nobody_waiting() -> None:
    work = Work()
    work.errors[1] = [asyncio.CancelledError()]
    group = GroupCommit(work, max_batch=1, max_waiting=99)
    broken, later = await asyncio.wait_for(
        asyncio.gather(group.do(1), group.do(2), return_exceptions=True), timeout=2
    )
    assert isinstance(broken, Unavailable)
    assert later == 20


async def test_a_caller_that_left_before_its_batch_costs_nothing() -> None:
    work = Work()
    group = GroupCommit(work, max_batch=8, max_waiting=99)
    first = asyncio.create_task(group.do(0))
    await asyncio.sleep(0)
    gone, stays = asyncio.create_task(group.do(1)), asyncio.create_task(group.do(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 20
    assert await first == 0
    assert work.batches == [[0], [2]]


async def test_heavy_items_are_not_done_together() -> None:
    work = Work()
    group = GroupCommit(work, max_batch=8, max_waiting=99, weigh=lambda item: item, max_weight=5)
    assert await answers(group, [2, 3, 4, 9, 1]) == [20, 30, 40, 90, 10]
    assert work.batches == [[0], [2, 3], [4], [9], [1]]


async def test_a_group_that_follows_begins_where_the_others_batch_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("policycore.usecases.group_commit.FOLLOWS_WITHIN_SECONDS", 30.0)
    order: list[str] = []
    gate = asyncio.Event()

    async def lead(items: Sequence[int]) -> Sequence[int]:
        order.append("lead begins")
        await gate.wait()
        order.append("lead ends")
        return items

    async def follow(items: Sequence[int]) -> Sequence[int]:
        order.append(f"follows with {len(items)}")
        return items

    leading: GroupCommit[int, int] = GroupCommit(lead, max_batch=8, max_waiting=99)
    following: GroupCommit[int, int] = GroupCommit(follow, max_batch=8, max_waiting=99)
    following.follow(leading)
    assert await following.do(0) == 0
    first = asyncio.create_task(leading.do(1))
    await asyncio.sleep(0)
    others = [asyncio.create_task(following.do(number)) for number in range(3)]
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(first, *others)
    assert order == ["follows with 1", "lead begins", "lead ends", "follows with 3"]


async def test_a_leader_that_is_held_up_holds_up_nobody_for_long() -> None:
    gate = asyncio.Event()

    async def lead(items: Sequence[int]) -> Sequence[int]:
        await gate.wait()
        return items

    async def follow(items: Sequence[int]) -> Sequence[int]:
        return items

    leading: GroupCommit[int, int] = GroupCommit(lead, max_batch=8, max_waiting=99)
    following: GroupCommit[int, int] = GroupCommit(follow, max_batch=8, max_waiting=99)
    following.follow(leading)
    first = asyncio.create_task(leading.do(1))
    await asyncio.sleep(0)
    assert await following.do(2) == 2
    assert not first.done()
    gate.set()
    assert await first == 1

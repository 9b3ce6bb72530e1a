"""Owners in a crowded queue take turns, and whoever asks for too much is refused by himself."""

import asyncio
from collections.abc import Sequence

import pytest

from policycore.errors import Overloaded
from policycore.usecases.crowd import Crowd
from policycore.usecases.group_commit import GroupCommit


class Work:
    """Notes batches; each waits until it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = asyncio.Semaphore(0)

    async def __call__(self, items: Sequence[str]) -> list[str]:
        self.batches.append(list(items))
        await self.go.acquire()
        return list(items)


def group(work: Work, **limits: int) -> GroupCommit[str, str]:
    """Items are named after their owners: `hot:3` is of `hot`."""
    limits = {"max_batch": 4, "max_waiting": 40} | limits
    return GroupCommit(work, owner_of=lambda item: item.partition(":")[0], **limits)  # type: ignore[arg-type]


async def ask(group: GroupCommit[str, str], *items: str) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(group.do(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


def test_owners_take_turns_and_keep_their_own_order() -> None:
    crowd: Crowd[str] = Crowd(10)
    for entry in ("a1", "a2", "a3", "b1", "c1", "c2"):
        assert crowd.join(entry[0], entry)
    assert crowd.take(4) == ["a1", "b1", "c1", "a2"]
    assert len(crowd) == 2
    assert crowd.take(4) == ["c2", "a3"]
    assert not crowd


def test_a_line_is_bounded_and_the_longest_gives_way() -> None:
    crowd: Crowd[str] = Crowd(2)
    assert [crowd.join("a", each) for each in ("a1", "a2", "a3")] == [True, True, False]
    assert crowd.give_way("a") is None
    assert crowd.give_way("b") == "a2"
    assert crowd.give_way("b") is None
    assert crowd.take(9) == ["a1"]


async def test_a_newcomer_waits_for_one_batch_however_much_another_asks() -> None:
    work = Work()
    made = group(work)
    await ask(made, "hot:0")
    await ask(made, *(f"hot:{n}" for n in range(1, 20)))
    tasks = await ask(made, "calm:1")
    work.go.release()
    work.go.release()
    assert await tasks[0] == "calm:1"
    assert "calm:1" in work.batches[1]
    for _ in range(9):
        work.go.release()
    await made.drain()
    assert [item for batch in work.batches for item in batch if item != "calm:1"] == [
        f"hot:{n}" for n in range(20)
    ]


async def test_an_owner_with_too_many_is_refused_and_others_are_not() -> None:
    work = Work()
    made = group(work, max_of_one=6)
    hot = await ask(made, "hot:0") + await ask(made, *(f"hot:{n}" for n in range(1, 12)))
    calm = await ask(made, "calm:1")
    for _ in range(9):
        work.go.release()
    found = await asyncio.gather(*hot, *calm, return_exceptions=True)
    refused = [each for each in found if isinstance(each, Overloaded)]
    # One batch of one was under way, six waited.
    assert len(refused) == 5
    assert all(each.retry_after_seconds > 0 and "account" in str(each) for each in refused)
    assert found[-1] == "calm:1"
    done = [item for batch in work.batches for item in batch]
    assert sorted(done) == sorted(each for each in found if isinstance(each, str))


async def test_in_a_full_queue_the_longest_line_is_refused_for_a_newcomer() -> None:
    work = Work()
    made = group(work, max_batch=2, max_waiting=8)
    hot = await ask(made, "hot:0") + await ask(made, *(f"hot:{n}" for n in range(1, 9)))
    calm = await ask(made, "calm:1")
    for _ in range(9):
        work.go.release()
    assert await calm[0] == "calm:1"
    found = await asyncio.gather(*hot, return_exceptions=True)
    assert isinstance(found[8], Overloaded)
    assert found[:8] == [f"hot:{n}" for n in range(8)]


async def test_a_full_queue_of_equals_refuses_the_newcomer() -> None:
    work = Work()
    made = group(work, max_batch=2, max_waiting=3)
    first = await ask(made, "a:0") + await ask(made, "a:1", "b:1", "c:1")
    with pytest.raises(Overloaded):
        await made.do("d:1")
    for _ in range(9):
        work.go.release()
    assert await asyncio.gather(*first) == ["a:0", "a:1", "b:1", "c:1"]
    assert made.waiting == 0

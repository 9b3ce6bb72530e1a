"""Turns: how many attempts are under way at once."""

import asyncio
import contextlib
from random import Random

import pytest

from sender.model import WithheldError
from sender.turns import Turns


async def hold(turns: Turns, instance_id: str, until: asyncio.Event) -> None:
    async with turns.turn(instance_id, 5):
        await until.wait()


async def test_a_full_instance_holds_up_nobody_else() -> None:
    turns, until = Turns(10, 2), asyncio.Event()
    holders = [asyncio.create_task(hold(turns, "slow", until)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(WithheldError) as caught:
        async with turns.turn("slow", 0.01):
            raise AssertionError("no turn was free")
    assert caught.value.code == "sender_overloaded"
    async with turns.turn("fast", 0.01):
        until.set()
    await asyncio.gather(*holders)


async def test_a_full_house_waits_and_goes_on() -> None:
    turns, until = Turns(1, 5), asyncio.Event()
    holder = asyncio.create_task(hold(turns, "a", until))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(hold(turns, "b", until))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    until.set()
    await asyncio.gather(holder, waiting)


async def test_a_turn_that_was_not_had_is_not_kept() -> None:
    turns, until = Turns(1, 1), asyncio.Event()
    holder = asyncio.create_task(hold(turns, "a", until))
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(WithheldError):
            async with turns.turn("b", 0.001):
                raise AssertionError("no turn was free")
    until.set()
    await holder
    async with turns.turn("b", 0.1):
        pass


async def test_a_cancelled_wait_takes_nothing() -> None:
    turns, until = Turns(1, 1), asyncio.Event()
    holder = asyncio.create_task(hold(turns, "a", until))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(hold(turns, "b", until))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    until.set()
    await holder
    async with turns.turn("b", 0.1):
        pass


async def test_an_error_inside_frees_the_turn() -> None:
    turns = Turns(1, 1)
    with pytest.raises(ValueError, match="broken"):
        async with turns.turn("a", 1):
            raise ValueError("broken")
    async with turns.turn("a", 0.01):
        pass


async def test_turns_that_come_and_go_at_once_are_neither_lost_nor_doubled() -> None:
    turns, chance, under_way, most = Turns(4, 2), Random(7), [0], [0]

    async def use(number: int) -> None:
        with contextlib.suppress(WithheldError):
            async with turns.turn(f"ins_{number % 5}", chance.choice((0.0, 0.001, 0.003, 1.0))):
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
                try:
                    await asyncio.sleep(chance.choice((0, 0, 0.001, 0.002)))
                finally:
                    under_way[0] -= 1

    tasks = [asyncio.create_task(use(number)) for number in range(400)]
    for task in chance.sample(tasks, 100):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 2 < most[0] <= 4
    # Every place has come back: as many as there are can be taken at once, and no more.
    for instance_id in ("a", "a", "b", "b"):
        await turns.take(instance_id, 0.01)
    with pytest.raises(WithheldError):
        await turns.take("c", 0.01)
    turns.give_back("a")
    await turns.take("c", 0.01)


async def test_a_place_that_comes_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    turns = Turns(1, 5)
    await turns.take("a", 1)
    first = asyncio.create_task(turns.take("b", 5))
    second = asyncio.create_task(turns.take("c", 5))
    await asyncio.sleep(0)
    turns.give_back("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 1)


async def test_one_who_gave_up_is_passed_over() -> None:
    turns = Turns(1, 5)
    await turns.take("a", 1)
    first = asyncio.create_task(turns.take("b", 5))
    second = asyncio.create_task(turns.take("c", 5))
    await asyncio.sleep(0)
    first.cancel()
    turns.give_back("a")
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 1)

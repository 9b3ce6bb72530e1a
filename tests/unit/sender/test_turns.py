"""Turns: how many attempts are under way at once."""

import asyncio

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

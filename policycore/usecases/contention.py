"""Doing work again that gave way to another transaction."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from policycore.errors import Contended

Answer = TypeVar("Answer")

MOST_TRIES = 5
"""Each try waits for the other transaction; whoever loses so often is told to come again."""


async def giving_way(work: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer of `work`, which is one transaction and is done again while it raises `Contended`."""
    for _ in range(MOST_TRIES - 1):
        try:
            return await work()
        except Contended:
            continue
    return await work()

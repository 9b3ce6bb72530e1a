"""The curves: what is made larger, to which sizes, and the requests that are decided on it."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from bench import decision
from bench.growth import fill
from policycore.model import Intent
from policycore.store.partitions import Month
from policycore.store.types import to_microseconds

ACTIVE = 1_000
"""Persons who are written to where it is something else that grows."""

Filling = Callable[[AsyncEngine, int, datetime], Awaitable[None]]
Asking = Callable[[random.Random, int, int], Sequence[Intent]]


@dataclass(frozen=True, slots=True)
class Curve:
    """Something that grows. `fill` brings a database to a size; `ask` makes so many requests for a database of a
    size; `refused` of a batch are refused on purpose.
    """

    name: str
    says: str
    sizes: tuple[int, ...]
    fill: Filling
    ask: Asking
    refused: float = 0.0


def _reply(chance: random.Random, phone: str, integration_id: str = "int_1") -> Intent:
    text = f"{decision.TEXTS['English']} ({chance.getrandbits(60)})"
    return decision.reply_to(phone, text, f"3cx-chat-{phone[1:]}", integration_id)


async def _persons(engine: AsyncEngine, size: int, now: datetime) -> None:
    await fill.fill_persons(engine, size, to_microseconds(now))


def _any_person(chance: random.Random, size: int, count: int) -> Sequence[Intent]:
    return [_reply(chance, fill.phone_of(n)) for n in chance.sample(range(1, size + 1), count)]


async def _suppressions(engine: AsyncEngine, size: int, now: datetime) -> None:
    await fill.fill_persons(engine, size + ACTIVE, to_microseconds(now))
    await fill.fill_suppressions(engine, size, to_microseconds(now))


def _every_fourth_opted_out(chance: random.Random, size: int, count: int) -> Sequence[Intent]:
    opted_out = chance.sample(range(1, size + 1), count // 4)
    others = chance.sample(range(size + 1, size + ACTIVE + 1), count - count // 4)
    return [_reply(chance, fill.phone_of(n)) for n in (*opted_out, *others)]


async def _integrations(engine: AsyncEngine, size: int, now: datetime) -> None:
    await fill.fill_persons(engine, ACTIVE, to_microseconds(now))
    await fill.fill_integrations(engine, size)


def _any_integration(chance: random.Random, size: int, count: int) -> Sequence[Intent]:
    persons = chance.sample(range(1, ACTIVE + 1), count)
    return [_reply(chance, fill.phone_of(n), f"int_{chance.randint(1, size)}") for n in persons]


async def _log(engine: AsyncEngine, size: int, now: datetime) -> None:
    await fill.fill_persons(engine, fill.LOG_PERSONS, to_microseconds(now))
    await fill.fill_log(engine, size, Month.of(now))


def _any_logged(chance: random.Random, size: int, count: int) -> Sequence[Intent]:
    return _any_person(chance, fill.LOG_PERSONS, count)


CURVES = (
    Curve("persons", "persons with open windows", (10**3, 10**4, 10**5, 10**6), _persons, _any_person),
    Curve(
        "suppressions",
        "suppressions, a quarter of the requests to somebody suppressed",
        (10**3, 10**4, 10**5, 10**6),
        _suppressions,
        _every_fourth_opted_out,
        refused=0.25,
    ),
    Curve("integrations", "integrations", (1, 100, 10**4), _integrations, _any_integration),
    Curve("log", "rows of the policy log", (10**4, 10**5, 10**6, 5 * 10**6), _log, _any_logged),
)

"""Owns the stand-in of Redis: the counters' scripts as arithmetic, and everything that may be wrong with a Redis.

The product's own `RedisCounters` speak to it, with their budget, their breaker and the counting that stands in for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from policycore.counters.redis import BUDGET_SECONDS, RedisCounters
from policycore.ports import Admission, Turn, TurnRequest

_LOOSE_SECONDS = 1e-6


class Health(Enum):
    """What is wrong with Redis."""

    WELL = "well"
    GONE = "gone"
    HANGS = "hangs"
    SLOW = "slow"
    READ_ONLY = "read only"


class RedisTwin:
    """A Redis that all policy cores share. Counts in whole microseconds, as the scripts do."""

    def __init__(self, random: Random, seconds: Callable[[], float]) -> None:
        self.health = Health.WELL
        self._random = random
        self._seconds = seconds
        self.flush()

    def flush(self) -> None:
        """Loses everything, scripts too."""
        self._logs: dict[str, deque[int]] = {}
        self._due: dict[str, int] = {}
        self._scripts_known = False

    async def evalsha(self, digest: str, key_count: int, *words: Any) -> list[int]:
        """Runs a script. Raises as redis-py does."""
        await self._answer()
        if not self._scripts_known:
            raise NoScriptError("No matching script.")
        if self.health is Health.READ_ONLY:
            raise ResponseError("READONLY You can't write against a read only replica.")
        keys, arguments = words[:key_count], words[key_count:]
        now = int(self._seconds() * 1_000_000)
        if arguments and isinstance(arguments[0], str):
            return self._turns(keys, arguments, now)
        return self._admit(keys, arguments, now)

    async def script_load(self, script: str) -> None:
        """Learns the scripts."""
        await self._answer()
        self._scripts_known = True

    async def ping(self) -> bool:
        """Whether it answers."""
        await self._answer()
        return True

    async def _answer(self) -> None:
        if self.health is Health.GONE:
            raise RedisConnectionError("Connection refused.")
        if self.health is Health.HANGS:
            await asyncio.sleep(5.0)
        elif self.health is Health.SLOW:
            await asyncio.sleep(self._random.random() * 3 * BUDGET_SECONDS)

    def _admit(self, keys: Sequence[str], arguments: Sequence[int], now: int) -> list[int]:
        waits = []
        for at in range(0, len(arguments), 3):
            place, window, limit = arguments[at : at + 3]
            log = self._logs.setdefault(keys[place - 1], deque())
            while log and log[0] <= now - window:
                log.popleft()
            if len(log) < limit:
                log.append(now)
                waits.append(0)
            else:
                waits.append(log[-limit] + window - now if limit > 0 else window)
        return waits

    def _turns(self, keys: Sequence[str], arguments: Sequence[Any], now: int) -> list[int]:
        mode, answers = arguments[0], []
        for at in range(1, len(arguments), 7):
            instance, pair, *paces, longest = arguments[at : at + 7]
            lanes = [(keys[instance - 1], paces[0], paces[1]), (keys[pair - 1], paces[2], paces[3])]
            waits = [
                max(0, self._due_at(key, now) - tolerance - now) if interval else 0
                for key, interval, tolerance in lanes
            ]
            step = -1 if mode == "return" else int(mode == "reserve" and max(waits) <= longest)
            for key, interval, _ in lanes:
                if step and interval:
                    self._due[key] = self._due_at(key, now) + step * interval
            if mode != "return":
                answers += [*waits, step]
        return answers

    def _due_at(self, key: str, now: int) -> int:
        return max(self._due.get(key, now), now)


class TimedCounters:
    """The product's counters, and how long anybody waited for them. Implements `policycore.ports.Counters`."""

    def __init__(self, counters: RedisCounters, note: Callable[[float], None]) -> None:
        self._counters = counters
        self._note = note

    async def admit(self, admissions: Sequence[Admission]) -> list[float]:
        began = _now()
        try:
            return await self._counters.admit(admissions)
        finally:
            self._note(_now() - began)

    async def reserve_turns(self, requests: Sequence[TurnRequest], *, peek: bool = False) -> list[Turn]:
        began = _now()
        try:
            return await self._counters.reserve_turns(requests, peek=peek)
        finally:
            self._note(_now() - began)

    async def give_back_turns(self, requests: Sequence[TurnRequest]) -> None:
        began = _now()
        try:
            await self._counters.give_back_turns(requests)
        finally:
            self._note(_now() - began)

    async def healthy(self) -> bool:
        return await self._counters.healthy()


def over_budget(seconds: float) -> bool:
    """Whether a wait for the counters was longer than they may cost."""
    return seconds > BUDGET_SECONDS + _LOOSE_SECONDS


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Rate limits shared by all replicas through Redis. A Redis that is slow or gone costs milliseconds: this
process then counts alone.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import NoScriptError, RedisError, ResponseError

from policycore.counters.address import cluster_of
from policycore.counters.breaker import Breaker
from policycore.counters.memory import MICROSECONDS, MemoryCounters, pace_of
from policycore.counters.scripts import ADMIT, TURNS
from policycore.ports import Admission, Turn, TurnRequest

BUDGET_SECONDS = 0.020
"""What one call may cost before this process counts alone."""

PROBE_SECONDS = 1.0
"""What finding out whether Redis is back may take; nobody waits for it."""

CONNECTIONS = 8

_log = structlog.get_logger(__name__)


def _digest(script: str) -> str:
    # Redis names a script by its SHA-1; nothing here relies on it being hard to forge.
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


_DIGESTS = {ADMIT: _digest(ADMIT), TURNS: _digest(TURNS)}


@dataclass(slots=True)
class _Call:
    """One run of a script. `places` are the positions in the caller's list that it answers."""

    script: str
    arguments: list[str | int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)

    def number(self, key: str) -> int:
        """The place of a key among those of the script, counted from 1."""
        return self.keys.setdefault(key, len(self.keys) + 1)


def open_client(url: str) -> Redis | RedisCluster:
    """A client for one server (`redis://`, `rediss://`, `unix://`) or a cluster (`redis+cluster://`, `rediss+cluster://`);
    connects on first use and tries nothing twice by itself. Raises ValueError if the URL names neither.
    """
    cluster = cluster_of(url)
    if cluster is not None:
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in cluster.members],
            username=cluster.username,
            password=cluster.password,
            ssl=cluster.encrypted,
            # A part without a member counts in each process; the other parts need not.
            require_full_coverage=False,
            # A member's connections do not wait for each other: more calls than these would be refused.
            max_connections=2 * CONNECTIONS,
            socket_timeout=PROBE_SECONDS,
            socket_connect_timeout=PROBE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=PROBE_SECONDS,
        socket_timeout=PROBE_SECONDS,
        socket_connect_timeout=PROBE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    # One connection of the pool in hand: a batch makes two trips, one after the other, and taking a connection out
    # and putting it back costs as much as the trip.
    client = Redis(connection_pool=pool, single_connection_client=True)
    # The pool is this client's own, and ends with it.
    client.auto_close_connection_pool = True
    return client


class RedisCounters:
    """Implements `Counters` over Redis (6 and newer), with `twin` for the time that Redis is away. Never
    raises.

    `clock` gives seconds that never run backwards; only the breaker asks it, the limits run on the server's
    clock.
    """

    def __init__(
        self,
        client: Redis | RedisCluster,
        twin: MemoryCounters,
        clock: Callable[[], float],
        *,
        budget_seconds: float = BUDGET_SECONDS,
        prefix: str = "hubgate",
    ) -> None:
        self._client = client
        self._clustered = isinstance(client, RedisCluster)
        self._places = asyncio.Semaphore(CONNECTIONS) if self._clustered else None
        self._twin = twin
        self._breaker = Breaker(clock)
        self._budget = budget_seconds
        self._prefix = prefix
        self._probe: asyncio.Task[bool] | None = None

    async def admit(self, admissions: Sequence[Admission]) -> list[float]:
        """One round trip for all of them."""
        calls = self._admit_calls(admissions)
        answers = await self._run(calls)
        if answers is None:
            return await self._twin.admit(admissions)
        waits = [0.0] * len(admissions)
        for call, answer in zip(calls, answers, strict=True):
            for place, wait in zip(call.places, answer, strict=True):
                waits[place] = wait / MICROSECONDS
        return waits

    async def reserve_turns(self, requests: Sequence[TurnRequest], *, peek: bool = False) -> list[Turn]:
        """One round trip for all of them."""
        calls = self._turn_calls(requests, "peek" if peek else "reserve")
        answers = await self._run(calls)
        if answers is None:
            return await self._twin.reserve_turns(requests, peek=peek)
        turns: list[Turn] = [Turn(0.0, 0.0, False)] * len(requests)
        for call, answer in zip(calls, answers, strict=True):
            for index, place in enumerate(call.places):
                instance_wait, pair_wait, reserved = answer[index * 3 : index * 3 + 3]
                turns[place] = Turn(instance_wait / MICROSECONDS, pair_wait / MICROSECONDS, reserved == 1)
        return turns

    async def give_back_turns(self, requests: Sequence[TurnRequest]) -> None:
        """Best effort: what was reserved just before Redis went away runs out by itself."""
        if await self._run(self._turn_calls(requests, "return")) is None:
            await self._twin.give_back_turns(requests)

    async def healthy(self) -> bool:
        """Asks Redis now, unless the breaker is open; then it starts to find out, for the next who asks."""
        if not self._breaker.closed:
            self._probe_if_due()
            return False
        return await self._ping(self._budget)

    async def warm_up(self) -> bool:
        """Connects and loads the scripts before the first caller comes; False if Redis does not answer."""
        return await self._ping(PROBE_SECONDS)

    async def close(self) -> None:
        """Closes the connections."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self._client.aclose()

    def _admit_calls(self, admissions: Sequence[Admission]) -> list[_Call]:
        calls: dict[int, _Call] = {}
        for place, admission in enumerate(admissions):
            window = int(admission.window_seconds * MICROSECONDS)
            call = self._call_for(admission.key, calls, ADMIT)
            number = call.number(f"{self._prefix}:admit:{{{admission.key}}}:{window}")
            call.arguments += (number, window, admission.limit)
            call.places.append(place)
        return list(calls.values())

    def _turn_calls(self, requests: Sequence[TurnRequest], mode: str) -> list[_Call]:
        calls: dict[int, _Call] = {}
        for place, request in enumerate(requests):
            call = self._call_for(request.instance_id, calls, TURNS, mode)
            instance_key = f"{self._prefix}:turn:{{{request.instance_id}}}"
            instance = pace_of(request.instance_rate, request.instance_burst)
            pair = pace_of(request.pair_rate, request.pair_burst)
            call.arguments += (
                call.number(instance_key),
                call.number(f"{instance_key}:{request.person_id}"),
                instance.interval,
                instance.tolerance,
                pair.interval,
                pair.tolerance,
                int(request.max_wait_seconds * MICROSECONDS),
            )
            call.places.append(place)
        return list(calls.values())

    def _call_for(self, tag: str, calls: dict[int, _Call], script: str, *first: str) -> _Call:
        """One run of the script for everything; on a cluster, one for each slot: its keys may be on another member."""
        group = key_slot(tag.encode()) if self._clustered else 0
        call = calls.get(group)
        if call is None:
            call = calls[group] = _Call(script, [*first])
        return call

    async def _run(self, calls: list[_Call]) -> list[Any] | None:
        """The scripts' answers, or None if this process has to count alone."""
        if not calls:
            return []
        if not self._breaker.closed:
            self._probe_if_due()
            return None
        try:
            async with asyncio.timeout(self._budget):
                answers = await self._send(calls)
                if any(isinstance(answer, NoScriptError) for answer in answers):
                    # Redis restarted or forgot its scripts. Calls that did run are not run again.
                    await self._load_scripts()
                    missing = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
                    again = await self._send([calls[i] for i in missing])
                    for i, answer in zip(missing, again, strict=True):
                        answers[i] = answer
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        except (RedisError, OSError, TimeoutError) as error:
            self._note_failure(error)
            return None
        self._breaker.succeeded()
        return answers

    async def _send(self, calls: list[_Call]) -> list[Any]:
        """Answers or errors, one for each call. A cluster's client sends what goes to one member together."""
        if self._places is None:
            return await self._send_now(calls)
        async with self._places:
            return await self._send_now(calls)

    async def _send_now(self, calls: list[_Call]) -> list[Any]:
        if len(calls) == 1:
            return [await self._run_alone(self._client, calls[0])]
        # By the general method: a cluster's pipeline has none of the script's name, for not every script may go there.
        # These may, as all keys of each are in one slot.
        pipeline: Any = self._client.pipeline()
        for call in calls:
            digest = _DIGESTS[call.script]
            pipeline.execute_command("EVALSHA", digest, len(call.keys), *call.keys, *call.arguments)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    @staticmethod
    async def _run_alone(client: Redis | RedisCluster, call: _Call) -> Any:
        try:
            return await client.evalsha(_DIGESTS[call.script], len(call.keys), *call.keys, *call.arguments)
        except ResponseError as error:
            return error

    async def _load_scripts(self) -> None:
        for script in _DIGESTS:
            await self._client.script_load(script)

    async def _ping(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                if seconds < PROBE_SECONDS:
                    await self._client.ping()
                else:
                    await self._begin_anew()
        except (RedisError, OSError, TimeoutError) as error:
            self._note_failure(error)
            return False
        if self._breaker.succeeded():
            _log.info("counters_shared_again")
        return True

    async def _begin_anew(self) -> None:
        """Connects and loads the scripts. A cluster may have moved its parts: its members are asked again."""
        if isinstance(self._client, RedisCluster):
            await self._client.aclose()
            await self._client.initialize()
            await self._client.ping(target_nodes=RedisCluster.PRIMARIES)
        else:
            await self._client.ping()
        await self._load_scripts()

    def _probe_if_due(self) -> None:
        running = self._probe is not None and not self._probe.done()
        if not running and self._breaker.probe_due():
            self._probe = asyncio.create_task(self._ping(PROBE_SECONDS))

    def _note_failure(self, error: Exception) -> None:
        if self._breaker.failed():
            _log.warning("counters_counting_alone", error=type(error).__name__)

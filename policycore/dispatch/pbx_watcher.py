"""Holds the right to watch phone systems, one lease for each, and takes what senders tell of them."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol

import structlog

from policycore import steps
from policycore.pbx import HeldWatch, LeaseLost, PbxLedger, PbxNews, PbxSenders, PbxTarget, SenderGone

LEASE_SECONDS = 30.0
"""A process that dies leaves its watches to the others after so long; one that lives extends them in time."""

HEARTBEATS_IN_A_LEASE = 5
CLAIM_EVERY_SECONDS = 2.0
CLAIMED_AT_ONCE = 20
TELL_EVERY_SECONDS = 2.0
LEARN_EVERY_SECONDS = 20.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
KEEP_AGAIN_SECONDS = 1.0
CLEAN_EVERY = 300

_log = structlog.get_logger(__name__)


class MissedCallDesk(Protocol):
    """See `policycore.usecases.tell_missed_calls.MissedCalls`."""

    async def take(self, held: HeldWatch, news: PbxNews) -> None:
        """Keeps what is new. Raises `LeaseLost`."""

    async def tell(self, held: HeldWatch) -> int:
        """Decides what waits to be told; returns how many were."""


class AuthorDesk(Protocol):
    """See `policycore.usecases.learn_authors.Authors`."""

    async def learn(self, target: PbxTarget) -> str:
        """One look. Returns why it could not be had; empty if it could."""

    async def clean(self) -> int:
        """Forgets authors whose messages are gone."""


class PbxWatcher:
    """One process's part in watching; any number may work on one database. `random` gives numbers in [0, 1)."""

    def __init__(
        self,
        ledger: PbxLedger,
        senders: PbxSenders,
        desk: MissedCallDesk,
        authors: AuthorDesk,
        holder: str,
        random: Callable[[], float],
        *,
        lease_seconds: float = LEASE_SECONDS,
        learn_seconds: float = LEARN_EVERY_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._senders = senders
        self._desk = desk
        self._authors = authors
        self._learn_seconds = learn_seconds
        self._holder = holder
        self._random = random
        self._lease_seconds = lease_seconds
        self._held: dict[str, asyncio.Task[None]] = {}
        self._claiming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to claim."""
        self._claiming = asyncio.create_task(self._claim_loop())

    async def stop(self) -> None:
        """Ends every watching and gives the leases back."""
        tasks = [*self._held.values(), *([self._claiming] if self._claiming is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim_loop(self) -> None:
        rounds = 0
        while True:
            rounds += 1
            try:
                for held in await self._ledger.claim(self._holder, self._lease_seconds, CLAIMED_AT_ONCE):
                    self._begin(held)
                if rounds % CLEAN_EVERY == 0:
                    await self._ledger.clean()
                    await self._authors.clean()
            except Exception as error:  # noqa: BLE001  # whatever a database's driver raises: it will be back
                _log.warning("pbx.not_claimed", error=type(error).__name__)
            await asyncio.sleep(CLAIM_EVERY_SECONDS * (0.5 + self._random()))

    def _begin(self, held: HeldWatch) -> None:
        key = held.target.integration_id
        former = self._held.get(key)
        if former is not None:
            # Its lease ran out unnoticed; what it still writes is turned away.
            former.cancel()
        task = self._held[key] = asyncio.create_task(self._hold(held))
        task.add_done_callback(lambda done: self._ended(key, done))
        steps.passed("pbx.claimed")

    def _ended(self, key: str, done: "asyncio.Task[None]") -> None:
        if self._held.get(key) is done:
            del self._held[key]
        if not done.cancelled() and (error := done.exception()) is not None:
            _log.error("pbx.watch_broken", integration_id=key, error=type(error).__name__)

    async def _hold(self, held: HeldWatch) -> None:
        """Until the lease is lost, or what it was given for has changed."""
        parts = [
            asyncio.create_task(part)
            for part in (self._heartbeat(held), self._tell_loop(held), *self._uses(held))
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                with contextlib.suppress(LeaseLost):
                    part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await self._let_go(held)

    def _uses(self, held: HeldWatch) -> list[Coroutine[Any, Any, None]]:
        """What the phone system is asked for."""
        uses = [self._watch(held)] if held.missed_calls else []
        return [*uses, self._learn_loop(held)] if held.who_replied else uses

    async def _let_go(self, held: HeldWatch) -> None:
        try:
            await self._ledger.release(held)
        except Exception as error:  # noqa: BLE001  # the lease ends by itself
            _log.warning("pbx.not_released", error=type(error).__name__)

    async def _heartbeat(self, held: HeldWatch) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / HEARTBEATS_IN_A_LEASE)
            try:
                await self._ledger.extend(held, self._lease_seconds)
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001  # whatever a database's driver raises: it will be back
                _log.warning("pbx.not_extended", error=type(error).__name__)

    async def _watch(self, held: HeldWatch) -> None:
        """Has a sender watch, and another one when that is gone, from where the last one was."""
        pause, known = FIRST_PAUSE_SECONDS, held
        while True:
            reason, last = "sender_left", None
            try:
                async with contextlib.aclosing(self._senders.watch(known)) as told:
                    async for news in told:
                        if news.missed or news != last:
                            await self._keep(known, news)
                        known, last = _with_mark(known, news), news
                        pause = FIRST_PAUSE_SECONDS
            except SenderGone as gone:
                reason = str(gone)
            _log.info("pbx.sender_gone", integration_id=held.target.integration_id, reason=reason)
            await self._keep(known, PbxNews("waiting", reason, (), known.known_until))
            await asyncio.sleep(pause * (0.5 + self._random()))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _keep(self, held: HeldWatch, news: PbxNews) -> None:
        """Keeps what is new, however long the database takes: what a socket has shown comes no second time. Raises
        `LeaseLost`.
        """
        while True:
            try:
                await self._desk.take(held, news)
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001  # whatever a database's driver raises: it will be back
                _log.warning("pbx.news_not_kept", error=type(error).__name__)
                await asyncio.sleep(KEEP_AGAIN_SECONDS)
            else:
                steps.passed("pbx.taken")
                return

    async def _tell_loop(self, held: HeldWatch) -> None:
        while True:
            try:
                await self._desk.tell(held)
            except Exception as error:  # noqa: BLE001  # whatever a database's driver raises: it will be back
                _log.warning("pbx.not_told", error=type(error).__name__)
            await asyncio.sleep(TELL_EVERY_SECONDS)

    async def _learn_loop(self, held: HeldWatch) -> None:
        while True:
            try:
                failure = await self._authors.learn(held.target)
                if not held.missed_calls:
                    # Else the watching says how the phone system is.
                    state = "failing" if failure else "watching"
                    await self._desk.take(held, PbxNews(state, failure, (), held.known_until))
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001  # whatever a database's driver raises: it will be back
                _log.warning("pbx.not_learnt", error=type(error).__name__)
            await asyncio.sleep(self._learn_seconds * (0.5 + self._random()))


def _with_mark(held: HeldWatch, news: PbxNews) -> HeldWatch:
    return replace(held, known_until=max(held.known_until, news.known_until))

"""Owns the twins of the senders and of their guards: one attempt per permit, asked again at the last socket."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from random import Random
from typing import Any

from policycore.model import PauseFact
from policycore.ports import AttemptOutcome, OutboundMessage, Outcome
from policycore.registry.snapshot import InstanceConfig
from simulate.configuration import KnownConfiguration
from simulate.store import Process, Store
from simulate.virtual_time import Clock

SILENCE_SECONDS = 1.0
OBEDIENT_SECONDS = 0.8
FRESH_SECONDS = 1.5
DEPARTED_SECONDS = 120.0
ATTEMPT_SECONDS = 35.0
LONGEST_CONNECT_SECONDS = 28.0

NO_SENDER = AttemptOutcome(Outcome.NOT_ATTEMPTED, "no_sender", handed_over=False)
SENDER_LOST = AttemptOutcome(Outcome.UNKNOWN, "sender_lost")
SENDER_LATE = AttemptOutcome(Outcome.UNKNOWN, "sender_late")
_OWN_TROUBLE = frozenset({"guard_silent"})

Take = Callable[[OutboundMessage], Coroutine[Any, Any, AttemptOutcome]]
"""Hands a message to its instance; what it answers comes later."""


class WithheldError(Exception):
    """Nothing was attempted; the argument says why."""


class Speaker:
    """What one policy core says to the senders' guards. Implements `policycore.ports.SenderGuards`."""

    def __init__(
        self,
        process: Process,
        known: KnownConfiguration,
        store: Store,
        random: Random,
        senders: "list[SenderTwin]",
    ) -> None:
        self.process = process
        self.known = known
        self.senders = senders
        self.began_at = float("inf")
        self.lag = random.random() ** 2 * 0.3
        self._store = store
        self._opt_outs: dict[str, list[tuple[float, datetime | None]]] = {}

    def begin(self) -> None:
        """From now on it speaks to the senders."""
        self.began_at = _now()

    def opted_out(self, person_id: str, until: datetime) -> None:
        """Guards a person on every sender at once."""
        if self.process.alive:
            said = self._opt_outs.setdefault(person_id, [])
            known = said[-1][1] if said else None
            said.append((_now(), until if known is None else max(known, until)))

    def opt_out_lifted(self, person_id: str) -> None:
        """Ends the guard of a person who came back."""
        if self.process.alive and person_id in self._opt_outs:
            self._opt_outs[person_id].append((_now(), None))

    async def confirm(self, version: int, seconds: float) -> int:
        """Waits until every sender obeys a configuration; returns how many do."""
        end = _now() + seconds
        while True:
            self.process.require()
            self.known.look()
            live = [sender for sender in self.senders if sender.obeys(self)]
            heard = self.known.known_at(_now() - 2 * self.lag).version
            obeying = len(live) if heard >= version else 0
            if obeying == len(self.senders) or _now() >= end:
                return obeying
            await asyncio.sleep(0.05)

    def spoke_until(self) -> float:
        """Until when it kept on saying that it is there: a dead one, or one that knows nothing new, is silent."""
        spoke = _now()
        if self._store.away_since is not None:
            spoke = min(spoke, self._store.away_since + FRESH_SECONDS)
        return spoke if self.process.died_at is None else min(spoke, self.process.died_at)

    def guards_person(self, person_id: str, heard_until: float, now: datetime) -> bool:
        """Whether an opt-out of this person stands in what was said until then."""
        for said_at, until in reversed(self._opt_outs.get(person_id, ())):
            if said_at <= heard_until:
                return until is not None and now < until
        return False


class SenderTwin:
    """One sender process."""

    def __init__(self, random: Random, clock: Clock, take: Take, speakers: list[Speaker]) -> None:
        self.clock = clock
        self.alive = True
        self.speakers = speakers
        self._random = random
        self._take = take
        self._began_at = _now()
        self._connects_after: dict[Speaker, float] = {}
        self._pending: dict[asyncio.Future[AttemptOutcome], None] = {}

    def kill(self) -> None:
        """Ends it: attempts that had begun to be written go on their way, and nobody learns of them."""
        self.alive = False
        for answer in list(self._pending):
            _settle(answer, SENDER_LOST)

    def start_again(self) -> None:
        """A new process in its place, which has heard nobody yet."""
        self.alive = True
        self._began_at = _now()
        self._connects_after = {}

    def obeys(self, speaker: Speaker) -> bool:
        """Whether it acknowledged this speaker lately."""
        return self._heard(speaker) and _now() - speaker.spoke_until() <= OBEDIENT_SECONDS

    def _heard(self, speaker: Speaker) -> bool:
        if speaker not in self._connects_after:
            self._connects_after[speaker] = self._random.random() ** 2 * 2.0
        met_at = max(self._began_at, speaker.began_at) + self._connects_after[speaker]
        return self.alive and met_at <= min(_now(), speaker.spoke_until()) - speaker.lag

    async def attempt(self, message: OutboundMessage, answer: "asyncio.Future[AttemptOutcome]") -> None:
        """One attempt, in the sender's own time."""
        self._pending[answer] = None
        process = self._began_at
        try:
            await asyncio.sleep(self._random.random() * 0.01)
            self._check(message, process)
            await asyncio.sleep(self._connecting_seconds())
            self._check(message, process)
            outcome = await self._take(message)
        except WithheldError as why:
            [code] = why.args
            outcome = AttemptOutcome(Outcome.NOT_ATTEMPTED, code, handed_over=code not in _OWN_TROUBLE)
        finally:
            self._pending.pop(answer, None)
        if self.alive and self._began_at == process:
            _settle(answer, outcome)

    def _connecting_seconds(self) -> float:
        if self._random.random() < 0.12:
            return self._random.random() ** 2 * LONGEST_CONNECT_SECONDS
        return self._random.random() * 0.02

    def _check(self, message: OutboundMessage, process: float) -> None:
        """The permit must live and the guards agree. Raises WithheldError."""
        if not self.alive or self._began_at != process:
            raise WithheldError("sender_gone")
        self._ask_permit(message)
        self._ask_guards(message)

    def _ask_permit(self, message: OutboundMessage) -> None:
        if self.clock() >= message.not_after:
            raise WithheldError("permit_expired")

    def _ask_guards(self, message: OutboundMessage) -> None:
        heard = {speaker: speaker.spoke_until() for speaker in self.speakers if self._heard(speaker)}
        if not any(_now() - spoke - speaker.lag <= SILENCE_SECONDS for speaker, spoke in heard.items()):
            raise WithheldError("guard_silent")
        for speaker, spoke in heard.items():
            if _now() - spoke <= DEPARTED_SECONDS:
                self._ask(speaker, spoke - speaker.lag, message, self.clock())

    def _ask(self, speaker: Speaker, heard_until: float, message: OutboundMessage, now: datetime) -> None:
        snapshot = speaker.known.known_at(heard_until)
        for pause in snapshot.pauses_for(
            message.account_id, message.instance_id, message.integration_id, message.person_id
        ):
            if _holds(pause, now):
                raise WithheldError(f"guarded_{pause.scope}")
        if not message.confirms_opt_out and speaker.guards_person(message.person_id, heard_until, now):
            raise WithheldError("guarded_person")


def _holds(pause: PauseFact, now: datetime) -> bool:
    return pause.until is None or now < pause.until


class SenderPoolTwin:
    """The senders as one policy core sees them. Implements `policycore.ports.Senders`."""

    def __init__(self, senders: list[SenderTwin], speaker: Speaker) -> None:
        self._senders = senders
        self._speaker = speaker
        self._next = 0
        self._attempts: set[asyncio.Task[None]] = set()

    def available(self) -> bool:
        """Whether a sender takes attempts now."""
        return any(sender.obeys(self._speaker) for sender in self._senders)

    async def deliver(self, message: OutboundMessage, instance: InstanceConfig) -> AttemptOutcome:
        """One attempt, which goes on even if this process dies."""
        self._speaker.process.require()
        sender = self._choose()
        if sender is None:
            return NO_SENDER
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[AttemptOutcome] = loop.create_future()
        attempt = loop.create_task(sender.attempt(message, answer))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)
        expiry = loop.call_later(ATTEMPT_SECONDS, _settle, answer, SENDER_LATE)
        try:
            outcome = await answer
        finally:
            expiry.cancel()
        self._speaker.process.require()
        return outcome

    def _choose(self) -> SenderTwin | None:
        for step in range(len(self._senders)):
            sender = self._senders[(self._next + step) % len(self._senders)]
            if sender.obeys(self._speaker):
                self._next += step + 1
                return sender
        return None


def _settle(answer: "asyncio.Future[AttemptOutcome]", outcome: AttemptOutcome) -> None:
    if not answer.done():
        answer.set_result(outcome)


def _now() -> float:
    return asyncio.get_running_loop().time()

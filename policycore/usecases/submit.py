"""Submit: admit, decide and commit, hand out, and answer with the outcome or after four seconds."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from policycore import steps
from policycore.errors import Overloaded
from policycore.event_ledger import EventLedger
from policycore.ledger import DecisionLedger, MessageState, MessageView, NewMessage
from policycore.model import EventType, Intent, Source
from policycore.ports import Admission, Counters
from policycore.reasons import ReasonCode
from policycore.usecases.command import Decided, SubmitCommand
from policycore.usecases.decide_batch import BatchDecider, turned_away
from policycore.usecases.group_commit import RETRY_SECONDS, GroupCommit
from policycore.usecases.used_up_limits import UsedUpLimits

ANSWER_WITHIN_SECONDS = 4.0
"""When a message's outcome is not known by then, the answer is "pending"."""

_POLL_SECONDS = 0.2
_UNSETTLED = frozenset({MessageState.WAITING, MessageState.HANDED_OUT})
_NOT_ACCEPTED = frozenset({MessageState.REJECTED, MessageState.LAPSED})


@dataclass(slots=True)
class _Waiting:
    """A request on its way into a batch. `wait_seconds` is what its admission came to, once it was counted: a batch
    that is done again does not count it again.
    """

    command: SubmitCommand
    admission: Admission | None
    wait_seconds: float | None = None


def admission_key(intent: Intent) -> str:
    """What a request is counted under: its integration, whose SMS-provider connector has a limit of its own."""
    integration_id = intent.integration_id or ""
    return sms_key(integration_id) if intent.source is Source.THREECX_SMS else integration_id


def sms_key(integration_id: str) -> str:
    """What requests of an integration's SMS-provider connector are counted under."""
    return f"sms:{integration_id}"


class Outbound(Protocol):
    """Carries committed messages to the senders."""

    def send(self, message: NewMessage) -> None:
        """Takes a committed message."""

    def outcome(self, message_id: str) -> "asyncio.Future[MessageView] | None":
        """The outcome of a message this process works on."""

    def has_room_for(self, account_id: str) -> bool:
        """Whether further messages of an account may be committed, by how many are under way."""


class Submitter:
    """The use case behind `Submit` and `SubmitStream`."""

    def __init__(
        self,
        decider: BatchDecider,
        ledger: DecisionLedger,
        events: EventLedger,
        counters: Counters,
        outbound: Outbound,
        clock: Callable[[], datetime],
        *,
        max_waiting: int = 2_000,
        max_of_account: int = 1_000,
    ) -> None:
        self._decider = decider
        self._ledger = ledger
        self._events = events
        self._counters = counters
        self._outbound = outbound
        self._clock = clock
        self._used_up = UsedUpLimits()
        self._deciding: GroupCommit[_Waiting, Decided] = GroupCommit(
            self._decide,
            max_batch=96,
            max_waiting=max_waiting,
            owner_of=lambda waiting: waiting.command.intent.account_id,
            max_of_one=max_of_account,
        )
        self._admitting: GroupCommit[Admission, float] = GroupCommit(
            self._admit,
            max_batch=256,
            max_waiting=max_waiting,
            owner_of=lambda admission: admission.key,
            max_of_one=max_of_account,
        )

    async def submit(
        self, command: SubmitCommand, *, requests_per_minute: int | None, timeout_seconds: float
    ) -> Decided:
        """Decides one request; sends it if it is allowed.

        `requests_per_minute` is the webhook's limit, or None for requests that have none. Raises Unavailable
        if nothing was decided: nothing was sent or lost then. It is Overloaded if too much waits or is under way, in
        all or of this account.
        """
        if not self._outbound.has_room_for(command.intent.account_id) and not command.validate_only:
            raise Overloaded(retry_after_seconds=RETRY_SECONDS, of_one=True)
        admission = None
        if requests_per_minute is not None and not command.validate_only:
            admission = Admission(admission_key(command.intent), requests_per_minute)
            now = self._clock()
            wait = self._used_up.wait_seconds(admission, now)
            if wait > 0:
                return turned_away(ReasonCode.WEBHOOK_RATE_LIMITED, command.intent.event_type, now, wait)
        decided = await self._deciding.do(_Waiting(command, admission))
        if decided.message is None or decided.message.state not in _UNSETTLED:
            return decided
        view = await self._await_outcome(decided.message, min(timeout_seconds, ANSWER_WITHIN_SECONDS))
        if view.state in _NOT_ACCEPTED and not decided.duplicate:
            await self._free(command, decided.log_id, view.state)
        return _with_message(decided, view)

    async def _free(self, command: SubmitCommand, log_id: int, state: MessageState) -> None:
        """A key binds an accepted request only, and a signature whose request came to nothing may come again."""
        key = (command.key_scope, command.key) if command.key else None
        claims = command.claims if state is MessageState.LAPSED else ()
        if key or claims:
            await self._ledger.free(claims, key, log_id)

    async def admit(self, integration_id: str, requests_per_minute: int) -> float:
        """Counts a webhook request; returns 0.0, or the seconds until the next one may come."""
        admission = Admission(integration_id, requests_per_minute)
        wait = self._used_up.wait_seconds(admission, self._clock())
        return wait if wait > 0 else await self._admitting.do(admission)

    async def admit_malformed(
        self, integration_id: str, requests_per_minute: int, claim: bytes, expires_at: datetime | None
    ) -> tuple[ReasonCode, float]:
        """Counts a request that could not be parsed, and uses up its signature. Returns a reason and seconds
        to wait.
        """
        wait = await self.admit(integration_id, requests_per_minute)
        if wait > 0:
            return ReasonCode.WEBHOOK_RATE_LIMITED, wait
        if claim and not await self._ledger.claim(claim, expires_at or self._clock()):
            return ReasonCode.SIGNATURE_REPLAYED, 0.0
        return ReasonCode.ALLOWED, 0.0

    async def _decide(self, waiting: Sequence[_Waiting]) -> Sequence[Decided]:
        """Admits a batch in one trip, while its first facts are read, and decides what is admitted."""
        commands = [each.command for each in waiting]
        counting = asyncio.create_task(self._count(waiting))
        try:
            result = await self._decider(commands, counting)
            steps.passed("decide.committed")
        finally:
            # What was counted must not be counted again if the batch is done again.
            await counting
        for message in result.messages.values():
            self._outbound.send(message)
        return result.answers

    async def _count(self, waiting: Sequence[_Waiting]) -> list[float]:
        """How long each must wait to be admitted, in seconds; most need not."""
        uncounted = [
            (each, each.admission)
            for each in waiting
            if each.admission is not None and each.wait_seconds is None
        ]
        if uncounted:
            waits = await self._admit([admission for _, admission in uncounted])
            for (each, _), wait in zip(uncounted, waits, strict=True):
                each.wait_seconds = wait
        return [each.wait_seconds or 0.0 for each in waiting]

    async def _admit(self, admissions: Sequence[Admission]) -> Sequence[float]:
        """Counts them in one trip, and remembers which limits are used up."""
        waits = await self._counters.admit(admissions)
        for admission, wait in zip(admissions, waits, strict=True):
            if wait > 0:
                self._used_up.note(admission, wait, self._clock())
        return waits

    async def _await_outcome(self, message: MessageView, seconds: float) -> MessageView:
        """The message once it is settled, or as it is when time is up."""
        outcome = self._outbound.outcome(message.message_id)
        deadline = asyncio.get_running_loop().time() + max(seconds, 0.0)
        if outcome is not None:
            await _done_within(outcome, max(seconds, 0.0))
            if outcome.done() and not outcome.cancelled():
                return outcome.result()
        # Another process has it, or had it: what it writes is seen in the ledger.
        view = message
        while True:
            view = await self._events.read_message(message.message_id) or view
            if view.state not in _UNSETTLED or asyncio.get_running_loop().time() >= deadline:
                return view
            await asyncio.sleep(_POLL_SECONDS)

    @property
    def deciding(self) -> GroupCommit[_Waiting, Decided]:
        """The batches of decisions."""
        return self._deciding

    async def drain(self) -> None:
        """Returns when no decision is under way."""
        await self._deciding.drain()


async def _done_within(outcome: "asyncio.Future[MessageView]", seconds: float) -> None:
    """Returns when it is done, or after so many seconds. Every reply waits here: `asyncio.wait` costs twice as much."""
    if outcome.done():
        return
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not woken.done():
            woken.set_result(None)

    timer = loop.call_later(seconds, wake)
    outcome.add_done_callback(wake)
    try:
        await woken
    finally:
        timer.cancel()
        outcome.remove_done_callback(wake)


def _with_message(decided: Decided, view: MessageView) -> Decided:
    return Decided(
        decision_id=decided.decision_id,
        log_id=decided.log_id,
        decided_at=decided.decided_at,
        decision=decided.decision,
        event_type=EventType(decided.event_type),
        message=view,
        duplicate=decided.duplicate,
    )

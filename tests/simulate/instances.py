"""Owns the stand-ins of WhatsApp instances: what they do with a message, and which receipts follow."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from policycore.inbound import InboundEvent, Receipt, ReceiptKind
from policycore.ports import AttemptOutcome, Consequence, OutboundMessage, Outcome
from simulate.outside import Outside, Taken
from simulate.virtual_time import Clock

_MOODS = ("accept", "slow", "answer_lost", "vanished", "reject", "nameless")
_MOOD_WEIGHTS = (70, 6, 7, 4, 9, 4)
_REFUSALS = (
    (Consequence.NONE, 10),
    (Consequence.SLOW_INSTANCE, 2),
    (Consequence.HOLD_PAIR, 2),
    (Consequence.CLOSE_WINDOW, 2),
    (Consequence.SUPPRESS_PERSON, 1),
    (Consequence.PAUSE_INSTANCE, 1),
    (Consequence.INSTANCE_CLOSED, 1),
)

Report = Callable[[str, Sequence[InboundEvent]], None]
"""Has a back end report events of an instance, at least once."""


class Instances:
    """All instances of a history."""

    def __init__(self, random: Random, clock: Clock, outside: Outside, report: Report) -> None:
        self._random = random
        self._clock = clock
        self._outside = outside
        self._report = report
        self._numbers = 0
        self._echoes = random.random() < 0.5
        """Whether this kind of back end names our own id in its receipts."""

    async def take(self, message: OutboundMessage) -> AttemptOutcome:
        """The bytes have left the sender. Returns what the sender learns of them, and when."""
        random = self._random
        [mood] = random.choices(_MOODS, _MOOD_WEIGHTS)
        if mood == "reject":
            return await self._refuse()
        if mood == "vanished":
            await asyncio.sleep(random.random() * 25)
            return AttemptOutcome(Outcome.UNKNOWN, "timed_out")
        self._outside.taken.append(
            Taken(
                self._clock(),
                message.instance_id,
                message.message_id,
                message.phone,
                message.lid,
                message.text,
            )
        )
        self._numbers += 1
        external_id = f"ext-{self._numbers}"
        self._send_receipts(message, external_id)
        if mood == "answer_lost":
            await asyncio.sleep(random.random() * 25)
            return AttemptOutcome(Outcome.UNKNOWN, "connection_lost")
        await asyncio.sleep(random.random() * (20 if mood == "slow" else 0.05))
        return AttemptOutcome(Outcome.ACCEPTED, external_message_id="" if mood == "nameless" else external_id)

    async def _refuse(self) -> AttemptOutcome:
        await asyncio.sleep(self._random.random() * 0.05)
        kinds, weights = zip(*_REFUSALS, strict=True)
        [consequence] = self._random.choices(kinds, weights)
        return AttemptOutcome(
            Outcome.REJECTED,
            "refused",
            consequence=consequence,
            retry_after_seconds=self._random.choice((None, 3.0)),
        )

    def _send_receipts(self, message: OutboundMessage, external_id: str) -> None:
        """Some of them, in any order, perhaps before the answer, perhaps twice."""
        random = self._random
        kinds = [
            kind
            for kind in (ReceiptKind.SENT, ReceiptKind.DELIVERED, ReceiptKind.READ)
            if random.random() < 0.5
        ]
        if random.random() < 0.06:
            kinds.append(ReceiptKind.FAILED)
        random.shuffle(kinds)
        for kind in kinds:
            report = Receipt(external_id, kind, correlation_id=message.message_id if self._echoes else "")
            event = InboundEvent(f"{external_id}:{kind.name}", report, provider_time=self._clock())
            delay = random.random() ** 3 * 40
            asyncio.get_running_loop().call_later(delay, self._report, message.instance_id, (event,))

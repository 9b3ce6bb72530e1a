"""Looks at back ends for messages whose outcome is unknown, and settles those that are found. Sends nothing."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from policycore import steps
from policycore.errors import PolicyCoreError
from policycore.event_ledger import EventWrites
from policycore.ids import RandomBytes
from policycore.inbound import Receipt, ReceiptKind
from policycore.ledger import MessageView
from policycore.reconciliation import FoundMessage, UnknownMessage, match
from policycore.registry.snapshot import Snapshot
from policycore.unknown_ledger import BackendLooker, LookOutcome, UnknownLedger
from policycore.usecases.deliveries import tell_status

AT_ONCE = 4
"""Looks under way at once in one process; one instance is looked at one by one."""

IN_A_ROUND = 40
"""Most looks in one round: when an instance was away for long, the rest waits for the next rounds."""

_KINDS = {
    "accepted": ReceiptKind.ACCEPTED,
    "sent": ReceiptKind.SENT,
    "delivered": ReceiptKind.DELIVERED,
    "read": ReceiptKind.READ,
    "failed": ReceiptKind.FAILED,
}

_log = structlog.get_logger(__name__)


class Reconciler:
    """One process's part in looking; several may work on one database.

    `deliveries_waiting` is called after a commit that has something to deliver.
    """

    def __init__(
        self,
        ledger: UnknownLedger,
        looker: BackendLooker,
        snapshot: Callable[[], Snapshot],
        random_bytes: RandomBytes,
        deliveries_waiting: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._looker = looker
        self._snapshot = snapshot
        self._random = random_bytes
        self._deliveries_waiting = deliveries_waiting

    async def run_round(self) -> int:
        """Looks for every message whose turn has come; returns how many were settled."""
        due = await self._ledger.claim_due(IN_A_ROUND)
        if due:
            steps.passed("look.claimed")
        by_instance: dict[str, list[UnknownMessage]] = {}
        for message in due:
            by_instance.setdefault(message.instance_id, []).append(message)
        places = asyncio.Semaphore(AT_ONCE)
        counts = await asyncio.gather(*(self._look_at(each, places) for each in by_instance.values()))
        return sum(counts)

    async def _look_at(self, messages: Sequence[UnknownMessage], places: asyncio.Semaphore) -> int:
        """One instance's messages, one after the other; if it cannot be asked, the others are left for their next
        turn.
        """
        settled = 0
        for message in messages:
            async with places:
                try:
                    found, failed = await self._look_for(message)
                except PolicyCoreError as error:
                    _log.warning("reconcile.failed", message_id=message.message_id, error=error.reason)
                    break
            settled += found
            if failed:
                break
        return settled

    async def _look_for(self, message: UnknownMessage) -> tuple[int, bool]:
        """How many were settled, and whether the back end could not be asked."""
        instance = self._snapshot().instances.get(message.instance_id)
        if instance is None:
            await self._ledger.note_look(message.message_id, "instance_removed", again=False)
            return 0, False
        look = await self._looker.look_up(message, instance)
        steps.passed("look.heard")
        if look.outcome is not LookOutcome.LOOKED:
            again = look.outcome is LookOutcome.FAILED
            await self._ledger.note_look(message.message_id, look.reason, again=again)
            return 0, again
        changed = await self._settle(message, look.found) if look.found else []
        if message.message_id not in {view.message_id for view in changed}:
            reason = "not_certain" if look.found else "not_found"
            await self._ledger.note_look(message.message_id, reason, again=True)
        for view in changed:
            _log.info("reconcile.settled", message_id=view.message_id, state=view.state.name)
        return len(changed), False

    async def _settle(self, message: UnknownMessage, found: Sequence[FoundMessage]) -> list[MessageView]:
        async with self._ledger.begin() as transaction:
            unnamed = await transaction.unnamed_like(message)
            ids = [each.external_message_id for each in found]
            known = await transaction.known_ids(message.instance_id, ids)
            matched = match(unnamed, found, known)
            if not matched:
                return []
            receipts = [
                (
                    message.instance_id,
                    Receipt(each.external_message_id, _KINDS[each.kind], correlation_id=message_id),
                )
                for message_id, each in matched
            ]
            changed = await transaction.apply_receipts(receipts)
            await transaction.note_settled([view.message_id for view in changed])
            writes = EventWrites()
            tell_status(changed, transaction.snapshot, writes, self._random)
            await transaction.write(writes)
            steps.passed("look.written")
        steps.passed("look.committed")
        if writes.deliveries:
            self._deliveries_waiting()
        return changed

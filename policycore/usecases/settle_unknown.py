"""A person settles a message of which nobody knows whether it left; nothing is sent by it."""

from collections.abc import Callable

from policycore import steps
from policycore.errors import NotFound
from policycore.event_ledger import EventWrites, Settlement
from policycore.ids import RandomBytes
from policycore.ledger import MessageState, MessageView
from policycore.ports import AttemptOutcome, Outcome
from policycore.reconciliation import SETTLE_AFTER, PersonsFinding
from policycore.registry.errors import NotPossibleError
from policycore.registry.fields import check_text
from policycore.registry.lookups import within
from policycore.registry.pages import Page, PageRequest
from policycore.registry.rights import Identity
from policycore.unknown_ledger import UnknownLedger, UnknownRow
from policycore.usecases.deliveries import tell_status

_OUTCOMES = {
    PersonsFinding.SENT: AttemptOutcome(Outcome.ACCEPTED, "settled_by_person"),
    PersonsFinding.NOT_SENT: AttemptOutcome(
        Outcome.REJECTED, "settled_by_person", "A person found out that it was not sent."
    ),
}
_LONGEST_REASON = 1_000


class UnknownMessages:
    """Implements `UnknownDesk`. `deliveries_waiting` is called after a commit that has something to deliver."""

    def __init__(
        self, ledger: UnknownLedger, random_bytes: RandomBytes, deliveries_waiting: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._random = random_bytes
        self._deliveries_waiting = deliveries_waiting

    async def page(
        self, caller: Identity, account_id: str, instance_id: str, request: PageRequest, *, ripe_only: bool
    ) -> Page[UnknownRow]:
        """The messages, the oldest first. Errors: `NotPermittedError`."""
        wanted = within(caller, account_id, instance_id=instance_id)
        return await self._ledger.page(wanted, request, ripe_only=ripe_only)

    async def settle(
        self, caller: Identity, message_id: str, finding: PersonsFinding, reason: str
    ) -> MessageView:
        """Settles one as a person found out; the audit log keeps who, and how they found out.

        Errors: `NotFound`; `NotPossibleError` (NOT_UNKNOWN, TOO_EARLY); `Malformed`.
        """
        reason = check_text("reason", reason.strip(), _LONGEST_REASON)
        async with self._ledger.begin() as transaction:
            row = await transaction.find(message_id)
            if row is None or not caller.may_act_for(row.view.account_id):
                raise NotFound(f"There is no message {message_id[:64]!r} that was ever unknown.")
            if row.view.state is not MessageState.UNKNOWN:
                state = row.view.state.name.lower()
                raise NotPossibleError("NOT_UNKNOWN", f"This message is not unknown any more: it is {state}.")
            settle_from = row.unknown_since + SETTLE_AFTER
            if transaction.now < settle_from:
                raise NotPossibleError(
                    "TOO_EARLY",
                    f"A receipt may still come; a person may settle it from {settle_from:%Y-%m-%d %H:%M} UTC on.",
                )
            settled = await transaction.settle([Settlement(message_id, _OUTCOMES[finding])])
            await transaction.note_settled([message_id])
            view = settled[message_id]
            writes = EventWrites()
            tell_status([view], transaction.snapshot, writes, self._random)
            await transaction.write(writes)
            detail = {"finding": finding.name.lower(), "reason": reason}
            await transaction.write_audit(caller.name, "SettleMessage", message_id, view.account_id, detail)
            steps.passed("settle.written")
        steps.passed("settle.committed")
        if writes.deliveries:
            self._deliveries_waiting()
        return view

"""What follows commits: messages to senders, guards for persons who opted out, waking those who wait."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from policycore.dispatch.dispatcher import Dispatcher
from policycore.ledger import NewMessage
from policycore.ports import SenderGuards
from policycore.registry.changes import ConfigChanges

GUARDED_FOR = timedelta(seconds=150)
"""How long senders guard someone who opted out: longer than any permit from before can live."""


class AfterCommit:
    """Implements `policycore.usecases.record_events.AfterEvents`."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        guards: SenderGuards,
        changes: ConfigChanges,
        wake_outbox: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._dispatcher = dispatcher
        self._guards = guards
        self._changes = changes
        self._wake_outbox = wake_outbox
        self._clock = clock

    def events_recorded(
        self,
        *,
        messages: Sequence[NewMessage],
        opted_out: Sequence[str],
        opted_in: Sequence[str],
        deliveries: bool,
        states: bool,
    ) -> None:
        """Returns at once."""
        for person_id in opted_out:
            self._guards.opted_out(person_id, self._clock() + GUARDED_FOR)
        for person_id in opted_in:
            self._guards.opt_out_lifted(person_id)
        for message in messages:
            self._dispatcher.send(message)
        if deliveries:
            self._wake_outbox()
        if states:
            self._changes.notify()

"""What messages with an unknown outcome are read from and settled in, as protocols. The store implements them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from policycore.event_ledger import EventTransaction
from policycore.ledger import MessageView
from policycore.reconciliation import FoundMessage, UnknownMessage
from policycore.registry.pages import Filter, Page, PageRequest
from policycore.registry.snapshot import InstanceConfig


class LookOutcome(IntEnum):
    """How looking at a back end ended; numbers as in `sender_service.proto`."""

    LOOKED = 1
    NOT_OFFERED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What a back end showed, the oldest message first. `reason` is a short stable word."""

    outcome: LookOutcome
    reason: str
    found: tuple[FoundMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """A message with an unknown outcome, as administrators see it."""

    view: MessageView
    unknown_since: datetime
    looks: int
    last_look: str
    next_look_at: datetime | None


class BackendLooker(Protocol):
    """Looks at back ends, through a sender."""

    async def look_up(self, message: UnknownMessage, instance: InstanceConfig) -> Look:
        """One look. Never raises for one that failed."""


class UnknownTransaction(EventTransaction, Protocol):
    """One transaction over messages with an unknown outcome, and over whatever settles them."""

    async def unnamed_like(self, message: UnknownMessage) -> list[str]:
        """Ids of messages with this text to this person at this instance that may have left and have no id there, the
        oldest first; locked.
        """

    async def known_ids(self, instance_id: str, external_ids: Sequence[str]) -> set[str]:
        """Of these ids at a back end, those that are a message's already."""

    async def find(self, message_id: str) -> UnknownRow | None:
        """A message that was, or still is, unknown; locked."""

    async def note_settled(self, message_ids: Sequence[str]) -> None:
        """These are looked for no more."""

    async def write_audit(
        self, actor: str, act: str, target: str, account_id: str | None, detail: Mapping[str, object]
    ) -> None:
        """Adds an administrative act to the audit log."""


class UnknownLedger(Protocol):
    """Messages with an unknown outcome. Whatever makes a message unknown notes it in the same transaction."""

    def begin(self) -> AbstractAsyncContextManager[UnknownTransaction]:
        """A transaction, committed at the end and rolled back on any error."""

    async def claim_due(self, limit: int) -> list[UnknownMessage]:
        """Messages whose turn to be looked for has come. Each one's next turn is set before it is returned: whoever
        ends in the middle of a look loses that look only, and no two look at the same time.
        """

    async def note_look(self, message_id: str, reason: str, *, again: bool) -> None:
        """Notes how a look ended; without `again` it was the last."""

    async def page(self, wanted: Filter, request: PageRequest, *, ripe_only: bool) -> Page[UnknownRow]:
        """Messages that are unknown now, the oldest first."""

    async def count(self) -> tuple[int, int]:
        """How many messages are unknown, and how many of them a person may settle."""

    async def clean(self) -> int:
        """Forgets those that are settled; returns how many."""

"""Learns which agent wrote a reply, from the phone system's own chats."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from policycore import steps
from policycore.pbx import PbxSenders, PbxTarget
from policycore.pbx_authors import NEAR, Authorship, Reply, authors
from policycore.registry.snapshot import Snapshot

_log = structlog.get_logger(__name__)


class AuthorLedger(Protocol):
    """See `policycore.store.message_authors.SqlMessageAuthors`."""

    async def unknown(self, account_id: str, integration_id: str) -> list[Reply]:
        """Replies whose author is not known."""

    async def already(self, integration_id: str, chat_message_ids: Sequence[str]) -> set[str]:
        """Which of these are known to be a reply's."""

    async def note(self, integration_id: str, found: Iterable[Authorship]) -> int:
        """Keeps who wrote what; returns how many were not known."""

    async def clean(self) -> int:
        """Forgets authors whose messages are gone."""


class Authors:
    """Asks a phone system only while there are replies whose author is not known."""

    def __init__(self, ledger: AuthorLedger, senders: PbxSenders, snapshot: Callable[[], Snapshot]) -> None:
        self._ledger = ledger
        self._senders = senders
        self._snapshot = snapshot

    async def learn(self, target: PbxTarget) -> str:
        """One look. Returns why it could not be had, as a short stable word; empty if it could."""
        integration = self._snapshot().integrations.get(target.integration_id)
        if integration is None:
            return ""
        replies = await self._ledger.unknown(integration.account_id, target.integration_id)
        if not replies:
            return ""
        written, failure = await self._senders.chats(target, _since(replies))
        if failure or not written:
            return failure
        ids = [each.chat_message_id for each in written]
        already = await self._ledger.already(target.integration_id, ids)
        noted = await self._ledger.note(target.integration_id, authors(replies, written, already))
        if noted:
            steps.passed("pbx.authors")
            _log.info("pbx.authors", integration_id=target.integration_id, replies=noted)
        return ""

    async def clean(self) -> int:
        """Forgets authors whose messages are gone; returns how many."""
        return await self._ledger.clean()


def _since(replies: Sequence[Reply]) -> datetime:
    return min(each.created_at for each in replies) - 2 * NEAR

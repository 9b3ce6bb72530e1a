"""Owns what administrators may do about messages with an unknown outcome, as a protocol."""

from typing import Protocol

from policycore.ledger import MessageView
from policycore.reconciliation import PersonsFinding
from policycore.registry.pages import Page, PageRequest
from policycore.registry.rights import Identity
from policycore.unknown_ledger import UnknownRow


class UnknownDesk(Protocol):
    """Shows and settles messages of which nobody knows whether they left."""

    async def page(
        self,
        caller: Identity,
        account_id: str,
        instance_id: str,
        request: PageRequest,
        *,
        ripe_only: bool,
    ) -> Page[UnknownRow]:
        """The messages, the oldest first. Errors: `NotPermittedError`."""

    async def settle(
        self, caller: Identity, message_id: str, finding: PersonsFinding, reason: str
    ) -> MessageView:
        """Settles one as a person found out. Errors: `NotFound`, `NotPossibleError`, `Malformed`."""

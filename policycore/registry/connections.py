"""Owns walking through a 3CX connection for an administrator, as a protocol."""

from collections.abc import Sequence
from typing import Protocol

from policycore.connection_facts import CheckOrder, CheckStep
from policycore.registry.rights import Identity


class ConnectionDesk(Protocol):
    """Looks through connections and says what is wrong with them."""

    async def walk(self, caller: Identity, order: CheckOrder) -> Sequence[CheckStep]:
        """Every step, in order. Errors: `NotFound`, `Malformed`, `Unavailable`."""

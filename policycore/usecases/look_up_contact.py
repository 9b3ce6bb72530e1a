"""Finds the person behind a number for the phone system's screen: only somebody who wrote to the business there."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from policycore.errors import NotFound
from policycore.phone import normalize_phone
from policycore.reading import Contact, Contacts
from policycore.reasons import ReasonCode
from policycore.registry.snapshot import Snapshot
from policycore.usecases.submit import Submitter


class LookedUp(Struct, frozen=True):
    """What came of a look. `reason` other than ALLOWED says why nobody was looked for."""

    reason: ReasonCode
    wait_seconds: float = 0.0
    contact: Contact | None = None


class ContactLookUp:
    """The use case behind `LookUpContact`."""

    def __init__(self, submitter: Submitter, contacts: Contacts, config: Callable[[], Snapshot]) -> None:
        self._submitter = submitter
        self._contacts = contacts
        self._config = config

    async def look_up(
        self, integration_id: str, number: str, claim: bytes, claim_expires_at: datetime | None
    ) -> LookedUp:
        """Looks for a number as the phone system wrote it. Raises NotFound for an unknown integration.

        Looks are counted by themselves, so that a flood of calls cannot keep reports of calls out.
        """
        snapshot = self._config()
        integration = snapshot.integrations.get(integration_id)
        if integration is None:
            raise NotFound(f"integration {integration_id[:64]!r}")
        reason, wait = await self._submitter.admit_malformed(
            f"{integration_id}/lookup", integration.crm_requests_per_minute, claim, claim_expires_at
        )
        if reason is not ReasonCode.ALLOWED:
            return LookedUp(reason, wait)
        if not snapshot.accounts[integration.account_id].module_enabled:
            return LookedUp(ReasonCode.MODULE_NOT_ENABLED)
        phone = normalize_phone(number, integration.country or None)
        if phone is None:
            return LookedUp(ReasonCode.ALLOWED)
        found = await self._contacts.who_wrote(integration.account_id, phone, integration.instance_ids)
        return LookedUp(ReasonCode.ALLOWED, contact=found)

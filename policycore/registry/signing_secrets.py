"""Owns the rotation of the secrets that posted events are signed with, for integrations and customer webhooks.

Whoever receives the events has to know the new secret before the first event comes that is signed with it. So it is
shown at once and signs later; until then the old one signs.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from policycore.errors import Malformed
from policycore.ids import RandomBytes
from policycore.registry.credentials import new_signing_secret
from policycore.registry.integration_parts import LONGEST_OVERLAP
from policycore.registry.lookups import find_owned
from policycore.registry.ports import RegistryRows, RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import IntegrationRow, NextSigningRow, WebhookRow
from policycore.registry.sealing import SIGNING_SECRET, WEBHOOK_SECRET, Sealing

DEFAULT_BEGINS_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True, repr=False)
class SigningRotation:
    """A new signing secret, which is shown once, and from when it signs."""

    secret: str
    signs_from: datetime


class SigningSecrets:
    """Signing secrets of destinations."""

    def __init__(self, store: RegistryStore, sealing: Sealing, random_bytes: RandomBytes) -> None:
        self._store = store
        self._sealing = sealing
        self._random_bytes = random_bytes

    async def rotate(
        self, caller: Identity, destination_id: str, begins_after: timedelta | None
    ) -> SigningRotation:
        """Makes a new secret for an integration (`int_…`) or a customer webhook (`whk_…`), which signs after 24 hours
        unless `begins_after` says otherwise. One that was made before and does not sign yet is forgotten.

        Errors: `Malformed`, `NotFound`.
        """
        after = DEFAULT_BEGINS_AFTER if begins_after is None else begins_after
        if not timedelta(0) <= after <= LONGEST_OVERLAP:
            raise Malformed("begins_after", "must lie between 0 and 14 days.")
        secret = new_signing_secret(self._random_bytes)
        async with self._store.changing() as rows:
            owner = await self._owner(rows, destination_id, caller)
            await self._promote(rows, owner)
            place = SIGNING_SECRET if isinstance(owner, IntegrationRow) else WEBHOOK_SECRET
            signs_from = rows.now + after
            sealed = self._sealing.seal(secret, place, owner.id)
            await rows.signing.put(NextSigningRow(owner.id, sealed, signs_from, rows.now))
            detail = {"begins_after_seconds": after.total_seconds()}
            await rows.write_audit(caller.name, "RotateSigningSecret", owner.id, owner.account_id, detail)
            await rows.raise_version()
        return SigningRotation(secret, signs_from)

    async def _owner(
        self, rows: RegistryRows, destination_id: str, caller: Identity
    ) -> IntegrationRow | WebhookRow:
        if destination_id.startswith("whk_"):
            return await find_owned(rows.webhooks, destination_id, caller, "customer webhook")
        return await find_owned(rows.integrations, destination_id, caller, "integration")

    async def _promote(self, rows: RegistryRows, owner: IntegrationRow | WebhookRow) -> None:
        """What signs by now takes the place of what signed before: both are sealed for it."""
        waiting = await rows.signing.find(owner.id)
        if waiting is None or waiting.signs_from > rows.now:
            return
        changes = {"signing_secret_sealed": waiting.sealed}
        if isinstance(owner, IntegrationRow):
            await rows.integrations.change(owner.id, changes)
        else:
            await rows.webhooks.change(owner.id, changes)

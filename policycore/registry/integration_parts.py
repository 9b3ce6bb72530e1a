"""Owns what belongs to an integration: rotation of its webhook secret, and its call-event templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from policycore.errors import Malformed
from policycore.ids import RandomBytes, new_id
from policycore.model import TEMPLATED, EventType
from policycore.registry.credentials import new_webhook_secret
from policycore.registry.fields import check_language
from policycore.registry.lookups import find_owned
from policycore.registry.ports import RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import SecretRow, TemplateRow
from policycore.registry.sealing import INTEGRATION_SECRET, Sealing
from policycore.templates import validate_template

DEFAULT_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=14)
PURPOSES = ("transactional", "operational", "support", "internal_team", "authentication")


@dataclass(frozen=True, slots=True, repr=False)
class Rotation:
    """A new secret, which is shown once, and until when the old one counts."""

    secret: str
    secret_id: str
    old_valid_until: datetime


class IntegrationSecrets:
    """Webhook secrets of integrations."""

    def __init__(self, store: RegistryStore, sealing: Sealing, random_bytes: RandomBytes) -> None:
        self._store = store
        self._sealing = sealing
        self._random_bytes = random_bytes

    async def rotate(self, caller: Identity, integration_id: str, overlap: timedelta | None) -> Rotation:
        """Makes a new secret; those before it end after `overlap` (24 hours if None), or earlier.

        Errors: `Malformed`, `NotFound`.
        """
        overlap = DEFAULT_OVERLAP if overlap is None else overlap
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise Malformed("overlap", "must lie between 0 and 14 days.")
        secret = new_webhook_secret(self._random_bytes)
        secret_id = new_id("sec_", self._random_bytes)
        async with self._store.changing() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            until = rows.now + overlap
            await rows.parts.end_secrets(integration.id, until)
            sealed = self._sealing.seal(secret, INTEGRATION_SECRET, secret_id)
            await rows.parts.add_secret(SecretRow(secret_id, integration.id, sealed, rows.now))
            await rows.write_audit(
                caller.name,
                "RotateSecret",
                integration.id,
                integration.account_id,
                {"secret_id": secret_id, "overlap_seconds": overlap.total_seconds()},
            )
            await rows.raise_version()
        return Rotation(secret, secret_id, until)

    async def list(self, caller: Identity, integration_id: str) -> Sequence[SecretRow]:
        """Secrets, newest first. Errors: `NotFound`."""
        async with self._store.reading() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            return await rows.parts.secrets(integration.id)


class Templates:
    """Call-event templates."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    async def update(self, caller: Identity, template: TemplateRow) -> TemplateRow:
        """Replaces a template. Errors: `Malformed`, `NotFound`."""
        row = _checked(template)
        async with self._store.changing() as rows:
            integration = await find_owned(rows.integrations, row.integration_id, caller, "integration")
            await rows.parts.put_templates([row])
            detail = {"event_type": EventType(row.event_type).name.lower(), "enabled": row.enabled}
            await rows.write_audit(
                caller.name, "UpdateTemplate", integration.id, integration.account_id, detail
            )
            await rows.raise_version()
        return row

    async def list(self, caller: Identity, integration_id: str) -> Sequence[TemplateRow]:
        """Templates, by event type. Errors: `NotFound`."""
        async with self._store.reading() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            return await rows.parts.templates(integration.id)


def _checked(row: TemplateRow) -> TemplateRow:
    if row.event_type not in {int(event_type) for event_type in TEMPLATED}:
        names = ", ".join(sorted(event_type.name.lower() for event_type in TEMPLATED))
        raise Malformed("template.event_type", f"has no template; those that have are {names}.")
    problems = validate_template(row.text)
    if problems:
        raise Malformed("template.text", " ".join(problems))
    purpose = row.purpose.strip().lower() or "support"
    if purpose not in PURPOSES:
        raise Malformed("template.purpose", f"must be one of {', '.join(PURPOSES)}, and is {purpose[:32]!r}.")
    language = check_language("template.language", row.language)
    return TemplateRow(row.integration_id, row.event_type, row.enabled, language, row.text, purpose)

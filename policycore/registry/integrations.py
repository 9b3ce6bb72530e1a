"""Owns 3CX integrations: making, changing and listing them. Secrets and templates: `integration_parts.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from policycore.errors import Malformed
from policycore.ids import RandomBytes, new_id
from policycore.model import TEMPLATED
from policycore.registry.credentials import new_signing_secret, new_webhook_secret
from policycore.registry.fields import (
    check_addresses,
    check_country,
    check_language,
    check_name,
    check_url,
)
from policycore.registry.lookups import find_account, find_owned, within
from policycore.registry.pages import Page, PageRequest
from policycore.registry.ports import RegistryRows, RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import IntegrationRow, SecretRow, TemplateRow
from policycore.registry.sealing import INTEGRATION_SECRET, SIGNING_SECRET, Sealing
from policycore.templates import DEFAULT_TEMPLATES

DESTINATIONS = ("none", "threecx_json", "sandbox_inbox", "threecx_sms")
DEFAULT_REQUESTS_PER_MINUTE = 60
DEFAULT_COOL_DOWN_SECONDS = 900
DEFAULT_CRM_REQUESTS_PER_MINUTE = 600
DEFAULT_CRM_FOLD_SECONDS = 120
_LONGEST_COOL_DOWN_SECONDS = 24 * 3600
_LONGEST_CRM_FOLD_SECONDS = 3600
DEFAULT_NOTICE_SECONDS = 3600
_LONGEST_NOTICE_SECONDS = 12 * 3600
_MOST_REQUESTS_PER_MINUTE = 1_000_000


@dataclass(frozen=True, slots=True)
class IntegrationView:
    """An integration with the instances it serves."""

    row: IntegrationRow
    instance_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class NewIntegration:
    """A new integration with its two secrets, which are shown once."""

    view: IntegrationView
    secret: str
    signing_secret: str


class Integrations:
    """The customers' 3CX connections. `values` are columns of `IntegrationRow`, and `instance_ids`, by name.

    `plain_http` allows destinations without TLS, for development.
    """

    def __init__(
        self, store: RegistryStore, sealing: Sealing, random_bytes: RandomBytes, *, plain_http: bool
    ) -> None:
        self._store = store
        self._sealing = sealing
        self._random_bytes = random_bytes
        self._plain_http = plain_http

    async def create(self, caller: Identity, account_id: str, values: Mapping[str, Any]) -> NewIntegration:
        """Makes an integration, its secrets, and its templates, which start disabled.

        Errors: `NotPermittedError`, `NotFound`, `Malformed`.
        """
        columns = {name: value for name, value in values.items() if name != "instance_ids"}
        integration_id = new_id("int_", self._random_bytes)
        secret = new_webhook_secret(self._random_bytes)
        signing_secret = new_signing_secret(self._random_bytes)
        async with self._store.changing() as rows:
            await find_account(rows, account_id, caller)
            row = IntegrationRow(
                id=integration_id,
                account_id=account_id,
                signing_secret_sealed=self._sealing.seal(signing_secret, SIGNING_SECRET, integration_id),
                created_at=rows.now,
                **columns,
            )
            view = await self._checked(rows, row, values["instance_ids"])
            await rows.integrations.add(view.row)
            await rows.parts.set_instances(integration_id, view.instance_ids)
            await rows.parts.add_secret(self._secret_row(rows, integration_id, secret))
            await rows.parts.put_templates(default_templates(integration_id, view.row.language))
            await rows.write_audit(caller.name, "CreateIntegration", integration_id, account_id, dict(values))
            await rows.raise_version()
        return NewIntegration(view, secret, signing_secret)

    async def update(
        self, caller: Identity, integration_id: str, values: Mapping[str, Any]
    ) -> IntegrationView:
        """Changes an integration. Errors: `NotFound`, `Malformed`."""
        columns = {name: value for name, value in values.items() if name != "instance_ids"}
        async with self._store.changing() as rows:
            before = await find_owned(rows.integrations, integration_id, caller, "integration")
            serves = values.get("instance_ids")
            if serves is None:
                serves = (await rows.parts.instance_ids([before.id])).get(before.id, ())
            view = await self._checked(rows, replace(before, **columns), serves)
            changes = {name: getattr(view.row, name) for name in columns}
            changes["default_instance_id"] = view.row.default_instance_id
            await rows.integrations.change(before.id, changes)
            await rows.parts.set_instances(before.id, view.instance_ids)
            await rows.write_audit(
                caller.name, "UpdateIntegration", before.id, before.account_id, dict(values)
            )
            await rows.raise_version()
        return view

    async def page(
        self, caller: Identity, account_id: str, integration_id: str, request: PageRequest
    ) -> Page[IntegrationView]:
        """Integrations, oldest first. Errors: `NotPermittedError`."""
        async with self._store.reading() as rows:
            found = await rows.integrations.page(request, within(caller, account_id, id=integration_id))
            serves = await rows.parts.instance_ids([row.id for row in found.rows])
        views = tuple(IntegrationView(row, serves.get(row.id, ())) for row in found.rows)
        return Page(views, found.next_token)

    def _secret_row(self, rows: RegistryRows, integration_id: str, secret: str) -> SecretRow:
        secret_id = new_id("sec_", self._random_bytes)
        sealed = self._sealing.seal(secret, INTEGRATION_SECRET, secret_id)
        return SecretRow(id=secret_id, integration_id=integration_id, sealed=sealed, created_at=rows.now)

    async def _checked(
        self, rows: RegistryRows, row: IntegrationRow, instance_ids: Sequence[str]
    ) -> IntegrationView:
        serves = set(instance_ids)
        default = row.default_instance_id or None
        if default is None and len(serves) == 1:
            default = next(iter(serves))
        if default is not None:
            serves.add(default)
        for instance_id in sorted(serves):
            instance = await rows.instances.find(instance_id)
            if instance is None or instance.account_id != row.account_id:
                raise Malformed(
                    "integration.instance_ids", f"{instance_id[:64]!r} is no instance of the account."
                )
        if row.destination_kind == "threecx_sms":
            await _require_address(rows, row.id)
        row = replace(
            _checked_numbers(row),
            name=check_name("integration.name", row.name),
            allowed_addresses=check_addresses("integration.allowed_addresses", row.allowed_addresses),
            default_instance_id=default,
            destination_url=self._destination(row),
            country=check_country("integration.country", row.country),
            language=check_language("integration.language", row.language),
        )
        return IntegrationView(row, tuple(sorted(serves)))

    def _destination(self, row: IntegrationRow) -> str:
        if row.destination_kind not in DESTINATIONS:
            raise Malformed("integration.destination_kind", f"must be one of {', '.join(DESTINATIONS)}.")
        if row.destination_kind != "threecx_json":
            return ""
        if not row.destination_url.strip():
            raise Malformed("integration.destination_url", "is required for a JSON endpoint.")
        return check_url("integration.destination_url", row.destination_url, plain_http=self._plain_http)


async def _require_address(rows: RegistryRows, integration_id: str) -> None:
    """What cannot be posted anywhere would be given up at its first try."""
    connector = await rows.sms.find(integration_id)
    if connector is None or connector.webhook_url_sealed is None:
        raise Malformed(
            "integration.destination_kind",
            "can be THREECX_SMS once the phone system's webhook address is known (SetThreecxSms).",
        )


def default_templates(integration_id: str, language: str) -> list[TemplateRow]:
    """The templates an integration starts with: every one disabled, with a useful text."""
    rows = []
    for event_type in sorted(TEMPLATED):
        fact = DEFAULT_TEMPLATES[event_type, language]
        rows.append(
            TemplateRow(
                integration_id=integration_id,
                event_type=int(event_type),
                enabled=False,
                language=language,
                text=fact.text,
                purpose=fact.purpose,
            )
        )
    return rows


def _checked_numbers(row: IntegrationRow) -> IntegrationRow:
    if not 0 <= row.cool_down_seconds <= _LONGEST_COOL_DOWN_SECONDS:
        raise Malformed("integration.cool_down", "must lie between 0 and 24 hours.")
    if not 0 <= row.window_notice_seconds <= _LONGEST_NOTICE_SECONDS:
        raise Malformed("integration.window_notice", "must lie between 0 and 12 hours.")
    if not 0 <= row.crm_fold_seconds <= _LONGEST_CRM_FOLD_SECONDS:
        raise Malformed("integration.crm_fold_within", "must lie between 0 and 1 hour.")
    name, default = "requests_per_minute", DEFAULT_REQUESTS_PER_MINUTE
    crm_name, crm_default = "crm_requests_per_minute", DEFAULT_CRM_REQUESTS_PER_MINUTE
    return replace(
        row,
        requests_per_minute=_checked_rate(name, row.requests_per_minute, default),
        crm_requests_per_minute=_checked_rate(crm_name, row.crm_requests_per_minute, crm_default),
    )


def _checked_rate(field: str, requests: int, default: int) -> int:
    requests = requests or default
    if not 1 <= requests <= _MOST_REQUESTS_PER_MINUTE:
        sentence = f"must lie between 1 and {_MOST_REQUESTS_PER_MINUTE}, or be 0 for {default}."
        raise Malformed(f"integration.{field}", sentence)
    return requests

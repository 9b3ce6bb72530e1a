"""Owns the settings of integrations' SMS-provider connectors, and their bearer keys.

3CX takes the gateway for a provider of text messages: it shows a bearer key with every reply, and made an address with
a key of its own for what customers write (https://www.3cx.com/docs/supported-sip-trunk-requirements/).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from policycore.errors import Malformed
from policycore.ids import RandomBytes, new_id
from policycore.phone import normalize_phone
from policycore.registry.credentials import new_sms_key
from policycore.registry.fields import check_url
from policycore.registry.integration_parts import DEFAULT_OVERLAP, LONGEST_OVERLAP, PURPOSES, Rotation
from policycore.registry.lookups import find_owned
from policycore.registry.ports import RegistryRows, RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import IntegrationRow, SmsKeyRow, ThreecxSmsRow
from policycore.registry.sealing import THREECX_SMS_URL, Sealing

DEFAULT_PURPOSE = "support"
DEFAULT_REQUESTS_PER_MINUTE = 600
KIND = "threecx_sms"
_MOST_REQUESTS_PER_MINUTE = 1_000_000
_LONGEST_NUMBER = 64
_HIDDEN = "\u2026"


@dataclass(frozen=True, slots=True, repr=False)
class ThreecxSmsView:
    """A connector as it is shown: `webhook_url` without the key in it, and empty if none is set."""

    row: ThreecxSmsRow
    webhook_url: str
    numbers: Mapping[str, str]
    keys: Sequence[SmsKeyRow]


class ThreecxSms:
    """SMS-provider connectors. `plain_http` allows addresses without TLS, for development."""

    def __init__(
        self, store: RegistryStore, sealing: Sealing, random_bytes: RandomBytes, *, plain_http: bool
    ) -> None:
        self._store = store
        self._sealing = sealing
        self._random_bytes = random_bytes
        self._plain_http = plain_http

    async def get(self, caller: Identity, integration_id: str) -> ThreecxSmsView:
        """The settings; what holds without any if there are none. Errors: `NotFound`."""
        async with self._store.reading() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            return await self._view(rows, integration)

    async def set(self, caller: Identity, integration_id: str, values: Mapping[str, Any]) -> ThreecxSmsView:
        """Changes settings. `values` are columns of `ThreecxSmsRow`, `webhook_url`, and `numbers` as pairs of instance
        and number.

        With an address, inbound messages go there from now on; without one they go nowhere. Errors: `NotFound`,
        `Malformed`.
        """
        columns = {name: each for name, each in values.items() if name not in ("webhook_url", "numbers")}
        async with self._store.changing() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            row = _checked(replace(await _row(rows, integration), changed_at=rows.now, **columns))
            if "webhook_url" in values:
                row = replace(row, webhook_url_sealed=self._sealed(integration.id, values["webhook_url"]))
            numbers = await rows.sms.numbers(integration.id)
            if "numbers" in values:
                numbers = await _checked_numbers(rows, integration, values["numbers"])
            if row.webhook_url_sealed is not None and not numbers:
                raise Malformed("settings.numbers", "must name a number for what customers write to go to.")
            await rows.sms.put(row)
            await rows.sms.set_numbers(integration.id, numbers)
            if "webhook_url" in values:
                await _redirect(rows, integration, row)
            detail = dict(values) | {"numbers": dict(numbers)}
            if "webhook_url" in values:
                detail["webhook_url"] = self._shown(row)
            await rows.write_audit(
                caller.name, "SetThreecxSms", integration.id, integration.account_id, detail
            )
            await rows.raise_version()
            return await self._view(rows, integration)

    async def rotate_key(self, caller: Identity, integration_id: str, overlap: timedelta | None) -> Rotation:
        """Makes a new bearer key; those before it end after `overlap` (24 hours if None), or earlier.

        Errors: `Malformed`, `NotFound`.
        """
        overlap = DEFAULT_OVERLAP if overlap is None else overlap
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise Malformed("overlap", "must lie between 0 and 14 days.")
        key, key_id = new_sms_key(self._random_bytes), new_id("smk_", self._random_bytes)
        async with self._store.changing() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            until = rows.now + overlap
            await rows.sms.put(await _row(rows, integration))
            await rows.sms.end_keys(integration.id, until)
            await rows.sms.add_key(SmsKeyRow(key_id, integration.id, key.digest, key.prefix, rows.now))
            detail = {"key_id": key_id, "overlap_seconds": overlap.total_seconds()}
            await rows.write_audit(
                caller.name, "RotateThreecxSmsKey", integration.id, integration.account_id, detail
            )
            await rows.raise_version()
        return Rotation(key.text, key_id, until)

    def _sealed(self, integration_id: str, url: str) -> bytes | None:
        if not url.strip():
            return None
        if _HIDDEN in url:
            raise Malformed(
                "settings.webhook_url", "is the shortened form that is shown; give the whole address."
            )
        checked = check_url("settings.webhook_url", url, plain_http=self._plain_http)
        return self._sealing.seal(checked, THREECX_SMS_URL, integration_id)

    def _shown(self, row: ThreecxSmsRow) -> str:
        if row.webhook_url_sealed is None:
            return ""
        url = self._sealing.unseal(row.webhook_url_sealed, THREECX_SMS_URL, row.integration_id)
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}/{_HIDDEN}"

    async def _view(self, rows: RegistryRows, integration: IntegrationRow) -> ThreecxSmsView:
        row = await _row(rows, integration)
        numbers = await rows.sms.numbers(integration.id)
        return ThreecxSmsView(row, self._shown(row), numbers, await rows.sms.keys(integration.id))


async def _row(rows: RegistryRows, integration: IntegrationRow) -> ThreecxSmsRow:
    """The settings as stored, or as they are as long as nothing was set."""
    found = await rows.sms.find(integration.id)
    if found is not None:
        return found
    return ThreecxSmsRow(
        integration_id=integration.id,
        webhook_url_sealed=None,
        default_purpose=DEFAULT_PURPOSE,
        gateway_lines=True,
        receipts=False,
        requests_per_minute=DEFAULT_REQUESTS_PER_MINUTE,
        changed_at=rows.now,
    )


async def _redirect(rows: RegistryRows, integration: IntegrationRow, row: ThreecxSmsRow) -> None:
    """Sends inbound messages where the connector says, or nowhere if it says nothing any more."""
    if row.webhook_url_sealed is not None:
        await rows.integrations.change(integration.id, {"destination_kind": KIND, "destination_url": ""})
    elif integration.destination_kind == KIND:
        await rows.integrations.change(integration.id, {"destination_kind": "none"})


def _checked(row: ThreecxSmsRow) -> ThreecxSmsRow:
    purpose = row.default_purpose.strip().lower() or DEFAULT_PURPOSE
    if purpose not in PURPOSES:
        raise Malformed("settings.default_purpose", f"must be one of {', '.join(PURPOSES)}.")
    requests = row.requests_per_minute or DEFAULT_REQUESTS_PER_MINUTE
    if not 1 <= requests <= _MOST_REQUESTS_PER_MINUTE:
        raise Malformed(
            "settings.requests_per_minute",
            f"must lie between 1 and {_MOST_REQUESTS_PER_MINUTE}, or be 0 for {DEFAULT_REQUESTS_PER_MINUTE}.",
        )
    return replace(row, default_purpose=purpose, requests_per_minute=requests)


async def _checked_numbers(
    rows: RegistryRows, integration: IntegrationRow, written: Sequence[tuple[str, str]]
) -> Mapping[str, str]:
    serves = set((await rows.parts.instance_ids([integration.id])).get(integration.id, ()))
    numbers: dict[str, str] = {}
    for instance_id, text in written:
        if instance_id not in serves:
            problem = f"{instance_id[:64]!r} is no instance that the integration serves."
            raise Malformed("settings.numbers", problem)
        number = normalize_phone(text, integration.country or None)
        if number is None:
            problem = f"{text[:_LONGEST_NUMBER]!r} is not a possible number; write it like +966110000000."
            raise Malformed("settings.numbers", problem)
        if instance_id in numbers or number in numbers.values():
            raise Malformed("settings.numbers", "must name every instance and every number once.")
        numbers[instance_id] = number
    return numbers

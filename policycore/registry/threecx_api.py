"""Owns how an integration's phone system is asked through its API: settings, their secret, how watching it goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from policycore.errors import Malformed, NotFound
from policycore.pbx import MessagingTrunk, PbxSenders, PbxTarget
from policycore.registry.errors import NotPermittedError
from policycore.registry.fields import check_url
from policycore.registry.lookups import find_owned
from policycore.registry.ports import RegistryRows, RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import IntegrationRow
from policycore.registry.sealing import THREECX_API_SECRET, Sealing
from policycore.registry.threecx_rows import ThreecxApiRow, ThreecxApiState

DEFAULT_CATCH_UP = timedelta(hours=1)
LONGEST_CATCH_UP = timedelta(hours=24)
_LONGEST_CLIENT_ID = 200
_LONGEST_SECRET = 1_000


@dataclass(frozen=True, slots=True)
class ThreecxApiView:
    """What is set, without the secret."""

    integration_id: str
    base_url: str
    client_id: str
    missed_calls: bool
    who_replied: bool
    webhook_discovery: bool
    every_extension_listed: bool
    catch_up: timedelta
    changed_at: datetime


class ThreecxApis:
    """The APIs of phone systems. `plain_http` allows addresses without TLS, for development."""

    def __init__(
        self, store: RegistryStore, sealing: Sealing, senders: PbxSenders, *, plain_http: bool
    ) -> None:
        self._store = store
        self._sealing = sealing
        self._senders = senders
        self._plain_http = plain_http

    async def get(self, caller: Identity, integration_id: str) -> ThreecxApiView:
        """What is set. Errors: `NotFound`, also if nothing is."""
        async with self._store.reading() as rows:
            return _view(await self._find(rows, caller, integration_id))

    async def set(
        self, caller: Identity, integration_id: str, values: Mapping[str, Any], client_secret: str
    ) -> ThreecxApiView:
        """Sets everything. Without a secret the one that is set counts on, unless address or client id change: whoever
        may change settings must not be able to have it sent elsewhere.

        Errors: `NotFound`, `Malformed`.
        """
        checked = self._checked(values)
        if client_secret:
            _check_word("client_secret", client_secret, _LONGEST_SECRET)
        async with self._store.changing() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            before = await rows.threecx_apis.find(integration.id)
            sealed = self._sealed(integration, before, checked, client_secret)
            row = ThreecxApiRow(
                integration_id=integration.id,
                client_secret_sealed=sealed,
                revision=before.revision + 1 if before is not None else 1,
                changed_at=rows.now,
                **checked,
            )
            moved = before is None or before.base_url != row.base_url
            await rows.threecx_apis.put(row, known_until=rows.now if moved else None)
            detail = {**checked, "client_secret": "set" if client_secret else "kept"}
            await rows.write_audit(
                caller.name, "SetThreecxApi", integration.id, integration.account_id, detail
            )
        return _view(row)

    async def remove(self, caller: Identity, integration_id: str) -> None:
        """Forgets settings and secret; whoever watches stops within its lease. Errors: `NotFound`."""
        async with self._store.changing() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            if await rows.threecx_apis.find(integration.id) is None:
                raise _not_set(integration_id)
            await rows.threecx_apis.remove(integration.id)
            await rows.write_audit(
                caller.name, "RemoveThreecxApi", integration.id, integration.account_id, {}
            )

    async def state(self, caller: Identity, integration_id: str) -> ThreecxApiState:
        """How watching goes. Errors: `NotFound`, also if nothing is set."""
        async with self._store.reading() as rows:
            row = await self._find(rows, caller, integration_id)
            state = await rows.threecx_apis.state(row.integration_id)
        return state if row.missed_calls or row.who_replied else replace(state, state="idle", reason="")

    async def discover(
        self, caller: Identity, integration_id: str, *, reveal: bool
    ) -> tuple[Sequence[MessagingTrunk], str]:
        """Where the phone system takes messages, and why that cannot be said. Masked unless `reveal`.

        Errors: `NotFound`, also if nothing is set; `NotPermittedError`; `Malformed` if it is switched off.
        """
        if reveal and not caller.reveals:
            raise NotPermittedError(f"{caller.name} may not see these addresses whole.")
        async with self._store.changing() as rows:
            row = await self._find(rows, caller, integration_id)
            if not row.webhook_discovery:
                raise Malformed("webhook_discovery", "is switched off for this integration.")
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            await rows.write_audit(
                caller.name,
                "DiscoverThreecxWebhooks",
                row.integration_id,
                integration.account_id,
                {"reveal": reveal},
            )
            secret = self._sealing.unseal(row.client_secret_sealed, THREECX_API_SECRET, row.integration_id)
        target = PbxTarget(row.integration_id, row.base_url, row.client_id, secret)
        trunks, failure = await self._senders.trunks(target)
        if not reveal:
            trunks = [replace(trunk, webhook_url=masked(trunk.webhook_url)) for trunk in trunks]
        return trunks, failure

    async def _find(self, rows: RegistryRows, caller: Identity, integration_id: str) -> ThreecxApiRow:
        integration = await find_owned(rows.integrations, integration_id, caller, "integration")
        row = await rows.threecx_apis.find(integration.id)
        if row is None:
            raise _not_set(integration_id)
        return row

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        url = check_url("api.base_url", values["base_url"], plain_http=self._plain_http).rstrip("/")
        parts = urlsplit(url)
        if parts.path or parts.query or parts.fragment:
            raise Malformed("api.base_url", "must be the phone system's address without a path.")
        catch_up: timedelta = values["catch_up"]
        if not timedelta(0) <= catch_up <= LONGEST_CATCH_UP:
            raise Malformed("api.catch_up", "must lie between 0 and 24 hours.")
        return {
            "base_url": url,
            "client_id": _check_word("api.client_id", values["client_id"].strip(), _LONGEST_CLIENT_ID),
            "missed_calls": bool(values["missed_calls"]),
            "who_replied": bool(values["who_replied"]),
            "webhook_discovery": bool(values["webhook_discovery"]),
            "every_extension_listed": bool(values["every_extension_listed"]),
            "catch_up_seconds": int(catch_up.total_seconds()),
        }

    def _sealed(
        self,
        integration: IntegrationRow,
        before: ThreecxApiRow | None,
        checked: Mapping[str, Any],
        client_secret: str,
    ) -> bytes:
        if client_secret:
            return self._sealing.seal(client_secret, THREECX_API_SECRET, integration.id)
        if before is None:
            raise Malformed("client_secret", "must be given the first time.")
        if (before.base_url, before.client_id) != (checked["base_url"], checked["client_id"]):
            raise Malformed("client_secret", "must be given again when address or client id change.")
        return before.client_secret_sealed


def masked(url: str) -> str:
    """An address of which only scheme and host are shown."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "…" if url else ""
    return f"{parts.scheme}://{host}/…" if parts.scheme and host else "…" if url else ""


def _check_word(field: str, text: str, longest: int) -> str:
    if not 0 < len(text) <= longest or not text.isascii() or not text.isprintable() or " " in text:
        raise Malformed(field, f"must be 1 to {longest} printable ASCII characters without spaces.")
    return text


def _not_set(integration_id: str) -> NotFound:
    return NotFound(f"Integration {integration_id[:64]!r} has no 3CX API set.")


def _view(row: ThreecxApiRow) -> ThreecxApiView:
    return ThreecxApiView(
        row.integration_id,
        row.base_url,
        row.client_id,
        row.missed_calls,
        row.who_replied,
        row.webhook_discovery,
        row.every_extension_listed,
        timedelta(seconds=row.catch_up_seconds),
        row.changed_at,
    )

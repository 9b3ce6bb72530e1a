"""Owns customer webhooks: endpoints of customers' systems that events are posted to."""

from collections.abc import Sequence

from policycore.errors import Malformed
from policycore.ids import RandomBytes, new_id
from policycore.registry.credentials import new_signing_secret
from policycore.registry.fields import check_url
from policycore.registry.lookups import find_account, find_owned, within
from policycore.registry.pages import Page, PageRequest
from policycore.registry.ports import RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import WebhookRow
from policycore.registry.sealing import WEBHOOK_SECRET, Sealing

EVENT_NAMES = ("message.received", "recipient.opted_out", "message.status_updated")


class CustomerWebhooks:
    """Endpoints of customers' systems. `plain_http` allows addresses without TLS, for development."""

    def __init__(
        self, store: RegistryStore, sealing: Sealing, random_bytes: RandomBytes, *, plain_http: bool
    ) -> None:
        self._store = store
        self._sealing = sealing
        self._random_bytes = random_bytes
        self._plain_http = plain_http

    async def create(
        self, caller: Identity, account_id: str, url: str, event_names: Sequence[str], *, enabled: bool
    ) -> tuple[WebhookRow, str]:
        """Makes an endpoint; returns its row and its signing secret.

        Errors: `NotPermittedError`, `NotFound`, `Malformed`.
        """
        webhook_id = new_id("whk_", self._random_bytes)
        secret = new_signing_secret(self._random_bytes)
        async with self._store.changing() as rows:
            await find_account(rows, account_id, caller)
            row = WebhookRow(
                id=webhook_id,
                account_id=account_id,
                url=check_url("webhook.url", url, plain_http=self._plain_http),
                signing_secret_sealed=self._sealing.seal(secret, WEBHOOK_SECRET, webhook_id),
                event_names=_event_names(event_names),
                enabled=enabled,
                created_at=rows.now,
            )
            await rows.webhooks.add(row)
            detail = {"url": row.url, "event_names": list(row.event_names), "enabled": enabled}
            await rows.write_audit(caller.name, "CreateCustomerWebhook", row.id, account_id, detail)
            await rows.raise_version()
        return row, secret

    async def delete(self, caller: Identity, webhook_id: str) -> None:
        """Removes an endpoint. Errors: `NotFound`."""
        async with self._store.changing() as rows:
            row = await find_owned(rows.webhooks, webhook_id, caller, "customer webhook")
            await rows.signing.remove(row.id)
            await rows.webhooks.remove(row.id)
            await rows.write_audit(
                caller.name, "DeleteCustomerWebhook", row.id, row.account_id, {"url": row.url}
            )
            await rows.raise_version()

    async def page(self, caller: Identity, account_id: str, request: PageRequest) -> Page[WebhookRow]:
        """Endpoints, oldest first. Errors: `NotPermittedError`."""
        async with self._store.reading() as rows:
            return await rows.webhooks.page(request, within(caller, account_id))


def _event_names(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in EVENT_NAMES:
            raise Malformed(
                "webhook.event_names", f"must be among {', '.join(EVENT_NAMES)}; {name[:64]!r} is not."
            )
    return tuple(sorted(set(names)))

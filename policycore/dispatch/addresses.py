"""Where an outbox row goes, by the configuration as it is when the row is tried."""

from collections.abc import Callable
from datetime import datetime

from policycore.ports import OutboxRow, Posting
from policycore.registry.snapshot import IntegrationConfig, Snapshot, WebhookConfig


def resolve_posting(
    snapshot: Callable[[], Snapshot], now: Callable[[], datetime]
) -> Callable[[OutboxRow], Posting | None]:
    """A function from a row to a posting; None if its destination is no longer there or is switched off.

    `now` says which of two signing secrets signs.
    """

    def secret_of(destination: IntegrationConfig | WebhookConfig) -> str:
        following = destination.next_signing
        if following is not None and now() >= following.signs_from:
            return following.secret
        return destination.signing_secret

    def resolve(row: OutboxRow) -> Posting | None:
        config = snapshot()
        if row.integration_id is not None:
            integration = config.integrations.get(row.integration_id)
            if integration is None or not integration.enabled or integration.destination_kind == "none":
                return None
            kind, url, secret = (
                integration.destination_kind,
                integration.destination_url,
                secret_of(integration),
            )
        else:
            webhooks = config.webhooks.get(row.account_id, ())
            webhook = next((each for each in webhooks if each.webhook_id == row.webhook_id), None)
            if webhook is None or not webhook.enabled:
                return None
            kind, url, secret = "customer_webhook", webhook.url, secret_of(webhook)
        return Posting(row.delivery_id, kind, url, row.event_name, row.body, secret)

    return resolve

"""Where an outbox row goes, by the configuration as it is when the row is tried."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from policycore.ports import OutboxRow, Posting
from policycore.registry.snapshot import IntegrationConfig, Snapshot, WebhookConfig
from policycore.usecases.bodies import STATUS_UPDATED

_decode = msgspec.json.Decoder(dict[str, Any]).decode


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
            if integration.destination_kind == "threecx_sms":
                return _to_provider(row, integration)
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


def _to_provider(row: OutboxRow, integration: IntegrationConfig) -> Posting | None:
    """An event for a phone system that takes the gateway for its provider of text messages.

    It goes to the number that its body names, or to that of its instance; an instance without one shares another's, for
    a message at the wrong desk is better than none.
    """
    connector = integration.sms
    if connector is None or not connector.webhook_url:
        return None
    body = _decode(row.body)
    numbers = connector.numbers
    number = "" if row.event_name == STATUS_UPDATED else body.get("to") or ""
    number = number or numbers.get(body.get("instance_id") or "") or min(numbers.values(), default="")
    return Posting(
        row.delivery_id,
        integration.destination_kind,
        connector.webhook_url,
        row.event_name,
        row.body,
        "",
        business_number=number,
    )

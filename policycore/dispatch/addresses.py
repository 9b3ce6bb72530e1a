"""Where an outbox row goes, by the configuration as it is when the row is tried."""

from collections.abc import Callable

from policycore.ports import OutboxRow, Posting
from policycore.registry.snapshot import Snapshot


def resolve_posting(snapshot: Callable[[], Snapshot]) -> Callable[[OutboxRow], Posting | None]:
    """A function from a row to a posting; None if its destination is no longer there or is switched off."""

    def resolve(row: OutboxRow) -> Posting | None:
        config = snapshot()
        if row.integration_id is not None:
            integration = config.integrations.get(row.integration_id)
            if integration is None or not integration.enabled or integration.destination_kind == "none":
                return None
            kind, url, secret = (
                integration.destination_kind,
                integration.destination_url,
                integration.signing_secret,
            )
        else:
            webhooks = config.webhooks.get(row.account_id, ())
            webhook = next((each for each in webhooks if each.webhook_id == row.webhook_id), None)
            if webhook is None or not webhook.enabled:
                return None
            kind, url, secret = "customer_webhook", webhook.url, webhook.signing_secret
        return Posting(row.delivery_id, kind, url, row.event_name, row.body, secret)

    return resolve

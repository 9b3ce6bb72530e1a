"""Which 3CX integrations and customer webhooks an event goes to."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from policycore.event_ledger import EventWrites, NewDelivery
from policycore.ids import RandomBytes, new_id
from policycore.ledger import MessageView
from policycore.registry.snapshot import InstanceConfig, IntegrationConfig, Snapshot, WebhookConfig
from policycore.usecases.bodies import FOR_AGENTS_ALONE, OPTED_OUT, RECEIVED, STATUS_UPDATED, status_body
from policycore.usecases.gateway_lines import tell_chat

Lines = Callable[[str], str]
"""A language -> the line that agents of that language read."""

_FOR_AGENTS = FOR_AGENTS_ALONE | {RECEIVED, OPTED_OUT}
"""What a phone system is told. Receipts are for the systems that asked for them: customer webhooks."""


def deliveries_for(
    snapshot: Snapshot,
    instance: InstanceConfig,
    person_id: str,
    event_name: str,
    body: Mapping[str, Any],
    random_bytes: RandomBytes,
    lines: Lines | None = None,
) -> list[NewDelivery]:
    """A delivery for every integration of the instance that takes inbound messages, and every webhook that
    wants the event. With `lines`, each body has `agent_text`, in the integration's or the account's language.
    """
    targets: list[tuple[str | None, str | None, str]] = []
    account = snapshot.accounts[instance.account_id]
    if event_name in _FOR_AGENTS and account.module_enabled:
        for integration in snapshot.integrations_by_instance.get(instance.instance_id, ()):
            if integration.enabled and integration.inbound_enabled and _takes(integration, event_name):
                targets.append((integration.integration_id, None, integration.language))
    targets.extend(
        (None, webhook.webhook_id, account.language)
        for webhook in snapshot.webhooks.get(instance.account_id, ())
        if _wants(webhook, event_name)
    )
    languages = {language for _, _, language in targets} if lines is not None else set()
    worded = {language: {**body, "agent_text": lines(language)} for language in languages if lines}
    return [
        NewDelivery(
            delivery_id=new_id("dlv_", random_bytes),
            account_id=instance.account_id,
            integration_id=integration_id,
            webhook_id=webhook_id,
            instance_id=instance.instance_id,
            person_id=person_id,
            event_name=event_name,
            body=worded.get(language, body),
        )
        for integration_id, webhook_id, language in targets
    ]


def tell_status(
    views: Iterable[MessageView], snapshot: Snapshot, writes: EventWrites, random_bytes: RandomBytes
) -> None:
    """Adds to a transaction's writes that messages have changed: to the stream of events, and to who wants to know."""
    for view in views:
        writes.events.append((STATUS_UPDATED, view))
        tell_chat(view, snapshot, writes, view.updated_at, random_bytes)
        instance = snapshot.instances.get(view.instance_id)
        if instance is not None:
            body = status_body(view, instance.name)
            writes.deliveries.extend(
                deliveries_for(snapshot, instance, view.person_id, STATUS_UPDATED, body, random_bytes)
            )


def webhook_wants(snapshot: Snapshot, account_id: str, event_name: str) -> bool:
    """Whether any customer webhook of an account wants an event."""
    return any(_wants(webhook, event_name) for webhook in snapshot.webhooks.get(account_id, ()))


def _takes(integration: IntegrationConfig, event_name: str) -> bool:
    """Whether an integration's destination has a form for an event: a provider of text messages has one for whatever
    stands in a chat, and an opt-out is no message for an agent to answer.
    """
    kind = integration.destination_kind
    return kind != "none" and (kind != "threecx_sms" or event_name != OPTED_OUT)


def _wants(webhook: WebhookConfig, event_name: str) -> bool:
    if event_name in FOR_AGENTS_ALONE:
        return False
    return webhook.enabled and (not webhook.event_names or event_name in webhook.event_names)

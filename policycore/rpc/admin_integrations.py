"""Owns the integration part of the AdminService: integrations, secrets, templates, webhooks; wire <->
registry.
"""

from collections.abc import Mapping
from typing import Any

from hubgate.policy.v1 import integrations_pb2 as pb
from policycore.errors import Malformed
from policycore.registry.integrations import (
    DEFAULT_COOL_DOWN_SECONDS,
    DEFAULT_CRM_FOLD_SECONDS,
    DEFAULT_NOTICE_SECONDS,
    IntegrationView,
)
from policycore.registry.registry import Registry
from policycore.registry.rows import SecretRow, TemplateRow, WebhookRow
from policycore.rpc.admin_calls import (
    Readers,
    answered,
    plain,
    read_all,
    read_named,
    read_page,
    read_span,
    set_moment,
)
from policycore.rpc.admin_threecx_sms import sms_path
from policycore.rpc.identity import current_identity
from policycore.rpc.times import to_duration

_DESTINATIONS = {
    pb.DESTINATION_KIND_UNSPECIFIED: "none",
    pb.DESTINATION_KIND_NONE: "none",
    pb.DESTINATION_KIND_THREECX_JSON: "threecx_json",
    pb.DESTINATION_KIND_SANDBOX_INBOX: "sandbox_inbox",
    pb.DESTINATION_KIND_THREECX_SMS: "threecx_sms",
}
_DESTINATION_KINDS = {name: kind for kind, name in _DESTINATIONS.items() if kind}


def _auth_mode(wire: pb.Integration) -> Mapping[str, object]:
    if wire.auth_mode not in {
        pb.AUTH_MODE_UNSPECIFIED,
        pb.AUTH_MODE_SECRET,
        pb.AUTH_MODE_SECRET_HMAC,
    }:
        raise Malformed("integration.auth_mode", "must be SECRET or SECRET_HMAC.")
    return {"signature_required": wire.auth_mode == pb.AUTH_MODE_SECRET_HMAC}


def _cool_down(wire: pb.Integration) -> Mapping[str, object]:
    if not wire.HasField("cool_down"):
        return {"cool_down_seconds": DEFAULT_COOL_DOWN_SECONDS}
    seconds = read_span("integration.cool_down", wire.cool_down).total_seconds()
    if seconds != int(seconds):
        raise Malformed("integration.cool_down", "must be whole seconds.")
    return {"cool_down_seconds": int(seconds)}


def _crm_fold(wire: pb.Integration) -> Mapping[str, object]:
    if not wire.HasField("crm_fold_within"):
        return {"crm_fold_seconds": DEFAULT_CRM_FOLD_SECONDS}
    seconds = read_span("integration.crm_fold_within", wire.crm_fold_within).total_seconds()
    if seconds != int(seconds):
        raise Malformed("integration.crm_fold_within", "must be whole seconds.")
    return {"crm_fold_seconds": int(seconds)}


def _window_notice(wire: pb.Integration) -> Mapping[str, object]:
    if not wire.HasField("window_notice"):
        return {"window_notice_seconds": DEFAULT_NOTICE_SECONDS}
    seconds = read_span("integration.window_notice", wire.window_notice).total_seconds()
    if seconds != int(seconds):
        raise Malformed("integration.window_notice", "must be whole seconds.")
    return {"window_notice_seconds": int(seconds)}


_FIELDS: Readers[pb.Integration] = {
    **plain("name", "enabled"),
    "auth_mode": _auth_mode,
    "allowed_addresses": lambda wire: {"allowed_addresses": tuple(wire.allowed_addresses)},
    "default_instance_id": lambda wire: {"default_instance_id": wire.default_instance_id or None},
    "instance_ids": lambda wire: {"instance_ids": tuple(wire.instance_ids)},
    **plain("inbound_enabled", "outbound_enabled", "call_events_enabled"),
    "destination_kind": lambda wire: {
        "destination_kind": _DESTINATIONS.get(wire.destination_kind, "unknown")
    },
    **plain("destination_url", "country", "requests_per_minute"),
    "cool_down": _cool_down,
    "window_notice": _window_notice,
    **plain("language", "crm_requests_per_minute", "crm_unanswered_sends"),
    "crm_fold_within": _crm_fold,
    **plain("query_token_enabled"),
}


class IntegrationMethods:
    """3CX integrations, their secrets and templates, and customer webhooks."""

    _registry: Registry

    @answered
    async def CreateIntegration(
        self, request: pb.CreateIntegrationRequest, context: Any
    ) -> pb.CreateIntegrationResponse:
        made = await self._registry.integrations.create(
            current_identity(), request.integration.account_id, read_all(request.integration, _FIELDS)
        )
        return pb.CreateIntegrationResponse(
            integration=integration_to_wire(made.view),
            secret=made.secret,
            signing_secret=made.signing_secret,
        )

    @answered
    async def UpdateIntegration(
        self, request: pb.UpdateIntegrationRequest, context: Any
    ) -> pb.UpdateIntegrationResponse:
        values = read_named(request.integration, request.fields, _FIELDS)
        view = await self._registry.integrations.update(
            current_identity(), request.integration.integration_id, values
        )
        return pb.UpdateIntegrationResponse(integration=integration_to_wire(view))

    @answered
    async def ListIntegrations(
        self, request: pb.ListIntegrationsRequest, context: Any
    ) -> pb.ListIntegrationsResponse:
        page = await self._registry.integrations.page(
            current_identity(), request.account_id, request.integration_id, read_page(request)
        )
        integrations = [integration_to_wire(view) for view in page.rows]
        return pb.ListIntegrationsResponse(integrations=integrations, next_page_token=page.next_token)

    @answered
    async def RotateSecret(self, request: pb.RotateSecretRequest, context: Any) -> pb.RotateSecretResponse:
        overlap = read_span("overlap", request.overlap) if request.HasField("overlap") else None
        rotation = await self._registry.secrets.rotate(current_identity(), request.integration_id, overlap)
        wire = pb.RotateSecretResponse(secret=rotation.secret, secret_id=rotation.secret_id)
        set_moment(wire.old_valid_until, rotation.old_valid_until)
        return wire

    @answered
    async def RotateSigningSecret(
        self, request: pb.RotateSigningSecretRequest, context: Any
    ) -> pb.RotateSigningSecretResponse:
        after = read_span("begins_after", request.begins_after) if request.HasField("begins_after") else None
        rotation = await self._registry.signing_secrets.rotate(
            current_identity(), request.integration_id or request.webhook_id, after
        )
        wire = pb.RotateSigningSecretResponse(signing_secret=rotation.secret)
        set_moment(wire.signs_from, rotation.signs_from)
        return wire

    @answered
    async def ListSecrets(self, request: pb.ListSecretsRequest, context: Any) -> pb.ListSecretsResponse:
        rows = await self._registry.secrets.list(current_identity(), request.integration_id)
        return pb.ListSecretsResponse(secrets=[_secret_to_wire(row) for row in rows])

    @answered
    async def UpdateTemplate(
        self, request: pb.UpdateTemplateRequest, context: Any
    ) -> pb.UpdateTemplateResponse:
        wire = request.template
        template = TemplateRow(
            integration_id=wire.integration_id,
            event_type=int(wire.event_type),
            enabled=wire.enabled,
            language=wire.language,
            text=wire.text,
            purpose=wire.purpose,
        )
        row = await self._registry.templates.update(current_identity(), template)
        return pb.UpdateTemplateResponse(template=_template_to_wire(row))

    @answered
    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Any) -> pb.ListTemplatesResponse:
        rows = await self._registry.templates.list(current_identity(), request.integration_id)
        return pb.ListTemplatesResponse(templates=[_template_to_wire(row) for row in rows])

    @answered
    async def CreateCustomerWebhook(
        self, request: pb.CreateCustomerWebhookRequest, context: Any
    ) -> pb.CreateCustomerWebhookResponse:
        wire = request.webhook
        row, secret = await self._registry.webhooks.create(
            current_identity(), wire.account_id, wire.url, wire.event_names, enabled=wire.enabled
        )
        return pb.CreateCustomerWebhookResponse(webhook=_webhook_to_wire(row), signing_secret=secret)

    @answered
    async def DeleteCustomerWebhook(
        self, request: pb.DeleteCustomerWebhookRequest, context: Any
    ) -> pb.DeleteCustomerWebhookResponse:
        await self._registry.webhooks.delete(current_identity(), request.webhook_id)
        return pb.DeleteCustomerWebhookResponse()

    @answered
    async def ListCustomerWebhooks(
        self, request: pb.ListCustomerWebhooksRequest, context: Any
    ) -> pb.ListCustomerWebhooksResponse:
        page = await self._registry.webhooks.page(current_identity(), request.account_id, read_page(request))
        webhooks = [_webhook_to_wire(row) for row in page.rows]
        return pb.ListCustomerWebhooksResponse(webhooks=webhooks, next_page_token=page.next_token)


def integration_to_wire(view: IntegrationView) -> pb.Integration:
    """An integration, without its secrets."""
    row = view.row
    wire = pb.Integration(
        integration_id=row.id,
        account_id=row.account_id,
        name=row.name,
        enabled=row.enabled,
        auth_mode=pb.AUTH_MODE_SECRET_HMAC if row.signature_required else pb.AUTH_MODE_SECRET,
        allowed_addresses=row.allowed_addresses,
        default_instance_id=row.default_instance_id or "",
        instance_ids=view.instance_ids,
        inbound_enabled=row.inbound_enabled,
        outbound_enabled=row.outbound_enabled,
        call_events_enabled=row.call_events_enabled,
        destination_kind=_DESTINATION_KINDS[row.destination_kind],
        destination_url=row.destination_url,
        country=row.country,
        requests_per_minute=row.requests_per_minute,
        cool_down=to_duration(row.cool_down_seconds),
        window_notice=to_duration(row.window_notice_seconds),
        language=row.language,
        webhook_path=f"/integrations/3cx/webhook/{row.id}",
        crm_requests_per_minute=row.crm_requests_per_minute,
        crm_fold_within=to_duration(row.crm_fold_seconds),
        crm_unanswered_sends=row.crm_unanswered_sends,
        sms_path=sms_path(row.id),
        query_token_enabled=row.query_token_enabled,
        dialect_path=f"/integrations/3cx/dialect/{row.id}",
    )
    set_moment(wire.created_at, row.created_at)
    return wire


def _secret_to_wire(row: SecretRow) -> pb.SecretInfo:
    wire = pb.SecretInfo(secret_id=row.id)
    set_moment(wire.created_at, row.created_at)
    set_moment(wire.valid_until, row.valid_until)
    set_moment(wire.last_used_at, row.last_used_at)
    return wire


def _template_to_wire(row: TemplateRow) -> pb.Template:
    return pb.Template(
        integration_id=row.integration_id,
        event_type=row.event_type,  # type: ignore[arg-type]
        enabled=row.enabled,
        language=row.language,
        text=row.text,
        purpose=row.purpose,
    )


def _webhook_to_wire(row: WebhookRow) -> pb.CustomerWebhook:
    wire = pb.CustomerWebhook(
        webhook_id=row.id,
        account_id=row.account_id,
        url=row.url,
        event_names=row.event_names,
        enabled=row.enabled,
    )
    set_moment(wire.created_at, row.created_at)
    return wire

"""Owns `hubgate integration`."""

from typing import Annotated, Any

import typer

from cli.business_hours import hours
from cli.client import Core, connect
from cli.errors import CliError, ExitCode
from cli.options import AccountOption, Json, Limit
from cli.output import Cell, print_json, print_message, print_table, say, words
from cli.signing import After, rotate
from cli.threecx_api import threecx_api
from cli.threecx_sms import sms
from cli.values import read_enum, read_span, span_to_wire
from hubgate.policy.v1 import integrations_pb2 as pb
from hubgate.policy.v1 import policy_service_pb2

integrations = typer.Typer(no_args_is_help=True, help="3CX integrations.")
integrations.add_typer(sms, name="sms")
integrations.add_typer(threecx_api, name="api")
integrations.add_typer(hours, name="hours")

InstanceList = Annotated[list[str] | None, typer.Option("--instance", help="Instance it serves. Repeatable.")]
DefaultInstance = Annotated[str | None, typer.Option(help="Instance for persons without a conversation.")]
AuthMode = Annotated[str | None, typer.Option(help="secret or secret_hmac.")]
Addresses = Annotated[
    list[str] | None, typer.Option("--allow", help="Address or CIDR block that may call. Repeatable.")
]
Destination = Annotated[
    str | None,
    typer.Option(help="none, threecx_json, sandbox_inbox; threecx_sms is set by integration sms set."),
]
DestinationUrl = Annotated[str | None, typer.Option(help="Address of the JSON endpoint.")]
Country = Annotated[str | None, typer.Option(help="ISO 3166 country of national numbers.")]
PerMinute = Annotated[int | None, typer.Option("--requests-per-minute", help="Webhook rate limit.")]
CoolDown = Annotated[str | None, typer.Option(help="Cool-down of call events, such as 15m.")]
CrmPerMinute = Annotated[
    int | None, typer.Option("--crm-requests-per-minute", help="Rate limit of CRM reports, and of lookups.")
]
CrmFold = Annotated[
    str | None,
    typer.Option("--crm-fold-within", help="Missed calls of one number this close are one, such as 2m."),
]
CrmUnanswered = Annotated[
    bool | None,
    typer.Option(
        "--crm-unanswered-sends/--no-crm-unanswered-sends", help="Send call_ended for unanswered calls."
    ),
]
WindowNotice = Annotated[
    str | None,
    typer.Option(help="How long before a window ends agents who owe an answer are told; 0s for never."),
]
Language = Annotated[str | None, typer.Option(help="en or ar.")]
Inbound = Annotated[bool | None, typer.Option("--inbound/--no-inbound", help="Forward inbound messages.")]
Outbound = Annotated[bool | None, typer.Option("--outbound/--no-outbound", help="Send replies.")]
CallEvents = Annotated[bool | None, typer.Option("--call-events/--no-call-events", help="Send call events.")]
QueryToken = Annotated[
    bool | None,
    typer.Option(
        "--query-token/--no-query-token",
        help="Let a webhook generator show the secret as ?token= at its own address.",
    ),
]
Enabled = Annotated[bool | None, typer.Option("--enabled/--disabled", help="Whether it answers at all.")]


@integrations.command("create")
def create_integration(
    name: str,
    account: AccountOption,
    instance: InstanceList = None,
    default_instance: DefaultInstance = None,
    auth_mode: AuthMode = None,
    allow: Addresses = None,
    destination: Destination = None,
    destination_url: DestinationUrl = None,
    country: Country = None,
    requests_per_minute: PerMinute = None,
    cool_down: CoolDown = None,
    crm_requests_per_minute: CrmPerMinute = None,
    crm_fold_within: CrmFold = None,
    crm_unanswered_sends: CrmUnanswered = None,
    window_notice: WindowNotice = None,
    language: Language = None,
    inbound: Inbound = True,
    outbound: Outbound = True,
    call_events: CallEvents = False,
    query_token: QueryToken = False,
    enabled: Enabled = True,
    json: Json = False,
) -> None:
    """Make an integration. Its secrets are shown once."""
    given = _given(
        name, instance, default_instance, auth_mode, allow, destination, destination_url, country,
        requests_per_minute, cool_down, window_notice, language, inbound, outbound, call_events, query_token,
        enabled,
        crm=(crm_requests_per_minute, crm_fold_within, crm_unanswered_sends),
    )  # fmt: skip
    wire = pb.Integration(account_id=account, **given)
    made = connect().call("CreateIntegration", pb.CreateIntegrationRequest(integration=wire))
    if json:
        print_json(made)
        return
    print_message(made.integration)
    say(f"\nShown this once:\nwebhook secret  {made.secret}\nsigning secret  {made.signing_secret}")


@integrations.command("update")
def update_integration(
    integration_id: str,
    name: Annotated[str | None, typer.Option(help="Name.")] = None,
    instance: InstanceList = None,
    default_instance: DefaultInstance = None,
    auth_mode: AuthMode = None,
    allow: Addresses = None,
    allow_all: Annotated[bool, typer.Option("--allow-all", help="Let every address call.")] = False,
    destination: Destination = None,
    destination_url: DestinationUrl = None,
    country: Country = None,
    requests_per_minute: PerMinute = None,
    cool_down: CoolDown = None,
    crm_requests_per_minute: CrmPerMinute = None,
    crm_fold_within: CrmFold = None,
    crm_unanswered_sends: CrmUnanswered = None,
    window_notice: WindowNotice = None,
    language: Language = None,
    inbound: Inbound = None,
    outbound: Outbound = None,
    call_events: CallEvents = None,
    query_token: QueryToken = None,
    enabled: Enabled = None,
    json: Json = False,
) -> None:
    """Change what is named of an integration."""
    given = _given(
        name, instance, default_instance, auth_mode, [] if allow_all else allow, destination,
        destination_url, country, requests_per_minute, cool_down, window_notice, language, inbound, outbound,
        call_events, query_token, enabled,
        crm=(crm_requests_per_minute, crm_fold_within, crm_unanswered_sends),
    )  # fmt: skip
    wire = pb.Integration(integration_id=integration_id, **given)
    request = pb.UpdateIntegrationRequest(integration=wire, fields=sorted(given))
    _show(connect().call("UpdateIntegration", request).integration, json=json)


@integrations.command("list")
def list_integrations(account: AccountOption = "", limit: Limit = 100, json: Json = False) -> None:
    """List integrations."""
    request = pb.ListIntegrationsRequest(account_id=account)
    rows = connect().rows("ListIntegrations", request, "integrations", limit)
    if json:
        print_json(rows)
        return
    columns = {
        "integration": "integration_id",
        "name": "name",
        "account": "account_id",
        "enabled": "enabled",
        "auth mode": "auth_mode",
        "instances": "instance_ids",
        "destination": "destination_kind",
    }
    print_table(rows, columns, empty="There is no integration yet: hubgate integration create NAME …")


@integrations.command("show")
def show_integration(integration_id: str, json: Json = False) -> None:
    """Show one integration, with its secrets' ages and its templates."""
    core = connect()
    found = find_integration(core, integration_id)
    secrets = core.call("ListSecrets", pb.ListSecretsRequest(integration_id=integration_id)).secrets
    templates = core.call("ListTemplates", pb.ListTemplatesRequest(integration_id=integration_id)).templates
    if json:
        print_json({"integration": found, "secrets": list(secrets), "templates": list(templates)})
        return
    print_message(found)
    say("")
    columns: dict[str, Cell] = {
        "secret": "secret_id",
        "made": "created_at",
        "counts until": lambda row: words(row.valid_until) or "it is replaced",
        "last used": lambda row: words(row.last_used_at) or "never",
    }
    print_table(secrets, columns, empty="There is no secret.")
    say("")
    print_table(
        templates, {"template": "event_type", "enabled": "enabled", "text": "text"}, empty="No template."
    )


@integrations.command("rotate-secret")
def rotate_secret(
    integration_id: str,
    overlap: Annotated[str, typer.Option(help="How long the old secret counts, 0s to 14d.")] = "24h",
    json: Json = False,
) -> None:
    """Make a new webhook secret. It is shown once; the old one counts for the overlap."""
    span = span_to_wire(read_span("--overlap", overlap))
    request = pb.RotateSecretRequest(integration_id=integration_id, overlap=span)
    made = connect().call("RotateSecret", request)
    if json:
        print_json(made)
        return
    say(f"webhook secret, shown this once: {made.secret}")
    say(f"the old one counts until {words(made.old_valid_until)}")


@integrations.command("rotate-signing-secret")
def rotate_signing_secret(integration_id: str, after: After = "24h", json: Json = False) -> None:
    """Make a new secret that events are signed with later. It is shown once; until then the old one signs."""
    rotate(pb.RotateSigningSecretRequest(integration_id=integration_id), after, json=json)


@integrations.command("set-template")
def set_template(
    integration_id: str,
    event: Annotated[str, typer.Argument(help="missed_call, voicemail, call_ended, queue_callback, …")],
    text: Annotated[str | None, typer.Option(help="Text with {{variables}}.")] = None,
    language: Language = None,
    purpose: Annotated[str | None, typer.Option(help="Purpose it is sent with.")] = None,
    enabled: Enabled = None,
    json: Json = False,
) -> None:
    """Change what is named of a call-event template."""
    core = connect()
    event_type = read_enum("EVENT", policy_service_pb2.EventType, "EVENT_TYPE_", event)
    listed = core.call("ListTemplates", pb.ListTemplatesRequest(integration_id=integration_id)).templates
    template = next((each for each in listed if each.event_type == event_type), None)
    if template is None:
        raise CliError(ExitCode.REFUSED, f"{event} has no template.")
    values = {"text": text, "language": language, "purpose": purpose, "enabled": enabled}
    for field, value in values.items():
        if value is not None:
            setattr(template, field, value)
    saved = core.call("UpdateTemplate", pb.UpdateTemplateRequest(template=template))
    _show(saved.template, json=json)


def find_integration(core: Core, integration_id: str) -> Any:
    """One integration. Errors: `CliError` if there is none."""
    request = pb.ListIntegrationsRequest(integration_id=integration_id)
    found = core.rows("ListIntegrations", request, "integrations", 1)
    if not found:
        raise CliError(ExitCode.REFUSED, f"There is no integration {integration_id!r}.")
    return found[0]


def _given(
    name: str | None,
    instances: list[str] | None,
    default_instance: str | None,
    auth_mode: str | None,
    allow: list[str] | None,
    destination: str | None,
    destination_url: str | None,
    country: str | None,
    requests_per_minute: int | None,
    cool_down: str | None,
    window_notice: str | None,
    language: str | None,
    inbound: bool | None,
    outbound: bool | None,
    call_events: bool | None,
    query_token: bool | None,
    enabled: bool | None,
    *,
    crm: tuple[int | None, str | None, bool | None],
) -> dict[str, Any]:
    """The fields of the contract behind the options that were given."""
    crm_requests_per_minute, crm_fold_within, crm_unanswered_sends = crm
    values: dict[str, Any] = {
        "name": name,
        "instance_ids": instances,
        "default_instance_id": default_instance,
        "allowed_addresses": allow,
        "destination_url": destination_url,
        "country": country,
        "requests_per_minute": requests_per_minute,
        "language": language,
        "inbound_enabled": inbound,
        "outbound_enabled": outbound,
        "call_events_enabled": call_events,
        "query_token_enabled": query_token,
        "enabled": enabled,
        "crm_requests_per_minute": crm_requests_per_minute,
        "crm_unanswered_sends": crm_unanswered_sends,
    }
    if auth_mode is not None:
        values["auth_mode"] = read_enum("--auth-mode", pb.AuthMode, "AUTH_MODE_", auth_mode)
    if destination is not None:
        kinds = pb.DestinationKind
        values["destination_kind"] = read_enum("--destination", kinds, "DESTINATION_KIND_", destination)
    if cool_down is not None:
        values["cool_down"] = span_to_wire(read_span("--cool-down", cool_down))
    if crm_fold_within is not None:
        values["crm_fold_within"] = span_to_wire(read_span("--crm-fold-within", crm_fold_within))
    if window_notice is not None:
        values["window_notice"] = span_to_wire(read_span("--window-notice", window_notice))
    return {field: value for field, value in values.items() if value is not None}


def _show(message: Any, *, json: bool) -> None:
    if json:
        print_json(message)
    else:
        print_message(message)

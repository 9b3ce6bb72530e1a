"""Owns `hubgate instance`."""

from typing import Annotated, Any

import typer

from cli.client import connect
from cli.errors import CliError, ExitCode
from cli.options import AccountOption, Json, Limit
from cli.output import Cell, print_json, print_message, print_table, warn
from cli.values import read_span, span_to_wire
from hubgate.policy.v1 import instances_pb2 as pb

instances = typer.Typer(no_args_is_help=True, help="WhatsApp instances.")

BaseUrl = Annotated[str | None, typer.Option(help="Where the back end is reached.")]
ExternalName = Annotated[
    str | None, typer.Option(help="The back end's own name: instance name, phone number id or session.")
]
ApiToken = Annotated[
    str | None,
    typer.Option(
        envvar="HUBGATE_INSTANCE_API_TOKEN", show_envvar=True, help="Key or token for the back end."
    ),
]
WebhookSecret = Annotated[
    str | None,
    typer.Option(
        envvar="HUBGATE_INSTANCE_WEBHOOK_SECRET",
        show_envvar=True,
        help="Header token, app secret or HMAC key of its webhooks.",
    ),
]
VerifyToken = Annotated[
    str | None,
    typer.Option(envvar="HUBGATE_INSTANCE_VERIFY_TOKEN", show_envvar=True, help="Cloud API's verify token."),
]
Phone = Annotated[str | None, typer.Option(help="The business number, international form.")]
Rate = Annotated[float | None, typer.Option("--messages-per-second", help="Own pace; 0 for none.")]
Burst = Annotated[int | None, typer.Option(help="Own burst.")]


@instances.command("create")
def create_instance(
    name: Annotated[str, typer.Argument(help="Name, unique within the account.")],
    account: AccountOption,
    backend: Annotated[str, typer.Option(help="evolution, cloud_api, waha or sandbox.")],
    base_url: BaseUrl = None,
    external_name: ExternalName = None,
    api_token: ApiToken = None,
    webhook_secret: WebhookSecret = None,
    verify_token: VerifyToken = None,
    phone: Phone = None,
    messages_per_second: Rate = None,
    burst: Burst = None,
    json: Json = False,
) -> None:
    """Make an instance."""
    values: dict[str, Any] = {
        "base_url": base_url,
        "external_name": external_name,
        "api_token": api_token,
        "webhook_secret": webhook_secret,
        "verify_token": verify_token,
        "phone": phone,
        "messages_per_second": messages_per_second,
        "burst": burst,
    }
    wire = pb.Instance(account_id=account, name=name, backend=backend, **_given(values))
    _show(connect().call("CreateInstance", pb.CreateInstanceRequest(instance=wire)).instance, json=json)


@instances.command("update")
def update_instance(
    instance_id: str,
    name: Annotated[str | None, typer.Option(help="Name.")] = None,
    base_url: BaseUrl = None,
    external_name: ExternalName = None,
    api_token: ApiToken = None,
    webhook_secret: WebhookSecret = None,
    verify_token: VerifyToken = None,
    phone: Phone = None,
    messages_per_second: Rate = None,
    burst: Burst = None,
    overlap: Annotated[
        str, typer.Option(help="How long secrets that are replaced count beside the new ones, 0s to 14d.")
    ] = "0s",
    json: Json = False,
) -> None:
    """Change what is named of an instance."""
    values: dict[str, Any] = {
        "name": name,
        "base_url": base_url,
        "external_name": external_name,
        "api_token": api_token,
        "webhook_secret": webhook_secret,
        "verify_token": verify_token,
        "phone": phone,
        "messages_per_second": messages_per_second,
        "burst": burst,
    }
    given = _given(values)
    wire = pb.Instance(instance_id=instance_id, **given)
    span = span_to_wire(read_span("--overlap", overlap))
    request = pb.UpdateInstanceRequest(instance=wire, fields=sorted(given), secret_overlap=span)
    _show(connect().call("UpdateInstance", request).instance, json=json)


@instances.command("list")
def list_instances(account: AccountOption = "", limit: Limit = 100, json: Json = False) -> None:
    """List instances with their states."""
    rows = connect().rows("ListInstances", pb.ListInstancesRequest(account_id=account), "instances", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "instance": "instance_id",
        "name": "name",
        "account": "account_id",
        "back end": "backend",
        "state": "state",
        "reason": "state_reason",
        "since": "state_changed_at",
        "held back": lambda row: "yes" if row.held_back else "",
    }
    print_table(rows, columns, empty="There is no instance yet: hubgate instance create NAME …")


@instances.command("show")
def show_instance(instance_id: str, json: Json = False) -> None:
    """Show one instance."""
    request = pb.ListInstancesRequest(instance_id=instance_id)
    found = connect().rows("ListInstances", request, "instances", 1)
    if not found:
        raise CliError(ExitCode.REFUSED, f"There is no instance {instance_id!r}.")
    _show(found[0], json=json)


@instances.command("probe")
def probe_instance(instance_id: str, json: Json = False) -> None:
    """Ask the back end for the instance's state now; exit code 1 if it cannot be asked."""
    answer = connect().call("ProbeInstance", pb.ProbeInstanceRequest(instance_id=instance_id), timeout=30)
    if json:
        print_json(answer)
    else:
        print_message(answer.instance)
    if answer.error_text:
        warn(answer.error_text)
        raise typer.Exit(ExitCode.PROBLEM)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _show(message: Any, *, json: bool) -> None:
    if json:
        print_json(message)
    else:
        print_message(message)

"""Owns `hubgate integration api`: the API of an integration's 3CX V20 phone system."""

import sys
from typing import Annotated

import typer

from cli.client import connect
from cli.errors import CliError, ExitCode
from cli.options import Json
from cli.output import print_fields, print_json, print_message, print_table, say
from cli.values import read_span, span_to_wire
from hubgate.policy.v1 import threecx_api_pb2 as pb

threecx_api = typer.Typer(no_args_is_help=True, help="The API of a 3CX V20 phone system.")

SecretFile = Annotated[
    str | None,
    typer.Option("--client-secret-file", help="File with the client secret; - reads it from standard input."),
]


@threecx_api.command("set")
def set_api(
    integration_id: str,
    address: Annotated[
        str, typer.Option(help="Address of the phone system, such as https://pbx.example.com.")
    ],
    client_id: Annotated[str, typer.Option(help="Client id of the application.")],
    client_secret_file: SecretFile = None,
    missed_calls: Annotated[
        bool, typer.Option("--missed-calls/--no-missed-calls", help="Tell callers whom nobody answered.")
    ] = True,
    who_replied: Annotated[
        bool, typer.Option("--who-replied/--no-who-replied", help="Learn which agent wrote a reply.")
    ] = False,
    webhook_discovery: Annotated[
        bool, typer.Option("--webhook-discovery/--no-webhook-discovery", help="Allow to read trunks.")
    ] = True,
    every_extension_listed: Annotated[
        bool,
        typer.Option(
            "--every-extension-listed/--some-extensions-listed",
            help="Whether the application lists every extension that can answer.",
        ),
    ] = False,
    catch_up: Annotated[str, typer.Option(help="How old a call that is found later may be.")] = "1h",
    json: Json = False,
) -> None:
    """Set how the phone system is asked. Without a file, the client secret that is set stays."""
    api = pb.ThreecxApi(
        integration_id=integration_id,
        base_url=address,
        client_id=client_id,
        missed_calls=missed_calls,
        who_replied=who_replied,
        webhook_discovery=webhook_discovery,
        every_extension_listed=every_extension_listed,
        catch_up=span_to_wire(read_span("catch-up", catch_up)),
    )
    request = pb.SetThreecxApiRequest(api=api, client_secret=_secret(client_secret_file))
    _show(connect().call("SetThreecxApi", request).api, json=json)


@threecx_api.command("show")
def show(integration_id: str, json: Json = False) -> None:
    """Show what is set. The client secret is never shown."""
    request = pb.GetThreecxApiRequest(integration_id=integration_id)
    _show(connect().call("GetThreecxApi", request).api, json=json)


@threecx_api.command("remove")
def remove(integration_id: str, json: Json = False) -> None:
    """Forget settings and secret, and ask the phone system no more."""
    connect().call("RemoveThreecxApi", pb.RemoveThreecxApiRequest(integration_id=integration_id))
    if json:
        print_json({"integration_id": integration_id})
    else:
        say(f"The phone system of {integration_id} is asked no more.")


@threecx_api.command("status")
def status(integration_id: str, json: Json = False) -> None:
    """Show how watching the phone system goes. Exits 1 if it fails."""
    request = pb.GetThreecxApiStateRequest(integration_id=integration_id)
    found = connect().call("GetThreecxApiState", request)
    if json:
        print_json(found)
    else:
        print_message(found)
    if found.state == "failing":
        raise CliError(ExitCode.PROBLEM, f"The phone system cannot be watched: {found.reason}.")


@threecx_api.command("webhooks")
def webhooks(
    integration_id: str,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show addresses whole: they hold a key.")] = False,
    json: Json = False,
) -> None:
    """Show where the phone system takes messages, trunk by trunk."""
    request = pb.DiscoverThreecxWebhooksRequest(integration_id=integration_id, reveal=reveal)
    found = connect().call("DiscoverThreecxWebhooks", request)
    if found.failure:
        raise CliError(ExitCode.PROBLEM, f"The trunks cannot be read: {found.failure}.")
    if json:
        print_json(found)
        return
    columns = {
        "trunk": "number",
        "name": "name",
        "provider": "provider",
        "enabled": "enabled",
        "numbers": "did_numbers",
        "webhook": "webhook_url",
    }
    print_table(found.trunks, columns, empty="No trunk of the phone system carries messages.")


def _secret(path: str | None) -> str:
    """The secret in a file; never an argument, which everybody on the machine could read. Errors: `CliError`."""
    if path is None:
        return ""
    try:
        if path == "-":
            return sys.stdin.readline().strip()
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError) as error:
        raise CliError(ExitCode.USAGE, f"--client-secret-file: {path} cannot be read.") from error


def _show(api: pb.ThreecxApi, *, json: bool) -> None:
    if json:
        print_json(api)
        return
    print_fields(
        [
            ("integration", api.integration_id),
            ("address", api.base_url),
            ("client id", api.client_id),
            ("client secret", "set"),
            ("missed calls", api.missed_calls),
            ("who replied", api.who_replied),
            ("webhook discovery", api.webhook_discovery),
            ("every extension listed", api.every_extension_listed),
            ("catch up", f"{api.catch_up.seconds} s"),
            ("since", api.changed_at),
        ]
    )

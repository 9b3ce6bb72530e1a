"""Owns `hubgate integration sms`: the connector by which 3CX takes the gateway for its provider of text messages."""

from typing import Annotated, Any

import typer

from cli.client import connect
from cli.errors import CliError, ExitCode
from cli.options import Json
from cli.output import Cell, print_fields, print_json, print_table, say, words
from cli.values import read_span, span_to_wire
from hubgate.policy.v1 import threecx_sms_pb2 as pb

sms = typer.Typer(no_args_is_help=True, help="The SMS-provider connector: agents chat in the 3CX client.")

Url = Annotated[
    str | None,
    typer.Option(
        "--webhook-url",
        envvar="HUBGATE_THREECX_SMS_WEBHOOK_URL",
        show_envvar=True,
        help="Address that 3CX made for its provider; '' takes it away.",
    ),
]
Numbers = Annotated[
    list[str] | None,
    typer.Option("--number", help="INSTANCE=+966110000000: the 3CX number of an instance. Repeatable."),
]
Purpose = Annotated[str | None, typer.Option(help="Purpose of every reply, such as support.")]
Lines = Annotated[
    bool | None,
    typer.Option("--lines/--no-lines", help="Tell agents in the chat why a reply did not go out."),
]
Receipts = Annotated[
    bool | None, typer.Option("--receipts/--no-receipts", help="Tell 3CX how far a reply has come.")
]
PerMinute = Annotated[
    int | None, typer.Option("--requests-per-minute", help="Replies a minute; 600 at first.")
]


@sms.command("set")
def set_sms(
    integration_id: str,
    webhook_url: Url = None,
    number: Numbers = None,
    purpose: Purpose = None,
    lines: Lines = None,
    receipts: Receipts = None,
    requests_per_minute: PerMinute = None,
    json: Json = False,
) -> None:
    """Change what is named of the connector. With an address, inbound messages go there from now on."""
    given: dict[str, Any] = {
        "webhook_url": webhook_url,
        "numbers": None if number is None else [_number(each) for each in number],
        "default_purpose": purpose,
        "gateway_lines": lines,
        "receipts": receipts,
        "requests_per_minute": requests_per_minute,
    }
    given = {field: value for field, value in given.items() if value is not None}
    wire = pb.ThreecxSms(integration_id=integration_id, **given)
    request = pb.SetThreecxSmsRequest(settings=wire, fields=sorted(given))
    _show(connect().call("SetThreecxSms", request).settings, json=json)


@sms.command("show")
def show_sms(integration_id: str, json: Json = False) -> None:
    """Show the connector's settings and the ages of its bearer keys. The address is shown without its key."""
    request = pb.GetThreecxSmsRequest(integration_id=integration_id)
    _show(connect().call("GetThreecxSms", request).settings, json=json)


@sms.command("rotate-key")
def rotate_key(
    integration_id: str,
    overlap: Annotated[str, typer.Option(help="How long the old key counts, 0s to 14d.")] = "24h",
    json: Json = False,
) -> None:
    """Make a bearer key: the API key in 3CX. It is shown once; the old one counts for the overlap."""
    span = span_to_wire(read_span("--overlap", overlap))
    request = pb.RotateThreecxSmsKeyRequest(integration_id=integration_id, overlap=span)
    made = connect().call("RotateThreecxSmsKey", request)
    if json:
        print_json(made)
        return
    say(f"API key for 3CX, shown this once: {made.key}")
    say(f"an older one counts until {words(made.old_valid_until)}")


def _number(text: str) -> pb.ThreecxSmsNumber:
    """`ins_…=+966110000000`. Errors: `CliError`."""
    instance_id, mark, number = text.partition("=")
    if not mark or not instance_id.strip() or not number.strip():
        raise CliError(ExitCode.USAGE, "--number must be an instance and its number: ins_…=+966110000000.")
    return pb.ThreecxSmsNumber(instance_id=instance_id.strip(), number=number.strip())


def _show(settings: Any, *, json: bool) -> None:
    if json:
        print_json(settings)
        return
    shown = ("integration_id", "path", "webhook_url", "default_purpose", "gateway_lines", "receipts")
    pairs = [(name.replace("_", " "), getattr(settings, name)) for name in shown]
    print_fields([*pairs, ("requests per minute", settings.requests_per_minute)])
    say("")
    print_table(
        settings.numbers, {"instance": "instance_id", "3CX number": "number"}, empty="There is no number yet."
    )
    say("")
    columns: dict[str, Cell] = {
        "key": "key_id",
        "begins": "prefix",
        "made": "created_at",
        "counts until": lambda row: words(row.valid_until) or "it is replaced",
        "last used": lambda row: words(row.last_used_at) or "never",
    }
    print_table(settings.keys, columns, empty="There is no key yet: hubgate integration sms rotate-key …")

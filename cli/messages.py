"""Owns `hubgate message`: messages of which nobody knows whether they left."""

from typing import Annotated

import typer

from cli.client import connect
from cli.errors import CliError, ExitCode
from cli.options import AccountOption, Json, Limit
from cli.output import Cell, print_json, print_message, print_table
from hubgate.policy.v1 import records_pb2 as pb

messages = typer.Typer(no_args_is_help=True, help="Messages of which nobody knows whether they left.")


@messages.command("unknown")
def list_unknown(
    account: AccountOption = "",
    instance: Annotated[str, typer.Option(help="Instance id.")] = "",
    to_settle: Annotated[
        bool, typer.Option("--to-settle", help="Only those that a person may settle now.")
    ] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List messages with an unknown outcome, the oldest first."""
    request = pb.ListUnknownMessagesRequest(account_id=account, instance_id=instance, ripe_only=to_settle)
    rows = connect().rows("ListUnknownMessages", request, "messages", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "message": lambda row: row.message.message_id,
        "account": lambda row: row.message.account_id,
        "instance": lambda row: row.message.instance_id,
        "person": lambda row: row.message.person.phone,
        "why": lambda row: row.message.error_code,
        "since": "unknown_since",
        "looks": "looks",
        "last look": "last_look",
        "settle from": "settle_from",
    }
    print_table(rows, columns, empty="Of every message it is known whether it left.")


@messages.command("settle")
def settle(
    message_id: str,
    sent: Annotated[
        bool | None, typer.Option("--sent/--not-sent", help="What you found out.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="How you found out; kept in the audit log.")] = "",
    json: Json = False,
) -> None:
    """Settle a message that has been unknown for 24 hours. Nothing is sent again by it."""
    if sent is None:
        raise CliError(ExitCode.USAGE, "Say what you found out: --sent or --not-sent.")
    finding = pb.PERSONS_FINDING_SENT if sent else pb.PERSONS_FINDING_NOT_SENT
    request = pb.SettleMessageRequest(message_id=message_id, finding=finding, reason=reason)
    message = connect().call("SettleMessage", request).message
    if json:
        print_json(message)
    else:
        print_message(message)

"""Owns `hubgate integration hours`: when a business is open."""

import json as json_format
import sys
from datetime import UTC
from typing import Annotated, Any

import typer

from cli.client import connect
from cli.errors import CliError, ExitCode
from cli.options import Json
from cli.output import print_fields, print_json, say, words
from hubgate.policy.v1 import business_hours_pb2 as pb

hours = typer.Typer(no_args_is_help=True, help="Business hours: who writes while it is closed is told so.")

_MOST_BYTES = 200_000
"""Far more than the policy core takes; a wrong file is not sent there."""

File = Annotated[str, typer.Option("--file", help="JSON file with the calendar; - reads standard input.")]


@hours.command("set")
def set_hours(integration_id: str, file: File, json: Json = False) -> None:
    """Replace the hours. Chats that arrived before this are not answered any more."""
    request = pb.UpdateBusinessHoursRequest(integration_id=integration_id, calendar_json=_calendar(file))
    _show(integration_id, connect().call("UpdateBusinessHours", request).hours, json=json)


@hours.command("show")
def show_hours(integration_id: str, json: Json = False) -> None:
    """Show the hours, and whether it is open now."""
    request = pb.GetBusinessHoursRequest(integration_id=integration_id)
    _show(integration_id, connect().call("GetBusinessHours", request).hours, json=json)


@hours.command("clear")
def clear_hours(integration_id: str, json: Json = False) -> None:
    """Remove the hours: nobody is told that it is closed."""
    request = pb.UpdateBusinessHoursRequest(integration_id=integration_id)
    _show(integration_id, connect().call("UpdateBusinessHours", request).hours, json=json)


def _calendar(path: str) -> str:
    """What a file holds; an empty one removes nothing by accident. Errors: `CliError`."""
    try:
        if path == "-":
            text = sys.stdin.read(_MOST_BYTES)
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        raise CliError(ExitCode.USAGE, f"--file: {path} cannot be read.") from error
    if len(text) >= _MOST_BYTES:
        raise CliError(ExitCode.USAGE, f"--file: {path} may have at most {_MOST_BYTES} characters.")
    if not text.strip():
        raise CliError(ExitCode.USAGE, f"--file: {path} is empty; hours clear removes the hours.")
    return text


def _show(integration_id: str, found: pb.BusinessHours, *, json: bool) -> None:
    calendar: Any = json_format.loads(found.calendar_json) if found.calendar_json else None
    changes_at = found.changes_at if found.HasField("changes_at") else None
    if json:
        moment = None if changes_at is None else f"{changes_at.ToDatetime(UTC):%Y-%m-%dT%H:%M:%SZ}"
        print_json(
            {
                "integration_id": integration_id,
                "calendar": calendar,
                "is_open": found.is_open,
                "changes_at": moment,
            }
        )
        return
    if calendar is None:
        say(f"{integration_id} has no business hours: nobody is told that it is closed.")
        return
    until = "closes" if found.is_open else "opens"
    print_fields(
        [
            ("integration", integration_id),
            ("open now", found.is_open),
            (until, words(changes_at) or "not within 400 days"),
        ]
    )
    say("")
    print_json(calendar)

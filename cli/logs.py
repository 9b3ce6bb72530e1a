"""Owns `hubgate log`: who was turned away at the door, and what administrators did."""

from typing import Annotated

import typer

from cli.client import connect
from cli.options import AccountOption, Json, Limit
from cli.output import Cell, print_json, print_table
from hubgate.policy.v1 import records_pb2 as pb

logs = typer.Typer(no_args_is_help=True, help="The security log and the audit log.")


@logs.command("security")
def list_refusals(
    target: Annotated[str, typer.Option(help="Integration or instance id, as it was called.")] = "",
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List whom the edge turned away and why, the newest minute first."""
    rows = connect().rows("ListRefusals", pb.ListRefusalsRequest(target=target), "refusals", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "minute": "minute",
        "surface": "surface",
        "target": "target",
        "why": "reason",
        "from": "source_address",
        "times": "count",
    }
    print_table(rows, columns, empty="Nobody was turned away.")


@logs.command("audit")
def list_audit_entries(account: AccountOption = "", limit: Limit = 100, json: Json = False) -> None:
    """List what administrators did, the newest first."""
    request = pb.ListAuditEntriesRequest(account_id=account)
    rows = connect().rows("ListAuditEntries", request, "entries", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "when": "occurred_at",
        "who": "actor",
        "did": "act",
        "to": "target",
        "account": "account_id",
        "what": "detail_json",
    }
    print_table(rows, columns, empty="Nothing was changed yet.")

"""Owns `hubgate deliveries`: events on their way to 3CX and to customers' systems, and those that were given up."""

from typing import Annotated, Any

import typer

from cli.client import Core, connect
from cli.errors import CliError, ExitCode
from cli.options import AccountOption, Json, Limit
from cli.output import Cell, enum_word, print_json, print_message, print_table, say
from cli.values import read_enum
from hubgate.policy.v1 import records_pb2 as pb

deliveries = typer.Typer(
    no_args_is_help=True, help="Events on their way to 3CX and customers' systems: look, replay, discard."
)

_AT_ONCE = 10_000
_GIVEN_UP = (pb.DELIVERY_STATE_FAILED, pb.DELIVERY_STATE_BLOCKED)

IntegrationOption = Annotated[str, typer.Option("--integration", help="Integration id.")]
WebhookOption = Annotated[str, typer.Option("--webhook", help="Customer webhook id.")]
Deliveries = Annotated[list[str] | None, typer.Argument(help="Delivery ids (dlv_…).")]
AllFailed = Annotated[
    bool,
    typer.Option(
        "--all-failed", help="All that failed or were blocked, of the account or destination named."
    ),
]


@deliveries.command("list")
def list_deliveries(
    account: AccountOption = "",
    integration: IntegrationOption = "",
    webhook: WebhookOption = "",
    instance: Annotated[str, typer.Option(help="Instance id.")] = "",
    state: Annotated[str | None, typer.Option(help="pending, sent, failed, blocked or discarded.")] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List deliveries, newest first. Dead letters are those that are failed or blocked."""
    request = pb.ListDeliveriesRequest(
        account_id=account, integration_id=integration, webhook_id=webhook, instance_id=instance
    )
    if state is not None:
        request.state = read_enum("--state", pb.DeliveryState, "DELIVERY_STATE_", state)
    rows = connect().rows("ListDeliveries", request, "deliveries", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "delivery": "delivery_id",
        "event": "event_name",
        "to": lambda row: row.webhook_id or row.integration_id,
        "state": lambda row: enum_word(row, "state"),
        "tries": "attempts",
        "next try": "next_attempt_at",
        "HTTP": lambda row: row.last_http_status or "",
        "made": "created_at",
    }
    print_table(rows, columns, empty="There is no such delivery.")


@deliveries.command("show")
def show_delivery(
    delivery: Annotated[str, typer.Argument(help="Delivery id (dlv_…).")],
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the body as well.")] = False,
    json: Json = False,
) -> None:
    """Show one delivery: its tries, why the last one failed, when the next one comes."""
    request = pb.ListDeliveriesRequest(delivery_id=delivery, reveal=reveal)
    found = connect().rows("ListDeliveries", request, "deliveries", 1)
    if not found:
        raise CliError(ExitCode.REFUSED, f"There is no delivery {delivery!r}.")
    if json:
        print_json(found[0])
    else:
        print_message(found[0])


@deliveries.command("replay")
def replay_deliveries(
    delivery: Deliveries = None,
    all_failed: AllFailed = False,
    account: AccountOption = "",
    integration: IntegrationOption = "",
    webhook: WebhookOption = "",
    json: Json = False,
) -> None:
    """Deliver again what failed, was blocked or was discarded; possible for 30 days."""
    core = connect()
    chosen = _chosen(core, delivery, all_failed, account, integration, webhook)
    requests = [pb.ReplayDeliveryRequest(delivery_id=each) for each in chosen]
    _report(
        [core.call("ReplayDelivery", each).delivery for each in requests],
        "will be delivered again",
        json=json,
    )


@deliveries.command("discard")
def discard_deliveries(
    delivery: Deliveries = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")] = "",
    all_failed: AllFailed = False,
    account: AccountOption = "",
    integration: IntegrationOption = "",
    webhook: WebhookOption = "",
    json: Json = False,
) -> None:
    """Give deliveries up: they are not tried again, and what waits behind them goes on."""
    core = connect()
    chosen = _chosen(core, delivery, all_failed, account, integration, webhook)
    requests = [pb.DiscardDeliveryRequest(delivery_id=each, reason=reason) for each in chosen]
    _report([core.call("DiscardDelivery", each).delivery for each in requests], "was given up", json=json)


def _chosen(
    core: Core, named: list[str] | None, all_failed: bool, account: str, integration: str, webhook: str
) -> list[str]:
    """The ids that were named, or all dead letters of an account or a destination, oldest first."""
    if bool(named) == all_failed:
        raise CliError(ExitCode.USAGE, "Name deliveries, or say --all-failed.")
    if named:
        return named
    if not (account or integration or webhook):
        raise CliError(ExitCode.USAGE, "--all-failed needs --account, --integration or --webhook.")
    found: list[Any] = []
    for state in _GIVEN_UP:
        request = pb.ListDeliveriesRequest(
            account_id=account, integration_id=integration, webhook_id=webhook, state=state
        )
        found += core.rows("ListDeliveries", request, "deliveries", _AT_ONCE)
    return [row.delivery_id for row in sorted(found, key=lambda row: row.created_at.ToNanoseconds())]


def _report(rows: list[Any], what: str, *, json: bool) -> None:
    if json:
        print_json(rows)
        return
    for row in rows:
        say(f"{row.delivery_id} {what}.")
    if not rows:
        say("There is nothing of the kind.")

"""Owns `hubgate webhook`: endpoints of customers' systems that events are posted to."""

from typing import Annotated

import typer

from cli.client import connect
from cli.options import AccountOption, Json, Limit
from cli.output import Cell, print_fields, print_json, print_table, say
from cli.signing import After, rotate
from hubgate.policy.v1 import integrations_pb2 as pb

webhooks = typer.Typer(no_args_is_help=True, help="Customers' systems that are told of events.")


@webhooks.command("create")
def create(
    url: Annotated[str, typer.Argument(help="Where events are posted to.")],
    account: AccountOption,
    event: Annotated[
        list[str] | None, typer.Option(help="Only this event; may be repeated. All, if none is named.")
    ] = None,
    json: Json = False,
) -> None:
    """Make an endpoint. Its signing secret is shown once."""
    webhook = pb.CustomerWebhook(account_id=account, url=url, event_names=event or (), enabled=True)
    made = connect().call("CreateCustomerWebhook", pb.CreateCustomerWebhookRequest(webhook=webhook))
    if json:
        print_json(made)
        return
    print_fields(
        [
            ("webhook", made.webhook.webhook_id),
            ("url", made.webhook.url),
            ("events", list(made.webhook.event_names) or "all"),
            ("signing secret", made.signing_secret),
        ]
    )
    say("The signing secret is shown only now.")


@webhooks.command("delete")
def delete(webhook_id: str, json: Json = False) -> None:
    """Remove an endpoint. What waits for it is not posted any more."""
    connect().call("DeleteCustomerWebhook", pb.DeleteCustomerWebhookRequest(webhook_id=webhook_id))
    if json:
        print_json({"webhook_id": webhook_id})
    else:
        say(f"{webhook_id} is removed.")


@webhooks.command("rotate-signing-secret")
def rotate_signing_secret(webhook_id: str, after: After = "24h", json: Json = False) -> None:
    """Make a new secret that events are signed with later. It is shown once; until then the old one signs."""
    rotate(pb.RotateSigningSecretRequest(webhook_id=webhook_id), after, json=json)


@webhooks.command("list")
def list_webhooks(account: AccountOption = "", limit: Limit = 100, json: Json = False) -> None:
    """List endpoints."""
    request = pb.ListCustomerWebhooksRequest(account_id=account)
    rows = connect().rows("ListCustomerWebhooks", request, "webhooks", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "webhook": "webhook_id",
        "account": "account_id",
        "url": "url",
        "events": lambda row: list(row.event_names) or "all",
        "enabled": "enabled",
        "since": "created_at",
    }
    print_table(rows, columns, empty="No customer's system is told of anything.")

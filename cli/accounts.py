"""Owns `hubgate account`, `api-key` and `service-token`."""

from typing import Annotated, Any

import typer

from cli.client import Core, connect
from cli.errors import CliError, ExitCode
from cli.options import AccountOption, Json, Limit
from cli.output import print_json, print_message, print_table, say
from cli.values import read_enum
from hubgate.policy.v1 import accounts_pb2 as pb

accounts = typer.Typer(no_args_is_help=True, help="Customers.")
api_keys = typer.Typer(no_args_is_help=True, help="Keys of customers' systems.")
service_tokens = typer.Typer(no_args_is_help=True, help="Tokens of internal services.")

_MOST = 100_000

PlanOption = Annotated[str, typer.Option("--plan", help="starter, growth, scale or custom.")]
DailyOption = Annotated[int | None, typer.Option("--daily-limit", help="Messages a day, with plan custom.")]
MonthlyOption = Annotated[
    int | None, typer.Option("--monthly-limit", help="Messages a month, with plan custom.")
]
ThreecxOption = Annotated[
    bool | None, typer.Option("--threecx/--no-threecx", help="Whether the 3CX module is on.")
]


@accounts.command("create")
def create_account(
    name: Annotated[str, typer.Argument(help="Name, also {{business_name}} in templates.")],
    time_zone: Annotated[str, typer.Option(help="IANA time zone of days and months.")] = "UTC",
    plan: PlanOption = "starter",
    daily_limit: DailyOption = None,
    monthly_limit: MonthlyOption = None,
    language: Annotated[str, typer.Option(help="en or ar.")] = "en",
    threecx: ThreecxOption = True,
    json: Json = False,
) -> None:
    """Make an account."""
    wire = pb.Account(
        name=name,
        time_zone=time_zone,
        plan=_plan(plan),
        language=language,
        threecx_module_enabled=bool(threecx),
        daily_limit=daily_limit,
        monthly_limit=monthly_limit,
    )
    made = connect().call("CreateAccount", pb.CreateAccountRequest(account=wire))
    _show(made.account, json=json)


@accounts.command("update")
def update_account(
    account_id: str,
    name: Annotated[str | None, typer.Option(help="Name.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA time zone.")] = None,
    plan: Annotated[str | None, typer.Option(help="starter, growth, scale or custom.")] = None,
    daily_limit: DailyOption = None,
    monthly_limit: MonthlyOption = None,
    language: Annotated[str | None, typer.Option(help="en or ar.")] = None,
    threecx: ThreecxOption = None,
    json: Json = False,
) -> None:
    """Change what is named of an account."""
    values: dict[str, Any] = {
        "name": name,
        "time_zone": time_zone,
        "plan": None if plan is None else _plan(plan),
        "daily_limit": daily_limit,
        "monthly_limit": monthly_limit,
        "language": language,
        "threecx_module_enabled": threecx,
    }
    named = {field: value for field, value in values.items() if value is not None}
    wire = pb.Account(account_id=account_id, **named)
    changed = connect().call("UpdateAccount", pb.UpdateAccountRequest(account=wire, fields=sorted(named)))
    _show(changed.account, json=json)


@accounts.command("list")
def list_accounts(limit: Limit = 100, json: Json = False) -> None:
    """List the accounts."""
    rows = connect().rows("ListAccounts", pb.ListAccountsRequest(), "accounts", limit)
    if json:
        print_json(rows)
        return
    columns = {"account": "account_id", "name": "name", "plan": "plan", "time zone": "time_zone"}
    print_table(rows, columns, empty="There is no account yet: hubgate account create NAME")


@accounts.command("show")
def show_account(account_id: str, json: Json = False) -> None:
    """Show one account."""
    _show(find_account(connect(), account_id), json=json)


@api_keys.command("create")
def create_api_key(
    account: AccountOption,
    name: Annotated[str, typer.Option(help="Name for people.")] = "API key",
    test: Annotated[bool, typer.Option("--test", help="A key that reaches sandbox instances only.")] = False,
    json: Json = False,
) -> None:
    """Make an API key. It is shown once."""
    request = pb.CreateApiKeyRequest(account_id=account, name=name, test=test)
    made = connect().call("CreateApiKey", request)
    if json:
        print_json(made)
        return
    print_message(made.api_key)
    say(f"\nThe key, shown this once: {made.key}")


@api_keys.command("revoke")
def revoke_api_key(api_key_id: str, json: Json = False) -> None:
    """Revoke an API key; holds everywhere within a second."""
    revoked = connect().call("RevokeApiKey", pb.RevokeApiKeyRequest(api_key_id=api_key_id))
    _show(revoked.api_key, json=json)


@api_keys.command("list")
def list_api_keys(account: AccountOption = "", limit: Limit = 100, json: Json = False) -> None:
    """List API keys by their visible beginning."""
    rows = connect().rows("ListApiKeys", pb.ListApiKeysRequest(account_id=account), "api_keys", limit)
    if json:
        print_json(rows)
        return
    columns = {
        "key": "api_key_id",
        "begins with": "prefix",
        "name": "name",
        "account": "account_id",
        "last used": "last_used_at",
        "revoked": "revoked_at",
    }
    print_table(rows, columns, empty="There is no API key.")


@service_tokens.command("create")
def create_service_token(
    name: Annotated[str, typer.Argument(help="Name, as it stands in the policy log.")],
    right: Annotated[
        list[str], typer.Option("--right", help="RPC name, or submit, read, admin, reveal. Repeatable.")
    ],
    account: Annotated[list[str], typer.Option("--account", help="Account id, or * for all. Repeatable.")],
    json: Json = False,
) -> None:
    """Make a token for an internal service. It is shown once."""
    request = pb.CreateServiceTokenRequest(name=name, rights=right, account_ids=account)
    made = connect().call("CreateServiceToken", request)
    if json:
        print_json(made)
        return
    print_message(made.service_token)
    say(f"\nThe token, shown this once: {made.token}")


@service_tokens.command("revoke")
def revoke_service_token(
    token_id: Annotated[str, typer.Argument(help="Id or name.")], json: Json = False
) -> None:
    """Revoke a service token."""
    request = pb.RevokeServiceTokenRequest(token_id=token_id)
    _show(connect().call("RevokeServiceToken", request).service_token, json=json)


@service_tokens.command("list")
def list_service_tokens(limit: Limit = 100, json: Json = False) -> None:
    """List service tokens."""
    rows = connect().rows("ListServiceTokens", pb.ListServiceTokensRequest(), "service_tokens", limit)
    if json:
        print_json(rows)
        return
    columns = {
        "token": "token_id",
        "name": "name",
        "rights": "rights",
        "accounts": "account_ids",
        "last used": "last_used_at",
        "revoked": "revoked_at",
    }
    print_table(rows, columns, empty="There is no service token.")


def find_account(core: Core, account_id: str) -> Any:
    """One account. Errors: `CliError` if there is none."""
    for account in core.rows("ListAccounts", pb.ListAccountsRequest(), "accounts", _MOST):
        if account.account_id == account_id:
            return account
    raise CliError(ExitCode.REFUSED, f"There is no account {account_id!r}.")


def _plan(text: str) -> Any:
    return read_enum("--plan", pb.Plan, "PLAN_", text)


def _show(message: Any, *, json: bool) -> None:
    if json:
        print_json(message)
    else:
        print_message(message)

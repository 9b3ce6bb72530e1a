"""Owns `hubgate edge|policycore|sender serve` and `migrate`.

The services are loaded by name when they are asked for: the command line knows none of them.
"""

import asyncio
import os
import runpy
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Annotated

import typer

from cli.errors import CliError, ExitCode
from cli.options import Json
from cli.output import print_json, say

edge = typer.Typer(no_args_is_help=True, help="The service that terminates webhooks and the send API.")
policycore = typer.Typer(no_args_is_help=True, help="The service that decides.")
sender = typer.Typer(no_args_is_help=True, help="The service that opens connections to the outside.")


@edge.command("serve")
def serve_edge() -> None:
    """Serve until SIGTERM; settings come from HUBGATE_* variables."""
    serve("edge.main")


@policycore.command("serve")
def serve_policycore() -> None:
    """Serve until SIGTERM; settings come from HUBGATE_* variables."""
    serve("policycore.main")


@sender.command("serve")
def serve_sender() -> None:
    """Serve until SIGTERM; settings come from HUBGATE_* variables."""
    serve("sender.main")


@edge.callback()
def _edge() -> None:
    """Keeps `serve` a word of its own."""


@policycore.callback()
def _policycore() -> None:
    """Keeps `serve` a word of its own."""


@sender.callback()
def _sender() -> None:
    """Keeps `serve` a word of its own."""


def serve(module: str) -> None:
    """Runs a service's main module in this process; its exit code is this process's."""
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if there is something to do.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring the database up to date."""
    url = database_url(os.environ)
    module = import_module("policycore.store.migrate")
    newest: str = module.newest()
    before = run_on_database(module.current, url)
    after = before if check else run_on_database(module.upgrade, url)
    if json:
        print_json({"before": before, "revision": after, "newest": newest})
    elif check:
        say(f"The database is at {before or 'nothing'}; this version needs {newest}.")
    else:
        say(
            f"The database is at {after}."
            if before == after
            else f"The database went from {before} to {after}."
        )
    if after != newest:
        raise typer.Exit(ExitCode.PROBLEM)


def database_url(environ: Mapping[str, str]) -> str:
    """The database the environment names. Errors: `CliError`."""
    settings = import_module("policycore.settings")
    try:
        url: str = settings.read_database_url(environ)
    except settings.SettingsError as error:
        raise CliError(ExitCode.USAGE, str(error)) from None
    return url


def run_on_database(work: Callable[[str], Awaitable[str | None]], url: str) -> str | None:
    """Runs a coroutine of the migrations. Errors: `CliError` with the kind of failure, never the URL's password."""

    async def run() -> str | None:
        return await work(url)

    try:
        return asyncio.run(run())
    except Exception as error:
        # Every driver has its own errors; none of them may show the URL.
        if type(error).__module__.partition(".")[0] in {"builtins", "sqlalchemy", "asyncpg", "socket"}:
            raise CliError(
                ExitCode.UNREACHABLE,
                f"The database (HUBGATE_DATABASE_URL) cannot be migrated: {_kind(error)}.",
            ) from error
        raise


def _kind(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    first_line = str(cause).strip().splitlines()[0] if str(cause).strip() else ""
    name = type(cause).__name__
    return f"{name}: {first_line[:200]}".rstrip(". :") if first_line else name

"""Owns `hubgate edge|policycore|sender serve` and `migrate`.

The services are loaded by name when they are asked for: the command line knows none of them.
"""

import os
import runpy
from typing import Annotated

import typer

from cli.errors import ExitCode
from cli.migrations import database_url, newest_revision, run_on_database
from cli.open_files import raise_open_files
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
    raise_open_files()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if there is something to do.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring the database up to date."""
    url = database_url(os.environ)
    newest = newest_revision()
    before = run_on_database("current", url)
    after = before if check else run_on_database("upgrade", url)
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

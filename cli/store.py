"""Owns `hubgate store`: work on a store as a whole, while no service uses it unless a command says so."""

import os
from typing import Annotated

import typer

from cli.migrations import database_url
from cli.options import Json
from cli.output import print_json, print_table, say
from cli.store_work import load, run, shown_progress, store_url

store = typer.Typer(
    no_args_is_help=True, help="The store as a whole: moving it, backing it up, putting it back."
)


@store.callback()
def _store() -> None:
    """Keeps every command a word of its own."""


@store.command("copy")
def copy_store(
    target: Annotated[
        str,
        typer.Option(
            "--to",
            envvar="HUBGATE_STORE_COPY_TO",
            show_envvar=True,
            help="The empty PostgreSQL database, postgresql://user:password@host/database.",
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="The embedded store, sqlite:////path/to/hubgate.db; without it, the data folder's."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Move an embedded installation to an empty PostgreSQL database, and compare. Stop the services first."""
    source_url = store_url("--from", source) if source else database_url(os.environ)
    target_url = store_url("--to", target)
    with shown_progress() as tell:
        copied = run(load("copying").copy(source_url, target_url, tell))
    if json:
        tables = [{"table": each.name, "rows": each.rows, "digest": each.digest} for each in copied.tables]
        print_json({"tables": tables, "replaced": copied.replaced})
        return
    print_table(
        [each for each in copied.tables if each.rows],
        {
            "table": lambda each: each.name,
            "rows": lambda each: each.rows,
            "digest": lambda each: each.digest[:16],
        },
        empty="The store was empty.",
    )
    rows = sum(each.rows for each in copied.tables)
    say(f"Copied {rows} rows of {len(copied.tables)} tables, and found them the same in PostgreSQL.")
    if copied.replaced:
        say(
            f"{copied.replaced} texts held a NUL, which PostgreSQL cannot keep; they now hold U+FFFD in its place."
        )
    say(
        "Start the services with the new HUBGATE_DATABASE_URL and the keys they had. The old store is closed."
    )

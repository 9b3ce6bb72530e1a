"""Owns `hubgate store`: work on a store as a whole, while no service uses it unless a command says so."""

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

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


NothingLost = Annotated[
    bool,
    typer.Option(
        "--nothing-lost", help="The store is as it was last: change nothing but where it may be used."
    ),
]
KeepWindows = Annotated[
    bool,
    typer.Option("--keep-windows", help="Do not close conversation windows: no opt-out can be missing."),
]
NoPause = Annotated[bool, typer.Option("--no-pause", help="Do not pause sending.")]


@store.command("backup")
def back_up(
    file: Annotated[Path, typer.Argument(help="A new file.")],
    json: Json = False,
) -> None:
    """Write a back-up of the embedded store, while the services work. For PostgreSQL see docs/backup.md."""
    with shown_progress() as tell:
        done = run(load("backup").back_up(database_url(os.environ), file.absolute(), datetime.now(UTC), tell))
    if json:
        print_json({"file": str(done.path), "size_bytes": done.size_bytes})
    else:
        say(f"Backed up to {done.path} ({done.size_bytes} bytes). Keep the master key apart from it.")


@store.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `hubgate store backup` made.")],
    nothing_lost: NothingLost = False,
    keep_windows: KeepWindows = False,
    no_pause: NoPause = False,
    json: Json = False,
) -> None:
    """Put a back-up in the place of the embedded store. Stop the services first."""
    fences = _fences(nothing_lost=nothing_lost, keep_windows=keep_windows, no_pause=no_pause)
    work = load("backup").put_back(
        database_url(os.environ), file.absolute(), datetime.now(UTC), fences, secrets.token_bytes
    )
    done = run(work)
    _tell(done.restored, {"replaced": str(done.replaced or "")}, json=json)
    if done.replaced and not json:
        say(f"The store that was there is now {done.replaced}.")


@store.command("restored")
def restored(
    nothing_lost: NothingLost = False,
    keep_windows: KeepWindows = False,
    no_pause: NoPause = False,
    json: Json = False,
) -> None:
    """Make a store safe to use that was put back by other means. Stop the services first."""
    fences = _fences(nothing_lost=nothing_lost, keep_windows=keep_windows, no_pause=no_pause)
    restoring, url = load("restoring"), database_url(os.environ)
    if fences is None:
        run(restoring.declare_moved(url))
        _tell(None, {}, json=json)
    else:
        _tell(run(restoring.declare_restored(url, fences, secrets.token_bytes)), {}, json=json)


def _fences(*, nothing_lost: bool, keep_windows: bool, no_pause: bool) -> Any:
    """What is to be done beside what always is; None if nothing was lost."""
    if nothing_lost:
        return None
    return load("restoring").Fences(close_windows=not keep_windows, pause=not no_pause)


def _tell(done: Any, more: dict[str, Any], *, json: bool) -> None:
    if done is None:
        if json:
            print_json({"nothing_lost": True, **more})
        else:
            say("The store may be used where it is now.")
        return
    if json:
        print_json(
            {
                "messages_unknown": done.messages_unknown,
                "windows_closed": done.windows_closed,
                "events_waiting": done.events_waiting,
                "pause_id": done.pause_id,
                "newest_at": done.newest_at.isoformat() if done.newest_at else None,
                **more,
            }
        )
        return
    say(
        f"The newest thing the store knows happened at {done.newest_at:%Y-%m-%d %H:%M:%S}Z."
        if done.newest_at
        else ""
    )
    say(
        f"{done.messages_unknown} messages may have been sent since and become UNKNOWN; they are not sent again."
    )
    say(f"{done.windows_closed} conversation windows are closed until the person writes again.")
    say(f"{done.events_waiting} events are posted again, under the same delivery ids.")
    if done.pause_id:
        say(f"Sending is paused. Import what is missing, then: hubgate resume {done.pause_id}")

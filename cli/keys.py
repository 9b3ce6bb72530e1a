"""Owns `hubgate key`: making keys, seeing which are in use, and sealing secrets with another master key."""

import os
import secrets
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer

from cli.data_folder import DataFolder, data_folder, new_key, new_permit_key, new_token
from cli.errors import CliError, ExitCode
from cli.layout import public_key
from cli.migrations import database_url
from cli.options import Json
from cli.output import print_json, print_table, say, warn
from cli.store_work import load, run, shown_progress

keys = typer.Typer(
    no_args_is_help=True, help="Keys and tokens of the services themselves, and changing them."
)

_FILES = {
    "HUBGATE_MASTER_KEY": "master.key",
    "HUBGATE_PERMIT_KEY": "permit.key",
    "HUBGATE_EDGE_TOKEN": "edge.token",
    "HUBGATE_ADMIN_TOKEN": "admin.token",
    "HUBGATE_SENDER_TOKEN": "sender.token",
}


@keys.command("new")
def new(kind: Annotated[str, typer.Argument(help="master, permit or token.")], json: Json = False) -> None:
    """Make a key or token. Nothing is stored: it is for you to put where the services read it."""
    made: dict[str, str]
    if kind == "master":
        made = {"HUBGATE_MASTER_KEY": new_key(secrets.token_bytes)}
    elif kind == "permit":
        permit = new_permit_key(secrets.token_bytes)
        made = {"HUBGATE_PERMIT_KEY": permit, "HUBGATE_PERMIT_PUBLIC_KEYS": public_key(permit)}
    elif kind == "token":
        made = {"token": new_token(secrets.token_bytes)}
    else:
        raise CliError(ExitCode.USAGE, "KIND must be master, permit or token.")
    if json:
        print_json(made)
        return
    for name, value in made.items():
        say(f"{name}={value}" if name.isupper() else value)


@keys.command("list")
def list_keys(json: Json = False) -> None:
    """List the ids of the keys in the environment or the data folder, and how many secrets each master key seals."""
    environ = _with_files(os.environ, data_folder(os.environ))
    found = _listed(environ, run(load("resealing").count_by_key(database_url(os.environ))))
    if json:
        print_json(found)
        return
    columns = {name: (lambda row, name=name: row[name]) for name in ("key", "id", "use", "secrets")}
    print_table(found, columns, empty="No key was found; set HUBGATE_DATA or the variables of the services.")


@keys.command("reseal")
def reseal(json: Json = False) -> None:
    """Seal every secret with the first master key; the services may go on working. Safe to interrupt and repeat."""
    environ = _with_files(os.environ, data_folder(os.environ))
    settings = import_module("policycore.settings")
    try:
        master_keys = settings.read_master_keys(environ)
    except settings.SettingsError as error:
        raise CliError(ExitCode.USAGE, str(error)) from None
    with shown_progress() as tell:
        url = database_url(os.environ)
        done = run(load("resealing").reseal(url, master_keys, secrets.token_bytes, tell))
    if json:
        print_json({"resealed": done.resealed, "untouched": done.untouched, "problems": done.problems})
    else:
        say(f"Sealed {done.resealed} secrets with the first master key; {done.untouched} were before.")
        for problem in done.problems:
            warn(f"{problem}.")
    if done.problems:
        raise typer.Exit(ExitCode.PROBLEM)


def _with_files(environ: Mapping[str, str], folder: DataFolder) -> dict[str, str]:
    """The environment, with what the data folder holds where it says nothing."""
    found = dict(environ)
    for name, file in _FILES.items():
        if not found.get(name, "").strip() and (text := folder.read_secret(file)):
            found[name] = text
    return found


def _listed(environ: Mapping[str, str], sealed: Mapping[str, int]) -> list[dict[str, Any]]:
    master: Any = import_module("policycore.registry.sealing").key_id
    token: Any = import_module("policycore.registry.credentials").token_id
    settings: Any = import_module("policycore.settings")
    try:
        given = (
            [master(key) for key in settings.read_master_keys(environ)]
            if environ.get("HUBGATE_MASTER_KEY")
            else []
        )
    except settings.SettingsError as error:
        raise CliError(ExitCode.USAGE, str(error)) from None
    rows = [_row("master", each, place, sealed.get(each, 0)) for place, each in enumerate(given)]
    rows += [
        {"key": "master", "id": each or "unknown", "use": "missing", "secrets": count}
        for each, count in sorted(sealed.items())
        if each not in given
    ]
    permit = environ.get("HUBGATE_PERMIT_KEY", "").partition(":")[0].strip()
    rows += [_row("permit", permit, 0)] if permit else []
    for name in ("edge", "admin", "sender"):
        written = environ.get(f"HUBGATE_{name.upper()}_TOKEN", "")
        parts = [part.strip() for part in written.split(",") if part.strip()]
        rows += [_row(f"{name} token", token(part), place) for place, part in enumerate(parts)]
    return rows


def _row(key: str, key_id: str, place: int, secrets_sealed: int | None = None) -> dict[str, Any]:
    return {"key": key, "id": key_id, "use": "also counts" if place else "current", "secrets": secrets_sealed}

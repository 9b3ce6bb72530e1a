"""Owns `hubgate secrets create`: every secret that an installation begins with, as a file of variables."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cli.data_folder import RandomBytes, new_key, new_permit_key, new_token
from cli.errors import CliError, ExitCode
from cli.layout import public_key
from cli.output import say

secret_commands = typer.Typer(no_args_is_help=True, help="The secrets that an installation begins with.")

_HEADING = """\
# The secrets of this installation, made by `hubgate secrets create`. Keep a copy apart from the database's backups:
# without HUBGATE_MASTER_KEY everything sealed in them is lost. docs/configuration.md describes every variable.
"""


@secret_commands.callback()
def _secret_commands() -> None:
    """Keeps `create` a word of its own."""


@secret_commands.command("create")
def create(
    file: Annotated[
        Path | None,
        typer.Option(help="Where to write them; refused if it is there. Otherwise they are printed."),
    ] = None,
) -> None:
    """Make fresh keys, tokens and a database password, as NAME=VALUE lines for Docker Compose and Kubernetes."""
    made = make_secrets(secrets.token_bytes)
    text = _HEADING + "".join(f"{name}={value}\n" for name, value in made.items())
    if file is None:
        say(text.rstrip("\n"))
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CliError(ExitCode.REFUSED, f"{file} is there already, and is left as it is.") from None
    except OSError as error:
        raise CliError(ExitCode.USAGE, f"{file} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(text)
    say(f"Wrote {len(made)} secrets to {file}, which only you may read. Keep a copy.")


def make_secrets(random_bytes: RandomBytes) -> Mapping[str, str]:
    """Every secret by its variable's name; none has a character that a shell or a URL would read as its own."""
    permit_key = new_permit_key(random_bytes)
    return {
        "POSTGRES_PASSWORD": new_token(random_bytes),
        "HUBGATE_MASTER_KEY": new_key(random_bytes),
        "HUBGATE_PERMIT_KEY": permit_key,
        "HUBGATE_PERMIT_PUBLIC_KEYS": public_key(permit_key),
        "HUBGATE_EDGE_TOKEN": new_token(random_bytes),
        "HUBGATE_ADMIN_TOKEN": new_token(random_bytes),
        "HUBGATE_SENDER_TOKEN": new_token(random_bytes),
    }

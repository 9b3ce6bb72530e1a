"""Owns `hubgate certificates`: the certificates that the services show each other."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.certificate_folder import CertificateFolder, Listed
from cli.errors import CliError, ExitCode
from cli.options import Json
from cli.output import Cell, print_json, print_table, say

SERVICES = ("edge", "policycore", "sender", "admin")

certificates = typer.Typer(
    no_args_is_help=True, help="Certificates for TLS between the services, from an authority of your own."
)

Folder = Annotated[
    Path, typer.Option("--folder", envvar="HUBGATE_CERTIFICATES", help="Where everything is kept.")
]
Names = Annotated[list[str] | None, typer.Argument(help="Whose certificates.", show_default=False)]
Days = Annotated[int, typer.Option(min=1, max=3650, help="How long a certificate counts.")]
Hosts = Annotated[
    list[str] | None, typer.Option("--host", help="NAME=HOST: a further name or address for NAME's.")
]
_DEFAULT = Path("certificates")


@certificates.command("create")
def create(
    names: Names = None,
    folder: Folder = _DEFAULT,
    days: Days = 365,
    host: Hosts = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Leave those that are there as they are.")
    ] = False,
) -> None:
    """Make certificates: for edge, policycore, sender and admin, unless others are named. Replaces nothing."""
    kept = _open(folder)
    wanted = list(dict.fromkeys(names or SERVICES))
    if missing:
        wanted = [name for name in wanted if not kept.has(name)]
    kept.create(wanted, _hosts(host or []), days)
    say(f"Made in {folder}: {', '.join(wanted) or 'nothing, all are there'}.")


@certificates.command("renew")
def renew(names: Names = None, folder: Folder = _DEFAULT, days: Days = 365) -> None:
    """Make new keys and certificates, for the names given or for all, from the newest authority."""
    say(f"Renewed in {folder}: {', '.join(_open(folder).renew(names or [], days)) or 'nothing'}.")


@certificates.command("list")
def list_certificates(
    folder: Folder = _DEFAULT,
    within: Annotated[int, typer.Option(min=0, help="Days: exit code 1 if one ends within them.")] = 30,
    json: Json = False,
) -> None:
    """List certificates and authorities, and when they end."""
    kept = _open(folder)
    rows = kept.listed()
    if json:
        print_json({"certificates": [_plain(row) for row in rows], "authorities": kept.authority_ids()})
    else:
        columns: dict[str, Cell] = {
            "name": lambda row: row.name,
            "id": lambda row: row.id,
            "for": lambda row: ", ".join(row.names),
            "authority": lambda row: row.issuer_id,
            "ends": lambda row: row.not_after.isoformat(),
        }
        print_table(rows, columns, empty=f"There are no certificates in {folder}.")
        say(f"Trusted authorities: {', '.join(kept.authority_ids()) or 'none'}.")
    if any(row.not_after <= _now() + timedelta(days=within) for row in rows):
        raise typer.Exit(ExitCode.PROBLEM)


@certificates.command("add-authority")
def add_authority(folder: Folder = _DEFAULT) -> None:
    """Begin to change the authority: everybody trusts the new one too, and `renew` issues from it."""
    kept = _open(folder)
    if not kept.authority_ids():
        raise CliError(ExitCode.REFUSED, f"{folder} holds no authority yet; begin with `create`.")
    say(f"Added {kept.add_authority()}. Once every service has the new ca.crt: hubgate certificates renew.")


@certificates.command("remove-authority")
def remove_authority(
    authority: Annotated[str, typer.Argument(help="Its id, from `list`.")], folder: Folder = _DEFAULT
) -> None:
    """End the change: nobody trusts the old authority any more."""
    _open(folder).remove_authority(authority)
    say(f"Removed {authority}.")


def _open(folder: Path) -> CertificateFolder:
    return CertificateFolder(folder, _now, secrets.token_bytes)


def _now() -> datetime:
    return datetime.now(UTC)


def _hosts(written: list[str]) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {}
    for each in written:
        name, equals, host = each.partition("=")
        if not equals or not name or not host:
            raise CliError(ExitCode.USAGE, f"--host takes NAME=HOST, and got {each[:64]!r}.")
        hosts.setdefault(name, []).append(host)
    return hosts


def _plain(row: Listed) -> dict[str, Any]:
    return {
        "name": row.name,
        "id": row.id,
        "names": list(row.names),
        "authority": row.issuer_id,
        "not_after": row.not_after.isoformat(),
    }

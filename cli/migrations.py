"""Owns the command line's only way to the database: its migrations, loaded by name when they are asked for."""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from cli.errors import CliError, ExitCode

_EXPECTED = frozenset({"builtins", "sqlalchemy", "asyncpg", "socket", "sqlite3"})
"""Packages whose errors say that a database is not as it should be."""


def newest_revision() -> str:
    """The revision this version of the program needs."""
    return str(import_module("policycore.store.migrate").newest())


def database_url(environ: Mapping[str, str]) -> str:
    """The database the environment names. Errors: `CliError`."""
    settings = import_module("policycore.settings")
    try:
        url: str = settings.read_database_url(environ)
    except settings.SettingsError as error:
        raise CliError(ExitCode.USAGE, str(error)) from None
    return url


def run_on_database(what: str, url: str) -> str | None:
    """Runs `upgrade` or `current`, and returns the revision the database is at.

    Errors: `CliError` with the kind of failure; the URL, which may hold a password, is never in it.
    """
    work: Any = getattr(import_module("policycore.store.migrate"), what)

    async def run() -> str | None:
        revision: str | None = await work(url)
        return revision

    try:
        return asyncio.run(run())
    except Exception as error:
        if not is_expected(error):
            raise
        raise CliError(
            ExitCode.UNREACHABLE,
            f"The database (HUBGATE_DATABASE_URL) cannot be used: {failure_kind(error)}.",
        ) from error


def is_expected(error: BaseException) -> bool:
    """Whether an error says that a database is not as it should be."""
    return type(error).__module__.partition(".")[0] in _EXPECTED


def failure_kind(error: BaseException) -> str:
    """What a database said, in one line, without its URL."""
    cause = getattr(error, "orig", None) or error
    first_line = next(iter(str(cause).strip().splitlines()), "")
    return f"{type(cause).__name__}: {first_line[:200]}".rstrip(". :")

"""Owns how the command line works on a store as a whole: loading what does it, progress, and what failed.

What works on stores is loaded by name when it is asked for: the command line knows no database.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cli.errors import CliError, ExitCode
from cli.migrations import database_url, failure_kind, is_expected

Result = TypeVar("Result")
Tell = Callable[[str, str, int, int], None]
"""Takes what is done, on what, and how much of how much is done."""

_CODES = {
    "StoreRefused": ExitCode.REFUSED,
    "StoreFenced": ExitCode.REFUSED,
    "StoreDiffers": ExitCode.PROBLEM,
}


def load(module: str) -> Any:
    """A module of the store, such as `copying`."""
    return import_module(f"policycore.store.{module}")


def store_url(name: str, written: str) -> str:
    """A store's URL as it was written in an option. Errors: `CliError`."""
    try:
        return database_url({"HUBGATE_DATABASE_URL": written})
    except CliError as error:
        raise CliError(error.code, str(error).replace("HUBGATE_DATABASE_URL", name)) from None


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs the work to its end. Errors: `CliError`; a URL, which may hold a password, is never in it."""
    try:
        return asyncio.run(work)
    except Exception as error:
        code = _CODES.get(type(error).__name__)
        if code is not None:
            raise CliError(code, str(error)) from error
        if not is_expected(error):
            raise
        raise CliError(
            ExitCode.UNREACHABLE, f"The database cannot be used: {failure_kind(error)}."
        ) from error


@contextmanager
def shown_progress() -> Iterator[Tell]:
    """A progress bar on standard error, if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars: dict[tuple[str, str], TaskID] = {}

        def tell(doing: str, subject: str, done: int, whole: int) -> None:
            bar = bars.get((doing, subject))
            if bar is None:
                bar = bars[doing, subject] = progress.add_task(f"{doing} {subject}", total=whole)
            progress.update(bar, completed=done)

        yield tell

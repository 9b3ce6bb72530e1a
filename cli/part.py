"""Owns the life of one service under `hubgate up`: it runs the service, and never outlives who started it.

Started as `python -m cli.part MODULE PARENT_PID [migrate] [hold]`. With `migrate` the database is brought up
to date first, in the process that needs what that loads anyway. With `hold` the service is loaded, and runs
as soon as a line arrives on standard input.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
import time
import warnings
from importlib import import_module

from cli.errors import CliError, ExitCode
from cli.migrations import database_url, run_on_database
from cli.open_files import raise_open_files

_PR_SET_PDEATHSIG = 1
_WATCH_SECONDS = 1.0


def main(arguments: list[str]) -> None:
    """Binds this process's life to its parent's, then becomes the service."""
    module, parent = arguments[0], int(arguments[1])
    if sys.platform == "linux":
        # prctl(2): the kernel sends this signal when the thread that started us ends, however it ends.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        sys.exit(1)
    if "migrate" in arguments[2:]:
        _migrate()
    if "hold" in arguments[2:]:
        import_module(module)
        # The main module was loaded above only so that this takes no time once the line is there.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")
        sys.stdin.readline()
    raise_open_files()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _migrate() -> None:
    """Errors: exit code 2 for a wrong HUBGATE_DATABASE_URL, 1 for a database that cannot be migrated now."""
    try:
        run_on_database("upgrade", database_url(os.environ))
    except CliError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.code if error.code == ExitCode.USAGE else ExitCode.PROBLEM)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])

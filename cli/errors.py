"""Owns the command line's errors and exit codes; see `docs/command-line.md`."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script may rely on."""

    DONE = 0
    PROBLEM = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4


class CliError(Exception):
    """An expected failure: one sentence for people, and an exit code for scripts."""

    def __init__(self, code: ExitCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code

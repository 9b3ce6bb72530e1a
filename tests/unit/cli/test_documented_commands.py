"""`docs/command-line.md` describes every command and every exit code."""

import re
from pathlib import Path
from typing import Any

import typer

from cli.errors import ExitCode
from cli.main import build_app

TEXT = (Path(__file__).resolve().parents[3] / "docs/command-line.md").read_text("utf-8")


def test_every_command_is_described() -> None:
    group: Any = typer.main.get_command(build_app())
    assert len(group.commands) > 10
    for name, command in group.commands.items():
        assert re.search(rf"`{name}\b", TEXT), name
        for below in getattr(command, "commands", {}):
            assert re.search(rf"\b{below}\b", TEXT), (name, below)


def test_every_exit_code_is_described() -> None:
    for code in ExitCode:
        assert f"\n| {int(code)} | " in TEXT

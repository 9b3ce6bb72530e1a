"""`docs/configuration.md` and `docs/command-line.md` say all there is, and nothing that is not."""

import re
from pathlib import Path
from typing import Any

import typer

from cli.main import build_app

ROOT = Path(__file__).resolve().parents[3]
_NAME = re.compile(r"HUBGATE_[A-Z][A-Z_]*[A-Z]")


def _in_code() -> set[str]:
    found: set[str] = set()
    for package in ("edge", "policycore", "sender", "cli"):
        for path in (ROOT / package).rglob("*.py"):
            found |= set(_NAME.findall(path.read_text("utf-8")))
    return found


def test_every_variable_is_in_the_table_once() -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    rows = re.findall(r"^\| `(HUBGATE_[A-Z_]+)` \| ([EPSCU ]+) \|", text, re.MULTILINE)
    names = [name for name, _ in rows]
    assert sorted(names) == sorted(set(names))
    assert set(names) == _in_code()


def test_every_command_is_described() -> None:
    text = (ROOT / "docs/command-line.md").read_text("utf-8")
    group: Any = typer.main.get_command(build_app())
    for name in group.commands:
        assert re.search(rf"`{name}\b", text), name

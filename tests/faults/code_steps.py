"""Owns the list of steps at which a process can be killed: read from the calls in the services' own code."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("edge", "policycore", "sender")


class StepError(ValueError):
    """A call that names no step, or one that another call names too."""


def steps_of(root: Path = ROOT) -> dict[str, tuple[str, ...]]:
    """The steps of each service, in alphabetical order. Raises StepError."""
    found: dict[str, tuple[str, ...]] = {}
    for service in SERVICES:
        names: list[str] = []
        for path in sorted((root / service).rglob("*.py")):
            for place, name in _named_in(path):
                if name in names:
                    raise StepError(f"{place}: the step {name} is passed in another place, too")
                names.append(name)
        found[service] = tuple(sorted(names))
    return found


def _named_in(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and _is_passed(node.func):
            place = f"{path.name}:{node.lineno}"
            match node.args:
                case [ast.Constant(value=str(name))] if not node.keywords:
                    yield place, name
                case _:
                    raise StepError(f"{place}: a step is named by one literal")


def _is_passed(called: ast.expr) -> bool:
    return (
        isinstance(called, ast.Attribute)
        and called.attr == "passed"
        and isinstance(called.value, ast.Name)
        and called.value.id == "steps"
    )

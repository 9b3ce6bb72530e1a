"""Pure files ask nobody for the time, open nothing, print nothing; their imports are import-linter's part."""

import ast
import pathlib
import tomllib

_CONTRACT = "pure files stay pure"
# Reading a package's own data files (`importlib.resources`, read_text) is allowed: they are part of the code.
_IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input", "write_text", "urlopen"}


def _pure_files(repository: pathlib.Path) -> list[pathlib.Path]:
    settings = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))
    (contract,) = (
        entry for entry in settings["tool"]["importlinter"]["contracts"] if entry["name"] == _CONTRACT
    )
    files: list[pathlib.Path] = []
    for module in contract["source_modules"]:
        path = repository.joinpath(*module.split("."))
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return files


def test_pure_files_touch_nothing_but_their_arguments(repository: pathlib.Path) -> None:
    files = _pure_files(repository)
    assert len(files) > 10
    impure = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in _IMPURE_CALLS:
                    impure.append(f"{path.relative_to(repository)}:{node.lineno} {name}()")
    assert impure == []

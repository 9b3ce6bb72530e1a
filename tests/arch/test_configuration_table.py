"""Every variable the product reads is documented, and every documented variable is read."""

import pathlib
import re

_VARIABLE = re.compile(r"\bHUBGATE_[A-Z0-9_]*[A-Z0-9]\b")
_READERS = ("certificates", "edge", "policycore", "sender", "cli", "bench")
_OTHER_READERS = (
    "Makefile",
    "docker-compose.yml",
    "Dockerfile",
    "deploy/proxy/haproxy.cfg",
    "deploy/proxy/run",
)


def _names(text: str) -> set[str]:
    return set(_VARIABLE.findall(text))


def _read_variables(python_files: list[pathlib.Path], repository: pathlib.Path) -> set[str]:
    files = [path for path in python_files if path.relative_to(repository).parts[0] in _READERS] + [
        repository / name for name in _OTHER_READERS
    ]
    return set().union(*(_names(path.read_text("utf-8")) for path in files))


def test_the_table_of_variables_is_complete(
    python_files: list[pathlib.Path], repository: pathlib.Path
) -> None:
    documented = _names((repository / "docs" / "configuration.md").read_text("utf-8"))
    assert _read_variables(python_files, repository) == documented

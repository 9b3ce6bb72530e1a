"""Owns what the tests of the house rules look at: the files of this repository, committed or about to be."""

import pathlib
import subprocess

import pytest

_REPOSITORY = pathlib.Path(__file__).parents[2]
_TEXT_SUFFIXES = {".py", ".pyi", ".proto", ".js", ".css", ".html", ".md", ".toml", ".yaml", ".yml", ".json"}


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """The root of the repository."""
    return _REPOSITORY


@pytest.fixture(scope="session")
def all_files() -> list[pathlib.Path]:
    """Every file that git tracks or would add, absolute."""
    done = subprocess.run(
        # A clone that belongs to another user (a build server's) is read all the same.
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in done.stdout.split("\0") if name]
    assert names
    return [path for path in (_REPOSITORY / name for name in names) if path.is_file()]


@pytest.fixture(scope="session")
def written_files(all_files: list[pathlib.Path]) -> list[pathlib.Path]:
    """The text files that people write: nothing generated, pinned or vendored."""
    machine_made = {_REPOSITORY / "proto" / "gen", _REPOSITORY / "requirements"}
    return [
        path
        for path in all_files
        if (path.suffix in _TEXT_SUFFIXES or path.suffix == "")
        and not machine_made & set(path.parents)
        and "vendor" not in path.parts
    ]


@pytest.fixture(scope="session")
def python_files(written_files: list[pathlib.Path]) -> list[pathlib.Path]:
    """The Python files that people write."""
    return [path for path in written_files if path.suffix == ".py"]

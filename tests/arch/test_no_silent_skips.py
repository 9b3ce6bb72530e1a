"""A skipped test turns a CI run red, and unit tests cannot reach the network: shown on runs of their own."""

import os
import pathlib
import subprocess
import sys

import pytest

_SKIPPING = "from pytest import skip\n\ndef test_absent_server():\n    skip('no server')\n"
_SKIPPED_FILE = "from pytest import skip\n\nskip('no server', allow_module_level=True)\n"
_CONNECTING = "import socket\n\ndef test_connects():\n    socket.create_connection(('127.0.0.1', 9), 1)\n"


def _run(test: str, folder: pathlib.Path, plugin: str, *, ci: bool) -> subprocess.CompletedProcess[str]:
    """Runs one test file under one of our conftests, as a plugin, outside the repository."""
    (folder / "test_one.py").write_text(test)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["PYTHONPATH"] = str(pathlib.Path(__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", plugin, "-p", "no:cacheprovider", "test_one.py"],
        cwd=folder,
        env=environment | ({"CI": "true"} if ci else {}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("test", [_SKIPPING, _SKIPPED_FILE])
def test_a_skip_fails_under_ci(test: str, tmp_path: pathlib.Path) -> None:
    done = _run(test, tmp_path, "conftest", ci=True)
    assert done.returncode not in (0, 5)
    assert "counts as a failure" in done.stdout


def test_a_skip_is_shown_elsewhere(tmp_path: pathlib.Path) -> None:
    done = _run(_SKIPPING, tmp_path, "conftest", ci=False)
    assert done.returncode == 0
    assert "1 skipped" in done.stdout


def test_a_unit_test_cannot_connect(tmp_path: pathlib.Path) -> None:
    done = _run(_CONNECTING, tmp_path, "unit.conftest", ci=False)
    assert done.returncode == 1
    assert "SocketBlockedError" in done.stdout

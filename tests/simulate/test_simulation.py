"""A few hundred histories keep every promise, and a seed is all it takes to see one again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulate.history import run_history

_HISTORIES = 400
_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = (
    "from simulate.history import run_history; print([run_history(seed).fingerprint for seed in range(40)])"
)


@pytest.mark.usefixtures("quiet")
def test_histories_keep_every_promise() -> None:
    outcomes = [run_history(seed) for seed in range(1, _HISTORIES + 1)]
    assert [outcome for outcome in outcomes if outcome.violations] == []
    # Histories in which nothing happens would keep every promise as well.
    assert sum(outcome.taken for outcome in outcomes) > _HISTORIES
    assert sum(outcome.kills for outcome in outcomes) > _HISTORIES / 3


@pytest.mark.usefixtures("quiet")
def test_the_same_seed_gives_the_same_history_in_another_process() -> None:
    """Whatever the order in which that process keeps its sets."""
    paths = os.pathsep.join(str(_ROOT / each) for each in ("", "proto/gen", "tests"))
    told = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    here = [run_history(seed).fingerprint for seed in range(40)]
    assert told.stdout.splitlines()[-1] == str(here)
    assert len(set(here)) > len(here) / 2

"""A service asks for as many open files as it may have: shown in a process of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_RAISES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
from cli.open_files import raise_open_files
print(raise_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))
print(raise_open_files())
"""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RAISES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["128", "128", "128", "128"]

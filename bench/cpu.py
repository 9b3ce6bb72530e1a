"""Reads from /proc how much processor time processes and all their children have used."""

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def processor_seconds(roots: dict[str, int]) -> dict[str, float]:
    """User and system seconds so far of each named process and its descendants, those that ended included."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(folder.name)
        parents[pid] = int(words[1])
        # Fields 14 to 17 of proc_pid_stat(5): own user and system time, and that of children that were waited for.
        seconds[pid] = sum(int(word) for word in words[11:15]) / _TICK
    names = {pid: name for name, pid in roots.items()}
    found = dict.fromkeys(roots, 0.0)
    for pid, used in seconds.items():
        name = _root_of(pid, parents, names)
        if name is not None:
            found[name] += used
    return found


def _root_of(pid: int, parents: dict[int, int], names: dict[int, str]) -> str | None:
    while pid > 1:
        if pid in names:
            return names[pid]
        pid = parents.get(pid, 0)
    return None

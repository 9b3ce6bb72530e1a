"""`python -m simulate`: runs histories, shows how far it is, writes the report; exit code 1 if a promise was broken."""

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests"), str(_ROOT / "proto/gen")]

from simulate.batches import outcomes  # noqa: E402 - after the paths that the rest is found through
from simulate.history import Outcome  # noqa: E402

REPORT = _ROOT / "reports" / "simulate.json"
RECORD = _ROOT / "docs" / "simulation-runs.md"
_SHOWN = 20
_PROGRESS_SECONDS = 1.0


@dataclass(slots=True)
class Tally:
    """What came of the histories so far."""

    seed: int
    histories: int = 0
    requests: int = 0
    taken: int = 0
    kills: int = 0
    violations: int = 0
    by_promise: Counter[str] = field(default_factory=Counter)
    broken: list[int] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Counts one history."""
        self.histories += 1
        self.requests += outcome.requests
        self.taken += outcome.taken
        self.kills += outcome.kills
        self.violations += len(outcome.violations)
        self.by_promise.update(each.promise for each in outcome.violations)
        if outcome.violations:
            self.broken.append(outcome.seed)


def show(outcome: Outcome) -> None:
    """Prints what broke in a history, and how to see it again."""
    for violation in outcome.violations:
        print(f"{violation.promise}: {violation.what}")
    print(f"    again: make simulate SEED={outcome.seed} HISTORIES=1", flush=True)


def write_report(tally: Tally) -> None:
    """Writes the report."""
    REPORT.parent.mkdir(exist_ok=True)
    report = {
        "histories": tally.histories,
        "violations": tally.violations,
        "seed": tally.seed,
        "promises": dict(sorted(tally.by_promise.items())),
        "seeds_of_violations": sorted(tally.broken),
        "requests": tally.requests,
        "messages_taken": tally.taken,
        "kills": tally.kills,
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


_RECORD_HEAD = """
| Seeds | Histories | Requests | Messages taken | Policy cores killed | Violations | Version | Day |
|---|---|---|---|---|---|---|---|
"""
_RECORD_ROW = re.compile(r"^\| (\d+)–(\d+) \| ([\d,]+) \|.*\| (\d+) \| \S+ \| \S+ \|$", re.MULTILINE)


def record(tally: Tally, today: str) -> str:
    """Adds a row for this run to the runs on record; returns a sentence about all of them.

    Raises ValueError if a run on record has some of these seeds: a history that is run twice counts once.
    """
    text = RECORD.read_text("utf-8")
    first, last = tally.seed, tally.seed + tally.histories - 1
    runs = [(int(row[1]), int(row[2])) for row in _RECORD_ROW.finditer(text)]
    for known_first, known_last in runs:
        if first <= known_last and known_first <= last:
            raise ValueError(f"Seeds {known_first} to {known_last} are on record already.")
    head = "" if runs else _RECORD_HEAD
    row = (
        f"| {first}–{last} | {tally.histories:,} | {tally.requests:,} | {tally.taken:,} | {tally.kills:,} "
        f"| {tally.violations} | {_version()} | {today} |"
    )
    RECORD.write_text(f"{text.rstrip()}\n{head}{row}\n", encoding="utf-8")
    in_all = sum(last - first + 1 for first, last in runs) + tally.histories
    return f"recorded in {RECORD.relative_to(_ROOT)}: {in_all:,} histories in all"


def _version() -> str:
    """The commit that this is, with a plus if files differ from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def run(seed: int, count: int, processes: int) -> Tally:
    """Runs the histories and shows them."""
    tally = Tally(seed)
    began, shown_at = time.monotonic(), 0.0
    live = sys.stderr.isatty()
    for outcome in outcomes(seed, count, processes):
        tally.add(outcome)
        if outcome.violations and len(tally.broken) <= _SHOWN:
            show(outcome)
        now = time.monotonic()
        if live and now - shown_at > _PROGRESS_SECONDS:
            shown_at = now
            pace = tally.histories / max(now - began, 0.001) * 60
            line = f"{tally.histories:,} of {count:,} histories, {pace:,.0f} a minute, {len(tally.broken)} broken"
            print(f"\r{line} ", end="", file=sys.stderr, flush=True)
    if live:
        print(file=sys.stderr)
    seconds = time.monotonic() - began
    print(
        f"{tally.histories:,} histories in {seconds:.1f} s: {tally.requests:,} requests, {tally.taken:,} messages "
        f"taken, {tally.kills:,} policy cores killed, {tally.violations} violations"
    )
    return tally


def main() -> int:
    """Runs; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m simulate", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=1, help="of the first history; the next one's is one higher"
    )
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--record", action="store_true", help=f"add the run to {RECORD.relative_to(_ROOT)}")
    arguments = parser.parse_args()
    tally = run(arguments.seed, arguments.histories, max(1, arguments.processes))
    write_report(tally)
    print(f"written to {REPORT.relative_to(_ROOT)}")
    if arguments.record:
        try:
            print(record(tally, datetime.now(UTC).date().isoformat()))
        except ValueError as already:
            print(f"not recorded: {already}", file=sys.stderr)
            return 1
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())

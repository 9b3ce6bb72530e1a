"""`python -m simulate`: runs histories, shows how far it is, writes the report; exit code 1 if a promise was broken."""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests"), str(_ROOT / "proto/gen")]

from simulate.batches import outcomes  # noqa: E402 - after the paths that the rest is found through
from simulate.history import Outcome  # noqa: E402

REPORT = _ROOT / "reports" / "simulate.json"
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
    arguments = parser.parse_args()
    tally = run(arguments.seed, arguments.histories, max(1, arguments.processes))
    write_report(tally)
    print(f"written to {REPORT.relative_to(_ROOT)}")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())

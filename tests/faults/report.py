"""The table of a run, its report in `reports/faults.json`, and the part of `docs/faults.md` that adds runs up."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.code_steps import ROOT
from faults.rounds import Pass, Played

REPORT = ROOT / "reports" / "faults.json"
DOCUMENT = ROOT / "docs" / "faults.md"
PROMISES = tuple(f"G{number}" for number in range(1, 9))
_BEGIN, _END = "<!-- results: written by --record -->", "<!-- end of results -->"
_TOTALS = "<!-- totals "


@dataclass(slots=True)
class Tally:
    """What a run came to."""

    seed: int
    played: list[Played] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    kills_anywhere: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)

    def add(self, done: Pass) -> None:
        """Counts one pass."""
        self.played.extend(done.played)
        self.kills.update(done.kills)
        self.kills_anywhere.update(done.kills_anywhere)
        self.unexpected.extend(done.unexpected)

    @property
    def broken(self) -> bool:
        """Whether anything was not as it must be."""
        return bool(self.unexpected) or any(played.violations for played in self.played)


def summary(tally: Tally) -> dict[str, Any]:
    """The report."""
    checks: Counter[str] = Counter()
    violations: Counter[str] = Counter()
    faults: dict[str, dict[str, Any]] = {}
    for played in tally.played:
        checks.update(played.checks)
        violations.update(each.promise for each in played.violations)
        row = faults.setdefault(
            played.fault, {"runs": 0, "requests": 0, "accepted": 0, "checks": {}, "violations": {}}
        )
        row["runs"] += 1
        row["requests"] += played.requests
        row["accepted"] += played.accepted
        for promise in PROMISES:
            row["checks"][promise] = row["checks"].get(promise, 0) + played.checks[promise]
            found = sum(each.promise == promise for each in played.violations)
            row["violations"][promise] = row["violations"].get(promise, 0) + found
    return {
        "seed": tally.seed,
        "runs": len(tally.played),
        "kills": sum(tally.kills.values()) + sum(tally.kills_anywhere.values()),
        "promises": {
            promise: {"checks": checks[promise], "violations": violations[promise]} for promise in PROMISES
        },
        "faults": [{"fault": name, **row} for name, row in faults.items()],
        "kills_at_steps": dict(sorted(tally.kills.items())),
        "kills_anywhere": dict(sorted(tally.kills_anywhere.items())),
        "unexpected": tally.unexpected,
    }


def write(report: dict[str, Any]) -> None:
    """Writes the report."""
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def table(faults: list[dict[str, Any]]) -> str:
    """Fault × promise × runs × violations, as Markdown; `·` where nothing was looked at."""
    head = ["fault", "runs", "answered 2xx", *PROMISES]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in faults:
        cells = [str(row["violations"][promise]) if row["checks"][promise] else "·" for promise in PROMISES]
        lines.append("| " + " | ".join([row["fault"], str(row["runs"]), str(row["accepted"]), *cells]) + " |")
    return "\n".join(lines)


def record(report: dict[str, Any], document: Path = DOCUMENT) -> None:
    """Adds a run to the totals in the document. The totals themselves are kept in it, as a comment."""
    text = document.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    inside, _, after = rest.partition(_END)
    totals = added(_totals_in(inside), report)
    written = f"{_BEGIN}\n{_shown(totals)}\n{_TOTALS}{json.dumps(totals, sort_keys=True)} -->\n{_END}"
    document.write_text(before + written + after, encoding="utf-8")


def added(totals: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """Totals with one more run in them."""
    faults = {row["fault"]: row for row in totals.get("faults", [])}
    for row in report["faults"]:
        known = faults.setdefault(
            row["fault"], {"fault": row["fault"], "runs": 0, "requests": 0, "accepted": 0}
        )
        for name in ("runs", "requests", "accepted"):
            known[name] += row[name]
        for name in ("checks", "violations"):
            known[name] = dict(Counter(known.get(name, {})) + Counter(row[name]))
            known[name] = {promise: known[name].get(promise, 0) for promise in PROMISES}
    steps = Counter(totals.get("kills_at_steps", {})) + Counter(report["kills_at_steps"])
    anywhere = Counter(totals.get("kills_anywhere", {})) + Counter(report["kills_anywhere"])
    return {
        "recorded": totals.get("recorded", 0) + 1,
        "kills": totals.get("kills", 0) + report["kills"],
        "unexpected": totals.get("unexpected", 0) + len(report["unexpected"]),
        "faults": list(faults.values()),
        "kills_at_steps": dict(sorted(steps.items())),
        "kills_anywhere": dict(sorted(anywhere.items())),
    }


def _totals_in(inside: str) -> dict[str, Any]:
    _, found, rest = inside.partition(_TOTALS)
    if not found:
        return {}
    totals: dict[str, Any] = json.loads(rest.partition(" -->")[0])
    return totals


def _shown(totals: dict[str, Any]) -> str:
    broken = sum(sum(row["violations"].values()) for row in totals["faults"])
    looked = sum(sum(row["checks"].values()) for row in totals["faults"])
    rounds = sum(row["runs"] for row in totals["faults"])
    steps = [f"| `{name}` | {count:,} |" for name, count in totals["kills_at_steps"].items()]
    steps += [f"| {name}, anywhere | {count:,} |" for name, count in totals["kills_anywhere"].items()]
    sums = f"{totals['recorded']} recorded runs, {rounds:,} rounds: **{totals['kills']:,} kills**, {looked:,} checks, "
    sums += f"**{broken} violations**, {totals['unexpected']} things that went otherwise than they should."
    return "\n".join(
        [
            sums,
            "",
            table(totals["faults"]),
            "",
            "| killed at | times |",
            "|---|---|",
            *steps,
            "",
        ]
    )

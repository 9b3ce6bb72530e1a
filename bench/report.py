"""Shows what was measured: a table for people, `bench/results/latest.json` for programs."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.rows import ROWS, Measured, Round, Row

RESULTS = Path(__file__).parent / "results" / "latest.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
_BEGIN = "<!-- bench:begin -->"
_END = "<!-- bench:end -->"


@dataclass(frozen=True, slots=True)
class Line:
    """One row over all rounds. `met` is None where there is no target and nothing went wrong."""

    row: Row
    low: float
    median: float
    high: float
    met: bool | None


def lines(rounds: Sequence[Round]) -> list[Line]:
    """Every row whose drives were run; one error in a drive fails all rows that rest on it."""
    found = []
    for row in ROWS:
        if not rounds[0].keys() >= set(row.drives):
            continue
        values = [row.value(each) for each in rounds]
        median = statistics.median(values)
        met = None if row.target is None else row.target.met(median)
        if any(each[drive].result.errors for each in rounds for drive in row.drives):
            met = False
        found.append(Line(row, min(values), median, max(values), met))
    return found


def errors(rounds: Sequence[Round]) -> list[str]:
    """What went wrong, a few examples of each drive."""
    found = []
    for number, each in enumerate(rounds, 1):
        for name, measured in each.items():
            if measured.result.errors:
                found.append(
                    f"round {number}, {name}: {measured.result.errors} of {measured.result.checked} wrong"
                )
                found.extend(f"    {example}" for example in measured.result.examples)
    return found


def checked(rounds: Sequence[Round]) -> int:
    """How many answers were checked, warm-up included."""
    return sum(measured.result.checked for each in rounds for measured in each.values())


def show(found: Sequence[Line], rounds: Sequence[Round]) -> None:
    """Prints the table."""
    table = Table(title=f"{machine()}; medians of {len(rounds)} interleaved rounds")
    for name in ("", "unit", "min", "median", "max", "target", "met"):
        table.add_column(name, justify="left" if name in ("", "unit") else "right")
    for line in found:
        met = "" if line.met is None else "yes" if line.met else "NO"
        target = str(line.row.target) if line.row.target else ""
        numbers = (_short(value) for value in (line.low, line.median, line.high))
        table.add_row(line.row.says, line.row.unit, *numbers, target, met)
    console = Console(width=110, highlight=False)
    console.print(table)
    for text in errors(rounds):
        console.print(text, markup=False)
    console.print(f"{checked(rounds):,} answers checked one by one, here and at the stand-in instance.")


def write(found: Sequence[Line], rounds: Sequence[Round], path: Path = RESULTS) -> None:
    """Writes the rows as JSON; a row without a target counts as met unless an answer was wrong."""
    rows: list[dict[str, Any]] = [
        {
            "name": line.row.name,
            "value": round(line.median, 3),
            "unit": line.row.unit,
            "target": line.row.target.value if line.row.target else None,
            "met": line.met is not False,
            "min": round(line.low, 3),
            "max": round(line.high, 3),
        }
        for line in found
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "rounds": len(rounds), "rows": rows}, indent=2) + "\n")


def record(found: Sequence[Line], rounds: Sequence[Round], path: Path = DOCUMENT) -> None:
    """Puts the table into the document, between its two marks."""
    rows = ["| | unit | min | median | max | target | met |", "|---|---|---|---|---|---|---|"]
    for line in found:
        met = "" if line.met is None else "yes" if line.met else "no"
        numbers = " | ".join(_short(value) for value in (line.low, line.median, line.high))
        target = str(line.row.target) if line.row.target else ""
        rows.append(f"| {line.row.says.strip()} | {line.row.unit} | {numbers} | {target} | {met} |")
    counted = f"{checked(rounds):,} answers checked, {_wrong(rounds)} wrong"
    says = f"{machine()}; medians of {len(rounds)} interleaved rounds; {counted}."
    before, _, rest = path.read_text("utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    table = "\n".join(rows)
    path.write_text(f"{before}{_BEGIN}\n{says}\n\n{table}\n{_END}{after}", "utf-8")


def _wrong(rounds: Sequence[Round]) -> int:
    return sum(measured.result.errors for each in rounds for measured in each.values())


def machine() -> str:
    """The machine in one line."""
    model = platform.machine()
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            model = text.partition(":")[2].strip()
            break
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} × {model}, {gigabytes:.0f} GB, CPython {platform.python_version()}"


def progress(number: int, of: int, name: str, measured: Measured) -> None:
    """One line for each drive, while it goes on."""
    result = measured.result
    cpu = " ".join(f"{process} {used:.0f}" for process, used in measured.cpu.items())
    print(
        f"round {number}/{of} {name:<11} {measured.rate:6,.0f}/s  p50 {result.p50_ms:5.1f} ms  "
        f"p99 {result.p99_ms:5.1f} ms  errors {result.errors}  CPU µs: {cpu}",
        flush=True,
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"

"""Shows how the product grows: tables for people, `bench/results/growth.json` for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.growth.curves import CURVES
from bench.growth.deciding import Point
from bench.growth.replicas import Replicas
from bench.growth.run import Growth
from bench.growth.searching import Looked
from bench.report import machine

RESULTS = Path(__file__).parents[1] / "results" / "growth.json"
DOCUMENT = Path(__file__).parents[2] / "docs" / "scaling.md"
FLAT = 1.20
"""A decision at the largest size takes at most so many times what it takes at the smallest."""

SEARCH_MS = 50.0
_BEGIN = "<!-- growth:begin -->"
_END = "<!-- growth:end -->"


def tables(found: Growth) -> str:
    """Everything as Markdown."""
    parts = [f"{machine()}."]
    if found.points:
        parts.append(_curves(found.points))
    if found.reading_ms:
        parts.append(_reading(found.reading_ms))
    if found.looked:
        parts.append(_searches(found.looked))
        parts.append(
            f"A row of the policy log takes {found.row_bytes:,.0f} bytes of disk, its indexes included."
        )
    if found.replicas is not None:
        parts.append(_replicas(found.replicas))
    return "\n\n".join(parts)


def missed(found: Growth) -> list[str]:
    """What did not keep its promise; for timing that may be the machine's doing."""
    said = []
    for name, points in found.points.items():
        if points[-1].cpu_ratio > FLAT:
            said.append(
                f"{name}: a decision costs {points[-1].cpu_ratio:.2f} times as much at {points[-1].size:,}"
            )
    said += [f"{each.says}: {each.median_ms:.1f} ms" for each in found.looked if each.median_ms > SEARCH_MS]
    said += [f"{each.says}: {', '.join(each.whole)} in its plan" for each in found.looked if each.whole]
    if found.replicas is not None and found.replicas.wrong:
        said.append(f"replicas: {found.replicas.wrong} answers were wrong")
    return said


def write(found: Growth, path: Path = RESULTS) -> None:
    """Writes everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = {"machine": machine(), **asdict(found), "missed": missed(found)}
    path.write_text(json.dumps(words, indent=2) + "\n")


def record(found: Growth, path: Path = DOCUMENT) -> None:
    """Puts the tables into the document, between its two marks."""
    before, _, rest = path.read_text("utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    path.write_text(f"{before}{_BEGIN}\n{tables(found)}\n{_END}{after}", "utf-8")


def _curves(points: dict[str, list[Point]]) -> str:
    says = {curve.name: curve.says for curve in CURVES}
    lines = [
        "| A decision, while this grows | size | time, µs | of the smallest | processor time, µs | of the smallest |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in points.items():
        for place, point in enumerate(each):
            numbers = (
                f"{point.wall_us:,.0f} | {point.wall_ratio:.2f} | {point.cpu_us:,.0f} | {point.cpu_ratio:.2f}"
            )
            lines.append(f"| {says[name] if place == 0 else ''} | {point.size:,} | {numbers} |")
    return "\n".join(lines)


def _reading(found: Mapping[int, float]) -> str:
    cells = " | ".join(f"{took:.1f}" for took in found.values())
    return "\n".join(
        (
            f"| Integrations | {' | '.join(f'{size:,}' for size in found)} |",
            "|---|" + "---|" * len(found),
            f"| reading the whole configuration, ms | {cells} |",
        )
    )


def _searches(looked: Sequence[Looked]) -> str:
    sizes = sorted({each.size for each in looked})
    head = " | ".join(f"{size:,} rows" for size in sizes)
    lines = [
        f"| Looked for in the log: median ms (rows read) | {head} |",
        "|---|" + "---|" * len(sizes),
    ]
    for says in dict.fromkeys(each.says for each in looked):
        by_size = {each.size: each for each in looked if each.says == says}
        cells = (f"{by_size[size].median_ms:.1f} ({by_size[size].rows_read:,})" for size in sizes)
        lines.append(f"| {says} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _replicas(found: Replicas) -> str:
    rate, cpu = found.two_per_second / found.one_per_second, found.two_cpu_us / found.one_cpu_us
    return "\n".join(
        (
            "| Edge, policy core and sender | one of each | two of each | ratio |",
            "|---|---|---|---|",
            f"| replies/s | {found.one_per_second:,.0f} | {found.two_per_second:,.0f} | {rate:.2f} |",
            (
                f"| processor time of a message in services and PostgreSQL, µs | {found.one_cpu_us:,.0f}"
                f" | {found.two_cpu_us:,.0f} | {cpu:.2f} |"
            ),
            f"| answers checked, and wrong | {found.checked:,} | {found.wrong} | |",
        )
    )

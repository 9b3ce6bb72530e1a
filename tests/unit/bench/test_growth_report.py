"""What growth is told as: a broken promise is named, and the document keeps what stands around the tables."""

from pathlib import Path
from typing import Any

import pytest

from bench.growth import report
from bench.growth.deciding import Point
from bench.growth.replicas import Replicas
from bench.growth.run import Growth
from bench.growth.searching import Looked, rows_read, whole_steps


def growth(**changes: Any) -> Growth:
    found = Growth(
        points={"persons": [Point(1_000, 300.0, 250.0, 1.0, 1.0), Point(10**6, 330.0, 290.0, 1.1, 1.16)]},
        looked=[Looked("decisions of a person", 10**6, 4.0, 9.0, 52, ())],
        replicas=Replicas(1_000.0, 1_500.0, 900.0, 990.0, 5_000, 0),
    )
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_what_is_flat_and_quick_is_not_told() -> None:
    assert report.missed(growth()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"points": {"log": [Point(1, 1, 1, 1, 1), Point(9, 2, 2, 2, 1.3)]}}, "1.30 times as much at 9"),
        ({"looked": [Looked("by person", 1, 50.1, 60.0, 1, ())]}, "by person: 50.1 ms"),
        ({"looked": [Looked("by person", 1, 5.0, 6.0, 1, ("Seq Scan",))]}, "Seq Scan in its plan"),
        ({"replicas": Replicas(1.0, 1.0, 1.0, 1.0, 10, 3)}, "3 answers were wrong"),
    ],
)
def test_what_missed_is_told(changes: dict[str, Any], said: str) -> None:
    [sentence] = report.missed(growth(**changes))
    assert said in sentence


def test_the_tables_take_the_place_of_the_last_ones(tmp_path: Path) -> None:
    document = tmp_path / "scaling.md"
    document.write_text("before\n<!-- growth:begin -->\nold\n<!-- growth:end -->\nafter\n")
    report.record(growth(), document)
    text = document.read_text()
    assert text.startswith("before\n<!-- growth:begin -->\n")
    assert text.endswith("\n<!-- growth:end -->\nafter\n")
    assert "old" not in text
    assert "| replies/s | 1,000 | 1,500 | 1.50 |" in text
    assert "| decisions of a person | 4.0 (52) |" in text


def test_a_plan_is_read_to_its_leaves() -> None:
    scan = {"Node Type": "Index Scan", "Actual Rows": 50, "Actual Loops": 2, "Rows Removed by Filter": 3}
    few = {"Node Type": "Sort", "Actual Rows": 5, "Actual Loops": 1, "Plans": [scan]}
    assert rows_read(few) == 106
    assert whole_steps(few) == []
    many = {
        "Node Type": "Sort",
        "Actual Rows": 5,
        "Actual Loops": 1,
        "Plans": [{**scan, "Actual Rows": 5_000}],
    }
    limit = {"Node Type": "Limit", "Actual Rows": 5, "Actual Loops": 1, "Plans": [many]}
    assert whole_steps(limit) == ["Sort"]
    assert whole_steps({**scan, "Node Type": "Seq Scan"}) == ["Seq Scan"]

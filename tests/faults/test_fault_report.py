"""The report says what came of each fault, and recorded runs add up in the document."""

from collections import Counter
from pathlib import Path

from faults.oracle import Violation
from faults.report import PROMISES, Tally, record, summary, table
from faults.rounds import Pass, Played


def tally() -> Tally:
    """Two rounds, one of which broke a promise, and three kills."""
    checks = Counter({"G1": 10, "G3": 5})
    good = Played("redis: gone", 1, 20, 12, checks)
    bad = Played("kill at every step", 1, 30, 15, checks, [Violation("G3", "t1 left twice")])
    made = Tally(1)
    made.add(Pass([good, bad], Counter({"sender:call.asked": 2}), Counter({"edge": 1})))
    return made


def test_the_report_has_promises_faults_and_kills() -> None:
    found = summary(tally())
    assert found["seed"] == 1
    assert found["runs"] == 2
    assert found["kills"] == 3
    assert found["promises"]["G1"] == {"checks": 20, "violations": 0}
    assert found["promises"]["G3"] == {"checks": 10, "violations": 1}
    assert list(found["promises"]) == list(PROMISES)
    assert [row["fault"] for row in found["faults"]] == ["redis: gone", "kill at every step"]
    assert tally().broken


def test_the_table_tells_kept_from_not_looked_at() -> None:
    redis, kills = table(summary(tally())["faults"]).splitlines()[2:]
    assert redis == "| redis: gone | 1 | 12 | 0 | · | 0 | · | · | · | · | · |"
    assert kills == "| kill at every step | 1 | 15 | 0 | · | 1 | · | · | · | · | · |"


def test_recorded_runs_add_up(tmp_path: Path) -> None:
    document = tmp_path / "faults.md"
    document.write_text("before\n<!-- results: written by --record -->\n<!-- end of results -->\nafter\n")
    record(summary(tally()), document)
    record(summary(tally()), document)
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "2 recorded runs, 4 rounds: **6 kills**, 60 checks, **2 violations**" in text
    assert "| `sender:call.asked` | 4 |" in text
    assert "| redis: gone | 2 | 24 | 0 |" in text

"""Runs on record add up, and no history is counted twice."""

from pathlib import Path

import pytest

from simulate import __main__ as program
from simulate.__main__ import Tally, record


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page without runs."""
    page = tmp_path / "runs.md"
    page.write_text("# Runs\n", encoding="utf-8")
    monkeypatch.setattr(program, "RECORD", page)
    monkeypatch.setattr(program, "_ROOT", tmp_path)
    return page


def test_runs_add_up(page: Path) -> None:
    first = record(Tally(seed=1, histories=10_000, requests=5, taken=3, kills=2), "2026-03-14")
    assert first == "recorded in runs.md: 10,000 histories in all"
    second = record(Tally(seed=10_001, histories=90_000, violations=1), "2026-03-15")
    assert second == "recorded in runs.md: 100,000 histories in all"
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| 1")]
    assert [row.split(" | ")[0] for row in rows] == ["| 1–10000", "| 10001–100000"]


@pytest.mark.parametrize(("seed", "histories"), [(1, 10), (9_999, 2), (5_000, 1), (0, 20_000)])
def test_a_history_is_on_record_once(page: Path, seed: int, histories: int) -> None:
    record(Tally(seed=1, histories=10_000), "2026-03-14")
    before = page.read_text("utf-8")
    with pytest.raises(ValueError, match="1 to 10000"):
        record(Tally(seed=seed, histories=histories), "2026-03-15")
    assert page.read_text("utf-8") == before

"""A few hundred histories keep every promise, and a seed is all it takes to see one again."""

import pytest

from simulate.history import Outcome, run_history

_HISTORIES = 400


@pytest.mark.usefixtures("quiet")
def test_histories_keep_every_promise() -> None:
    outcomes = [run_history(seed) for seed in range(1, _HISTORIES + 1)]
    assert [outcome for outcome in outcomes if outcome.violations] == []
    # Histories in which nothing happens would keep every promise as well.
    assert sum(outcome.taken for outcome in outcomes) > _HISTORIES
    assert sum(outcome.kills for outcome in outcomes) > _HISTORIES / 3


@pytest.mark.usefixtures("quiet")
def test_the_same_seed_gives_the_same_history() -> None:
    def told(seed: int) -> Outcome:
        return run_history(seed)

    assert [told(seed) for seed in range(50)] == [told(seed) for seed in range(50)]

"""The steps to kill at are read from the code: every work has some, and a new one is there by itself."""

from pathlib import Path

import pytest

from faults.code_steps import ROOT, SERVICES, StepError, steps_of

WORKS = {
    "ingest",
    "submit",
    "decide",
    "reserve",
    "permit",
    "call",
    "pbx",
    "record",
    "deliver",
    "look",
    "settle",
    "keep",
}


def services(root: Path, **sources: str) -> Path:
    """A tree with the services, and one module in each that is named."""
    for service in SERVICES:
        (root / service).mkdir()
        (root / service / "work.py").write_text(sources.get(service, ""), "utf-8")
    return root


def test_every_work_has_steps() -> None:
    found = steps_of()
    assert {step.partition(".")[0] for steps in found.values() for step in steps} == WORKS
    assert all(found[service] for service in SERVICES)


def test_a_new_step_is_in_the_list_by_itself(tmp_path: Path) -> None:
    root = services(tmp_path, sender='from sender import steps\n\nsteps.passed("call.sung")\n')
    assert steps_of(root) == {"edge": (), "policycore": (), "sender": ("call.sung",)}


@pytest.mark.parametrize(
    "source",
    ['steps.passed("a.b")\nsteps.passed("a.b")\n', "steps.passed(name)\n", "steps.passed()\n"],
    ids=["named twice", "named by a variable", "not named"],
)
def test_a_step_that_cannot_be_told_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(StepError):
        steps_of(services(tmp_path, edge=source))


@pytest.mark.parametrize("service", SERVICES)
def test_in_production_a_step_does_nothing_and_nothing_can_make_it(service: str) -> None:
    source = (ROOT / service / "steps.py").read_text("utf-8")
    assert "import" not in source
    assert "environ" not in source

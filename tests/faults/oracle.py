"""The judgement: which promise was broken, by what could be seen from outside and what the database holds.

It calls nothing of the product but `replay`, which decides a row of the policy log again. Each check yields what is
wrong; how many things it looked at is counted, so that a promise that nothing tested does not look kept.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from faults import rule_checks, work_checks
from faults.evidence import Evidence
from faults.looking import Looking


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, and what shows it."""

    promise: str
    what: str


@dataclass(slots=True)
class Judgement:
    """What was looked at, by promise, and what was wrong."""

    checks: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)


Check = Callable[[Looking], Iterator[str]]

CHECKS: dict[str, tuple[Check, ...]] = {
    "G1": (work_checks.nothing_answered_is_lost, work_checks.what_came_in_goes_on),
    "G2": (work_checks.webhooks_act_once,),
    "G3": (work_checks.one_request_one_message, work_checks.outcomes_are_true),
    "G4": (rule_checks.never_outside_the_window, rule_checks.windows_never_move_back),
    "G5": (
        rule_checks.nothing_after_an_opt_out,
        rule_checks.nothing_while_paused,
        rule_checks.opt_outs_are_kept,
    ),
    "G6": (rule_checks.quotas_are_exact,),
    "G7": (work_checks.decisions_are_durable,),
    "G8": (rule_checks.nothing_without_the_database, rule_checks.redis_costs_little),
}
"""What is asked for each promise."""

TIMED: frozenset[Check] = frozenset({rule_checks.redis_costs_little})
"""What says something of the machine as well, and of whatever else it is busy with."""


def judge(evidence: Evidence, *, timed: bool = True) -> Judgement:
    """Everything that is wrong at rest, after everything was healed; without `timed`, however long anything took."""
    judgement = Judgement()
    for promise, checks in CHECKS.items():
        looking = Looking(evidence)
        for check in checks:
            if check in TIMED and not timed:
                continue
            judgement.violations.extend(Violation(promise, what) for what in check(looking))
        judgement.checks[promise] += looking.looked
    return judgement

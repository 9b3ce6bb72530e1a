"""The rate check: the instance's and the pair's next turn come soon enough to wait for."""

from datetime import datetime, timedelta
from math import ceil

from policycore.model import Facts, Finding, Intent, Rules, allow
from policycore.reasons import CheckName, ReasonCode, Verdict

_ALLOWED = allow(CheckName.RATE)
_LONGEST_WAIT_SECONDS = 86_400.0


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Defer when a turn is further away than `rules.max_wait`; passes when it has come that near.

    The instance is named first; where both are late, the later one says when.
    """
    limit = rules.max_wait.total_seconds()
    instance, pair = facts.instance_wait_seconds, facts.pair_wait_seconds
    # Written so that a wait that is no number (NaN) refuses.
    if instance <= limit and pair <= limit:
        return _ALLOWED
    late_instance = not instance <= limit
    wait, other = (instance, pair) if late_instance else (pair, instance)
    reason = ReasonCode.INSTANCE_RATE_LIMITED if late_instance else ReasonCode.PAIR_RATE_LIMITED
    who = "instance" if late_instance else "pair of instance and person"
    seconds = _bounded(wait)
    explanation = f"The next turn of this {who} is {ceil(seconds)} s away; at most {limit:g} s are waited."
    return Finding(
        CheckName.RATE,
        Verdict.DEFER,
        reason,
        explanation,
        limit=int(limit),
        used=ceil(seconds),
        passes_at=now + timedelta(seconds=max(seconds, _bounded(other)) - limit),
        facts={"instance_wait_seconds": f"{instance:.1f}", "pair_wait_seconds": f"{pair:.1f}"},
    )


def _bounded(seconds: float) -> float:
    """Keep endless and undefined waits inside what a date can express."""
    return seconds if seconds <= _LONGEST_WAIT_SECONDS else _LONGEST_WAIT_SECONDS

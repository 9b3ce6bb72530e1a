"""Names the steps of the policy core's work at which this process may be lost. Does nothing by itself.

`make faults` reads the list of steps from the calls, and puts a function of its own in the place of `passed` in
processes that it starts: nothing in here, and no setting, can end a process in production.
"""


def passed(step: str) -> None:
    """One step is done. `step` is a literal, `<work>.<what was done>`, and stands in one place only."""

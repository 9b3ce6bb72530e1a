"""Errors of the policy core. Refusals are data and not here.

PolicyCoreError
├── Unavailable        nothing was sent or lost; the caller may repeat the call
│   ├── DatabaseUnavailable
│   ├── Contended      another transaction was quicker
│   └── Overloaded     more work waits than is accepted
├── Malformed          the call breaks the contract
└── NotFound           what was asked for is not there, or not the caller's to see
"""


class PolicyCoreError(Exception):
    """Base of all. `reason` is an upper-case word for google.rpc.ErrorInfo."""

    reason = "INTERNAL"


class Unavailable(PolicyCoreError):
    """Nothing was sent or lost; repeat after `retry_after_seconds`."""

    reason = "UNAVAILABLE"

    def __init__(self, explanation: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(explanation)
        self.retry_after_seconds = retry_after_seconds


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, or did not answer in time."""

    reason = "DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The database cannot be reached; nothing was done.")


class Contended(Unavailable):
    """Another transaction was quicker: it wrote the same key, or the two waited for each other. Done again, at
    once, the work sees what the other did.
    """

    reason = "CONTENDED"

    def __init__(self) -> None:
        super().__init__("Another transaction was quicker; nothing was done.", retry_after_seconds=0.1)


class Overloaded(Unavailable):
    """More work waits than is accepted."""

    reason = "OVERLOADED"

    def __init__(self, retry_after_seconds: float = 1.0, *, of_one: bool = False) -> None:
        whose = " of this account or instance" if of_one else ""
        super().__init__(
            f"More requests{whose} are waiting than the policy core accepts.", retry_after_seconds
        )


class Malformed(PolicyCoreError):
    """The call breaks the contract; `field` names where."""

    reason = "MALFORMED"

    def __init__(self, field: str, explanation: str) -> None:
        super().__init__(f"{field}: {explanation}")
        self.field = field


class NotFound(PolicyCoreError):
    """What was asked for is not there, or not the caller's to see."""

    reason = "NOT_FOUND"

"""Why an administrative act is refused. Each error becomes one gRPC status with google.rpc.ErrorInfo.

PolicyCoreError
├── Malformed, NotFound   (policycore.errors)
├── AlreadyExistsError    a name that must be unique is taken
├── NotPossibleError      the thing is in a state that does not allow the act
└── NotPermittedError     the caller has no right to it
"""

from policycore.errors import PolicyCoreError


class AlreadyExistsError(PolicyCoreError):
    """A name that must be unique is taken; `field` names it."""

    reason = "ALREADY_EXISTS"

    def __init__(self, field: str, explanation: str) -> None:
        super().__init__(f"{field}: {explanation}")
        self.field = field


class NotPossibleError(PolicyCoreError):
    """The thing is in a state that does not allow the act. `word` is an upper-case word for programs."""

    reason = "NOT_POSSIBLE"

    def __init__(self, word: str, explanation: str) -> None:
        super().__init__(explanation)
        self.reason = word


class NotPermittedError(PolicyCoreError):
    """The caller has no right to it, whether or not it exists."""

    reason = "PERMISSION_DENIED"

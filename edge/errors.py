"""What can go wrong in the edge.

EdgeError
├── SettingsError               a HUBGATE_* variable has a value the edge cannot start with
├── BodyTooLargeError           a request body passed its limit while it was read
├── NoRoomError                 too many bytes of large bodies are held already
├── BodyIncompleteError         a request body did not arrive whole, or not in time
├── InvalidJsonError            a body is not the strict JSON object the edge accepts
└── CoreError                   the policy core gave no answer to use
    ├── CoreUnavailableError    outage, overload or time-out; a repeat may help
    │   ├── CoreOverloadedError more of this caller waits than the policy core accepts
    │   └── CoreTimeoutError    no answer within the deadline
    ├── NotAuthenticatedError   the caller's token counts for nothing
    ├── NotPermittedError       the caller's token lacks the right
    ├── NotFoundError           what was asked for does not exist, or not for this caller
    └── InvalidCallError        the policy core found the call malformed
"""


class EdgeError(Exception):
    """Root of the edge's own errors."""


class SettingsError(EdgeError):
    """A setting is missing or wrong; the text is one sentence that names the variable."""


class BodyTooLargeError(EdgeError):
    """A request body is larger than its route takes."""


class NoRoomError(EdgeError):
    """Too many bytes of large bodies are held at once, of this owner or of all."""


class BodyIncompleteError(EdgeError):
    """The caller hung up, or was too slow, before the body was whole."""


class InvalidJsonError(EdgeError):
    """The body is not a JSON object in strict UTF-8; the text is one sentence, safe to show to the caller."""


class CoreError(EdgeError):
    """The policy core gave no answer to use."""


class CoreUnavailableError(CoreError):
    """The policy core is out of reach or refuses work. `retry_after_seconds` is None if nobody knows."""

    def __init__(self, text: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class CoreOverloadedError(CoreUnavailableError):
    """More waits than the policy core accepts."""


class CoreTimeoutError(CoreUnavailableError):
    """No answer came within the deadline."""


class NotAuthenticatedError(CoreError):
    """The policy core does not know the token."""


class NotPermittedError(CoreError):
    """The policy core knows the token, and it lacks the right."""


class NotFoundError(CoreError):
    """The policy core does not know the thing, or does not show it to this caller."""


class InvalidCallError(CoreError):
    """The policy core found the call malformed."""

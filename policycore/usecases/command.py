"""A request to decide, and what came of it, as the use cases pass them around."""

from dataclasses import dataclass
from datetime import datetime

from policycore.ledger import MessageView
from policycore.model import Decision, EventType, Intent


@dataclass(frozen=True, slots=True)
class SubmitCommand:
    """One request. `key_scope` and `key` are empty without an idempotency key; `claim` is the signature's
    digest.
    """

    intent: Intent
    key_scope: str = ""
    key: str = ""
    body_digest: bytes = b""
    claim: bytes = b""
    claim_expires_at: datetime | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """A committed decision. `log_id` is 0 if nothing was written (validate only, or turned away before
    deciding).
    """

    decision_id: str
    log_id: int
    decided_at: datetime
    decision: Decision
    event_type: EventType
    message: MessageView | None = None
    duplicate: bool = False

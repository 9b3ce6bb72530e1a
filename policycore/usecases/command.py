"""A request to decide, and what came of it, as the use cases pass them around."""

from datetime import datetime
from hashlib import sha256

from msgspec import Struct

from policycore.ledger import MessageView
from policycore.model import Decision, EventType, Intent


class SubmitCommand(Struct, frozen=True):
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

    @property
    def claims(self) -> tuple[bytes, ...]:
        """What an accepted request claims: its signature, and with a key also the pair of both, by which its
        repeat is known.
        """
        if not self.claim or not self.key:
            return (self.claim,) if self.claim else ()
        pair = "\0".join((self.key_scope, self.key)).encode()
        return (self.claim, sha256(self.claim + pair).digest())


class Decided(Struct, frozen=True):
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

"""No message was handed to an instance after its `not_after`. Pure."""

from policycore.evidence import Evidence, Violation
from policycore.model import Rules

NAME = "late_hand_out"
CLOCKS = Rules().max_clock_offset
"""How far the clock of the process that hands out may be off the database's, which wrote the time down."""


def check(evidence: Evidence) -> list[Violation]:
    """One violation for each message that was handed out too late and not held back by a sender."""
    found = []
    for message in evidence.messages:
        attempted_at, not_after = message.attempted_at, message.not_after
        if attempted_at is None or not_after is None or attempted_at <= not_after + CLOCKS:
            continue
        explanation = (
            f"It was handed out at {attempted_at.isoformat()}, and might be until {not_after.isoformat()}."
        )
        found.append(Violation(NAME, message.message_id, message.account_id, explanation))
    return found

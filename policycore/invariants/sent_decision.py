"""Every decision to send has exactly one message, and no other decision has any. Pure.

That a decision has no second message follows from `logged_message`: it names one, and the other would break that.
"""

from collections.abc import Sequence

from policycore.evidence import AnsweredDecision, Violation

NAME = "sent_decision"


def check(decisions: Sequence[AnsweredDecision]) -> list[Violation]:
    """One violation for each decision whose message is missing, another's, or too many."""
    return [
        Violation(NAME, answered.decision.decision_id, answered.decision.account_id, broken)
        for answered in decisions
        if (broken := _broken(answered))
    ]


def _broken(answered: AnsweredDecision) -> str:
    decision = answered.decision
    row = f"Row {decision.log_id} of the policy log"
    if not decision.sends:
        return (
            f"{row} did not allow a message, and names {decision.message_id}." if decision.message_id else ""
        )
    if decision.message_id is None:
        return f"{row} allowed a message and names none."
    if answered.message_log_id is None:
        return f"{row} allowed {decision.message_id}, and there is no such message."
    if answered.message_log_id != decision.log_id:
        return f"{row} allowed {decision.message_id}, which names row {answered.message_log_id}."
    return ""

"""Every message of ours has its decision in the policy log, which allowed it and names it. Pure."""

from policycore.evidence import Evidence, Outbound, Violation

NAME = "logged_message"


def check(evidence: Evidence) -> list[Violation]:
    """One violation for each message that no decision stands for."""
    return [
        Violation(NAME, message.message_id, message.account_id, broken)
        for message in evidence.messages
        if (broken := _broken(message))
    ]


def _broken(message: Outbound) -> str:
    decision = message.decision
    if decision is None:
        return f"The policy log has no row {message.log_id}, which the message names."
    if not decision.sends:
        return f"Row {decision.log_id} of the policy log did not allow a message to be sent."
    if decision.message_id != message.message_id:
        return f"Row {decision.log_id} of the policy log is about {decision.message_id or 'no message'}."
    return ""

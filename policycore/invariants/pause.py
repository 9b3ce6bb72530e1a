"""No message was allowed, or handed to an instance, while a pause held. Pure."""

from datetime import datetime

from policycore.evidence import OVERLAP, Evidence, Outbound, PauseSpan, Violation

NAME = "pause"


def check(evidence: Evidence) -> list[Violation]:
    """One violation for each message that a pause should have held back, named by the first such pause."""
    found = []
    for message in evidence.messages:
        for pause in evidence.pauses:
            if _covers(pause, message, evidence) and (broken := _broken(pause, message)):
                found.append(Violation(NAME, message.message_id, message.account_id, broken))
                break
    return found


def _covers(pause: PauseSpan, message: Outbound, evidence: Evidence) -> bool:
    match pause.scope:
        case "account":
            return pause.scope_id == message.account_id
        case "instance":
            return pause.scope_id == message.instance_id
        case "integration":
            return pause.scope_id == message.integration_id
        case "person":
            return pause.scope_id == message.person_id and evidence.knows_person(message)
        case _:
            # The platform; and a scope that this version does not know may be as wide.
            return True


def _broken(pause: PauseSpan, message: Outbound) -> str:
    if _holds(pause, message.decided_at):
        return f"It was allowed at {message.decided_at.isoformat()}, while pause {pause.pause_id} held."
    attempted_at = message.attempted_at
    if attempted_at is not None and _holds(pause, attempted_at):
        return f"It was handed out at {attempted_at.isoformat()}, while pause {pause.pause_id} held."
    return ""


def _holds(pause: PauseSpan, moment: datetime) -> bool:
    """Whether the pause held for certain: it was set, and known to everybody, and not yet ended."""
    if moment <= pause.created_at + OVERLAP:
        return False
    if pause.until is not None and moment >= pause.until:
        return False
    return pause.lifted_at is None or moment < pause.lifted_at - OVERLAP

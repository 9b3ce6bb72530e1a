"""No message was allowed, or handed to an instance, after the person had opted out. Pure.

Entries that administrators made or imported count like the person's own word.
"""

from datetime import datetime

from policycore.evidence import OVERLAP, Evidence, OptOutSpan, Outbound, Violation

NAME = "opt_out"


def check(evidence: Evidence) -> list[Violation]:
    """One violation for each message that an entry should have held back, named by the first such entry.

    The confirmation of an opt-out passes: it is decided in the opt-out's own transaction. So does whatever was
    decided before the person was found to be one with another, for nobody can tell whose entry it was then.
    """
    found = []
    for message in evidence.messages:
        if not evidence.knows_person(message):
            continue
        for entry in evidence.opt_outs.get(message.person_id, ()):
            if broken := _broken(entry, message):
                found.append(Violation(NAME, message.message_id, message.account_id, broken))
                break
    return found


def _broken(entry: OptOutSpan, message: Outbound) -> str:
    if message.confirms_opt_out and message.decided_at == entry.created_at:
        return ""
    since = f"suppression {entry.suppression_id} held since {entry.created_at.isoformat()}"
    if _decided_after(entry, message) and _stands(entry, message.decided_at):
        return f"It was allowed at {message.decided_at.isoformat()}, though {since}."
    attempted_at = message.attempted_at
    if attempted_at is None or attempted_at <= entry.created_at + OVERLAP:
        return ""
    if _stands(entry, attempted_at):
        return f"It was handed out at {attempted_at.isoformat()}, though {since}."
    return ""


def _decided_after(entry: OptOutSpan, message: Outbound) -> bool:
    if entry.log_id is not None and message.decision is not None:
        return message.decision.log_id > entry.log_id
    return message.decided_at > entry.created_at + OVERLAP


def _stands(entry: OptOutSpan, moment: datetime) -> bool:
    """Whether the entry was not lifted yet; whoever is reactivated may be written to at once."""
    return entry.lifted_at is None or moment < entry.lifted_at - OVERLAP

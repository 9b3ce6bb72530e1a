"""No message was allowed, or handed to an instance, outside the conversation window. Pure.

The window is WhatsApp's own of 24 hours; a shorter one that an administrator set is the decision's affair.
"""

from datetime import datetime

from policycore.evidence import OVERLAP, Evidence, Outbound, Violation
from policycore.model import Rules

NAME = "window"
WINDOW, MARGIN = Rules().window, Rules().window_margin


def check(evidence: Evidence) -> list[Violation]:
    """One violation for each message without a window.

    A decision keeps the margin, for it and the window are on one clock. The sender's clock may be off by as much as
    the margin, so what was handed out is measured against the end of the window itself.
    """
    found = []
    for message in evidence.messages:
        broken = _broken(message, _last_inbound(message, evidence))
        if broken:
            found.append(Violation(NAME, message.message_id, message.account_id, broken))
    return found


def _broken(message: Outbound, last: datetime | None) -> str:
    decided_at = message.decided_at
    if last is None:
        return (
            f"It was allowed at {decided_at.isoformat()}, and the person had never written to this instance."
        )
    wrote = f"the person had last written at {last.isoformat()}"
    if decided_at >= last + WINDOW - MARGIN:
        return f"It was allowed at {decided_at.isoformat()}, and {wrote}."
    attempted_at = message.attempted_at
    if attempted_at is not None and attempted_at >= last + WINDOW:
        return f"It was handed out at {attempted_at.isoformat()}, and {wrote}."
    return ""


def _last_inbound(message: Outbound, evidence: Evidence) -> datetime | None:
    """When the person had last written, as far as was recorded when the message was decided.

    By the messages themselves. Only where none is kept (the store was copied without them) the window's own row
    counts, unless it has moved since.
    """
    pair = (message.instance_id, message.person_id)
    known_by = message.decided_at + OVERLAP
    moments = [each.wrote_at for each in evidence.inbound.get(pair, ()) if each.recorded_at <= known_by]
    if moments:
        return max(moments)
    row = evidence.windows.get(pair)
    return row if row is not None and row <= known_by else None

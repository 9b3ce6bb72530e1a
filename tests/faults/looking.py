"""One promise being looked at: the evidence, what is known of it, and how many things were looked at."""

from faults.evidence import Evidence, MessageRow
from faults.stand_ins import Arrival

NOTICING_SECONDS = 1.0
"""How much later than it was written a message may be noted as arrived: this machine is shared and busy."""


class Looking:
    """One promise being looked at."""

    def __init__(self, evidence: Evidence) -> None:
        self.seen = evidence
        self.looked = 0
        self.slack = evidence.record.slack_seconds + NOTICING_SECONDS
        self.rows: dict[str, list[MessageRow]] = {}
        for row in evidence.ours():
            if token := token_of(row.text):
                self.rows.setdefault(token, []).append(row)

    def row_of(self, arrival: Arrival) -> MessageRow | None:
        """The row of a message that arrived: of those with its text, the last that was there by then."""
        rows = self.rows.get(token_of(arrival.text), [])
        before = [row for row in rows if row.created_at <= arrival.at]
        return max(before or rows, key=lambda row: row.created_at, default=None)


def token_of(text: str) -> str:
    """The mark in a request's text: `#…` at its end; empty for the gateway's own notices."""
    before, mark, token = text.rpartition("#")
    return token if mark and before else ""

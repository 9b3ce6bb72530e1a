"""Owns the shape of the rows that the in-memory ledger keeps, and how messages among them are seen."""

from datetime import datetime

from msgspec import Struct

from policycore.ledger import MessageState, MessageView, NewMessage, view_of


class MessageRow(Struct, frozen=True):
    """A message, ours or theirs. `made` is None for one that came in."""

    view: MessageView
    made: NewMessage | None = None
    from_business: bool = False
    provider_at: datetime | None = None
    event_key: str = ""
    send_after: datetime | None = None
    handed_out_at: datetime | None = None
    settled_at: datetime | None = None


class WindowOf(Struct, frozen=True):
    """A conversation window of a person at an instance."""

    instance_id: str
    person_id: str
    last_inbound_at: datetime
    conversation_id: str
    closed_by_backend_at: datetime | None = None


class SuppressionRow(Struct, frozen=True):
    """An entry that blocks, until it is lifted."""

    suppression_id: str
    person_id: str
    source: str
    scope: str
    created_at: datetime
    evidence_message_id: str | None = None
    lifted_at: datetime | None = None


class CoolDownRow(Struct, frozen=True):
    """Until when a call event does not reach a person again, and the message that reserved it."""

    until: datetime
    message_id: str


class EarlyReceipt(Struct, frozen=True):
    """A receipt that came before anybody knew its message."""

    instance_id: str
    external_id: str
    kind: int
    error_code: str
    received_at: datetime


class PersonRow(Struct, frozen=True):
    """Someone. `merged_into` is who that turned out to be."""

    person_id: str
    account_id: str
    display_name: str = ""
    language: str = ""
    merged_into: str | None = None


OPEN = frozenset({MessageState.WAITING, MessageState.HANDED_OUT})
SETTLEABLE = OPEN | {MessageState.UNKNOWN}
GAVE_BACK = frozenset({MessageState.REJECTED, MessageState.LAPSED})


def outbound_row(message: NewMessage) -> MessageRow:
    """A new message of ours as a row."""
    return MessageRow(
        view=view_of(message),
        made=message,
        send_after=message.send_after,
        handed_out_at=message.created_at if message.state is MessageState.HANDED_OUT else None,
    )

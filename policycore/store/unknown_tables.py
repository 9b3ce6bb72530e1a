"""The table of messages whose outcome is unknown, and of the looks for them."""

from sqlalchemy import Column, Index, Integer, String, Table, text

from policycore.store.schema import metadata
from policycore.store.types import Instant

unknown_messages = Table(
    "unknown_messages",
    metadata,
    Column("message_id", String(64), primary_key=True),
    Column("unknown_since", Instant, nullable=False),
    Column("looks", Integer, nullable=False, server_default=text("0")),
    Column("last_look", String(64), nullable=False, server_default=""),
    Column("next_look_at", Instant),
    Index("ix_unknown_messages_unknown_since", "unknown_since", "message_id"),
    Index("ix_unknown_messages_next_look_at", "next_look_at"),
)
"""A row for every message that became unknown, made in the same transaction; removed some time after it is settled."""

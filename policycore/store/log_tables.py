"""The tables of the logs beside the policy log, and how far retention has come in each account."""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from policycore.store.schema import RowNumber, metadata
from policycore.store.types import Instant

refusals = Table(
    "refusals",
    metadata,
    Column("minute", Instant, primary_key=True),
    Column("surface", String(32), primary_key=True),
    Column("target", String(64), primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("source_address", String(64), primary_key=True),
    Column("count", BigInteger, nullable=False),
    Index("ix_refusals_target", "target", "minute"),
)
"""The security log: what was turned away, aggregated."""

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("occurred_at", Instant, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("act", String(64), nullable=False),
    Column("target", String(200), nullable=False, server_default=""),
    Column("account_id", String(64)),
    Column("detail_json", Text, nullable=False, server_default="{}"),
    Index("ix_audit_entries_account", "account_id", "id"),
)

retention_progress = Table(
    "retention_progress",
    metadata,
    Column("account_id", String(64), primary_key=True),
    Column("texts_until", Instant, nullable=False),
    Column("messages_until", Instant, nullable=False),
    Column("looked_at", Instant, nullable=False),
)
"""Of each account: up to when messages were made whose texts, or whose rows, are gone; and when that was looked at."""

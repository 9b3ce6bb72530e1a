"""The tables of the live invariants: how far they have looked, and what they found broken."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, text

from policycore.store.schema import metadata
from policycore.store.types import Instant

invariant_progress = Table(
    "invariant_progress",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("messages_until", Instant, nullable=False),
    Column("log_id", BigInteger, nullable=False),
    Column("quota_account_id", String(64), nullable=False, server_default=""),
    Column("ran_at", Instant, nullable=False),
)
"""At most one row: everything up to it was looked at."""

invariant_violations = Table(
    "invariant_violations",
    metadata,
    Column("invariant", String(32), primary_key=True),
    Column("subject", String(100), primary_key=True),
    Column("account_id", String(64), nullable=False),
    Column("explanation", Text, nullable=False),
    Column("found_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("sightings", Integer, nullable=False, server_default=text("1")),
    Index("ix_invariant_violations_seen_at", "seen_at"),
)
"""Promises that were broken, each once, kept for 90 days after they were last seen."""

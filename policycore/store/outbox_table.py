"""The outbox: events that wait for their delivery, and what became of them."""

from sqlalchemy import Column, Index, Integer, String, Table, Text, text

from policycore.store.schema import RowNumber, metadata
from policycore.store.types import Instant

outbox = Table(
    "outbox",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("account_id", String(64), nullable=False),
    Column("integration_id", String(64)),
    Column("webhook_id", String(64)),
    Column("instance_id", String(64)),
    Column("person_id", String(64)),
    Column("event_name", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", Instant, nullable=False),
    Column("leased_until", Instant),
    Column("last_http_status", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    Column("settled_at", Instant),
    Index("ix_outbox_account", "account_id", "number"),
    Index("ix_outbox_instance", "instance_id", "number"),
    Index("ix_outbox_integration", "integration_id", "number"),
    Index(
        "ix_outbox_due",
        "next_attempt_at",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_outbox_waiting_webhook",
        "webhook_id",
        "number",
        sqlite_where=text("state = 'pending' AND webhook_id IS NOT NULL"),
        postgresql_where=text("state = 'pending' AND webhook_id IS NOT NULL"),
    ),
    Index(
        "ix_outbox_waiting_integration",
        "integration_id",
        "number",
        sqlite_where=text("state = 'pending' AND integration_id IS NOT NULL"),
        postgresql_where=text("state = 'pending' AND integration_id IS NOT NULL"),
    ),
    Index(
        "ix_outbox_given_up",
        "settled_at",
        sqlite_where=text("state IN ('failed', 'blocked')"),
        postgresql_where=text("state IN ('failed', 'blocked')"),
    ),
)
"""`state` is `pending`, `sent`, `failed`, `blocked` or `discarded`. What waits for a destination is found by an index
of its own, and costs the others nothing.
"""

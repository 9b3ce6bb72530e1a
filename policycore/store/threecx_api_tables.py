"""The tables of phone systems' APIs: how each is asked, who watches it, missed calls, and who wrote replies."""

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, Text, text

from policycore.store.schema import id_column, metadata
from policycore.store.types import Instant

threecx_apis = Table(
    "threecx_apis",
    metadata,
    Column("integration_id", String(64), primary_key=True),
    Column("base_url", Text, nullable=False),
    Column("client_id", String(200), nullable=False),
    Column("client_secret_sealed", LargeBinary, nullable=False),
    Column("missed_calls", Boolean, nullable=False),
    Column("who_replied", Boolean, nullable=False),
    Column("webhook_discovery", Boolean, nullable=False),
    Column("every_extension_listed", Boolean, nullable=False),
    Column("catch_up_seconds", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed_at", Instant, nullable=False),
)
"""Settings. `revision` rises with every change, so that whoever watches begins anew."""

threecx_watches = Table(
    "threecx_watches",
    metadata,
    Column("integration_id", String(64), primary_key=True),
    Column("holder", String(64), nullable=False, server_default=""),
    Column("leased_until", Instant),
    Column("known_until", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=False, server_default=""),
    Column("state_since", Instant, nullable=False),
)
"""Who has the right to watch until when, and up to when every missed call is known."""

threecx_calls = Table(
    "threecx_calls",
    metadata,
    id_column(),
    Column("integration_id", String(64), nullable=False),
    Column("caller", String(64), nullable=False),
    Column("began_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=False),
    Column("reached_dn", String(32), nullable=False, server_default=""),
    Column("from_history", Boolean, nullable=False),
    Column("found_at", Instant, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("next_try_at", Instant),
    Column("outcome", String(64), nullable=False, server_default=""),
    Index("ix_threecx_calls_integration_id_caller_ended_at", "integration_id", "caller", "ended_at"),
    Index("ix_threecx_calls_integration_id_next_try_at", "integration_id", "next_try_at"),
    Index("ix_threecx_calls_ended_at", "ended_at"),
)
"""Missed calls, each once. `next_try_at` is NULL once the customer was told, or will not be; `outcome` says which."""

message_authors = Table(
    "message_authors",
    metadata,
    Column("message_id", String(64), primary_key=True),
    Column("integration_id", String(64), nullable=False),
    Column("chat_message_id", String(64), nullable=False),
    Column("extension", String(32), nullable=False),
    Column("name", String(200), nullable=False),
    Column("noted_at", Instant, nullable=False),
    Index(
        "ix_message_authors_integration_id_chat_message_id", "integration_id", "chat_message_id", unique=True
    ),
    Index("ix_message_authors_noted_at", "noted_at"),
)
"""Which agent wrote a reply, as the phone system's chat has it. One thing written there is one reply."""

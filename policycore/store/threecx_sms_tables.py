"""The tables of the SMS-provider connector: settings, numbers, bearer keys, and which lines were written to agents."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
    true,
)

from policycore.store.schema import metadata
from policycore.store.types import Instant

threecx_sms = Table(
    "threecx_sms",
    metadata,
    Column("integration_id", String(64), ForeignKey("integrations.id"), primary_key=True),
    Column("webhook_url_sealed", LargeBinary),
    Column("default_purpose", String(32), nullable=False),
    Column("gateway_lines", Boolean, nullable=False, server_default=true()),
    Column("receipts", Boolean, nullable=False, server_default=false()),
    Column("requests_per_minute", Integer, nullable=False, server_default=text("600")),
    Column("changed_at", Instant, nullable=False),
)
"""At most one for an integration. The phone system's address holds a key, so it is sealed whole."""

threecx_sms_numbers = Table(
    "threecx_sms_numbers",
    metadata,
    Column("integration_id", String(64), ForeignKey("integrations.id"), primary_key=True),
    Column("instance_id", String(64), ForeignKey("instances.id"), primary_key=True),
    Column("number", String(16), nullable=False),
    UniqueConstraint("integration_id", "number"),
)
"""The phone system's number of each instance, E.164 with `+`."""

threecx_sms_keys = Table(
    "threecx_sms_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("integration_id", String(64), ForeignKey("integrations.id"), nullable=False, index=True),
    Column("key_digest", LargeBinary, nullable=False, unique=True),
    Column("prefix", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("valid_until", Instant),
    Column("last_used_at", Instant),
)
"""Bearer keys by their SHA-256: no two integrations can have the same one."""

gateway_lines = Table(
    "gateway_lines",
    metadata,
    Column("integration_id", String(64), primary_key=True),
    Column("business_number", String(64), primary_key=True),
    Column("customer", String(64), primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("written_at", Instant, nullable=False),
    Index("ix_gateway_lines_written_at", "written_at"),
)
"""When a reason was last written into a chat of the phone system, which knows a chat by the two numbers."""

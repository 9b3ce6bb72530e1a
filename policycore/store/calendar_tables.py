"""The table of business hours: one calendar for an integration, and how far its chats were looked through."""

from sqlalchemy import BigInteger, Column, String, Table, Text, text

from policycore.store.schema import metadata
from policycore.store.types import Instant

business_calendars = Table(
    "business_calendars",
    metadata,
    Column("integration_id", String(64), primary_key=True),
    Column("account_id", String(64), nullable=False),
    Column("calendar_json", Text, nullable=False),
    Column("seen_sequence", BigInteger, nullable=False, server_default=text("0")),
    Column("updated_at", Instant, nullable=False),
)
"""`seen_sequence` is the last number of the event stream that was looked at."""

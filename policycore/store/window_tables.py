"""The table of conversation windows whose end agents were told of."""

from sqlalchemy import Column, Index, String, Table

from policycore.store.schema import metadata
from policycore.store.types import Instant

window_notices = Table(
    "window_notices",
    metadata,
    Column("integration_id", String(64), primary_key=True),
    Column("instance_id", String(64), primary_key=True),
    Column("person_id", String(64), primary_key=True),
    Column("last_inbound_at", Instant, nullable=False),
    Column("told_at", Instant, nullable=False),
    Index("ix_window_notices_person_id", "person_id"),
    Index("ix_window_notices_told_at", "told_at"),
)
"""One row, for each thread of an integration, that says of which window the agents were told last: the one that this
message from the person had opened or lengthened.
"""

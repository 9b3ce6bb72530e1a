"""The table of signing secrets that do not sign yet: the second of the two that may be active for one destination."""

from sqlalchemy import Column, LargeBinary, String, Table

from policycore.store.schema import metadata
from policycore.store.types import Instant

next_signing_secrets = Table(
    "next_signing_secrets",
    metadata,
    Column("destination_id", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("signs_from", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
)
"""At most one for an integration or a customer webhook. It is sealed for the place that the first one has, where it is
moved when a third is made.
"""

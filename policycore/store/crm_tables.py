"""The table of calls that CRM templates reported, by which reports of one call are known as such."""

from sqlalchemy import Column, LargeBinary, String, Table, Text

from policycore.store.schema import metadata
from policycore.store.types import Instant

call_folds = Table(
    "call_folds",
    metadata,
    Column("integration_id", String(64), primary_key=True),
    Column("subject", LargeBinary(32), primary_key=True),
    Column("groups_json", Text, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)
"""`subject` is a digest of who called whom (`policycore.crm_identity`); `groups_json` its latest calls. The row is what
reports of one subject wait for each other on.
"""

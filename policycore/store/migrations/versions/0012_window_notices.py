"""Agents are told that a conversation window ends: how long before, and of which windows they were told.

Written out in full and never edited again: what is on disk somewhere was made by it. On PostgreSQL the index on
`windows` was built before, beside the work of those who use it; see `policycore.store.online_steps`.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.add_column(
        "integrations",
        sa.Column("window_notice_seconds", sa.Integer(), server_default=sa.text("3600"), nullable=False),
    )
    op.create_table(
        "window_notices",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("last_inbound_at", _MOMENT, nullable=False),
        sa.Column("told_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("integration_id", "instance_id", "person_id", name="pk_window_notices"),
    )
    op.create_index("ix_window_notices_person_id", "window_notices", ["person_id"])
    op.create_index("ix_window_notices_told_at", "window_notices", ["told_at"])
    op.execute("CREATE INDEX IF NOT EXISTS ix_windows_last_inbound_at ON windows (last_inbound_at)")


def downgrade() -> None:
    raise RuntimeError("There is no way back behind the notices sent since; restore a backup instead.")

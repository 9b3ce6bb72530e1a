"""Reports of CRM templates: which of them are of one call, and three settings of integrations.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "call_folds",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("groups_json", sa.Text(), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("integration_id", "subject", name="pk_call_folds"),
    )
    op.create_index("ix_call_folds_expires_at", "call_folds", ["expires_at"])
    rate = sa.Column("crm_requests_per_minute", sa.Integer(), server_default="600", nullable=False)
    op.add_column("integrations", rate)
    fold = sa.Column("crm_fold_seconds", sa.Integer(), server_default="120", nullable=False)
    op.add_column("integrations", fold)
    sends: sa.Column[bool] = sa.Column(
        "crm_unanswered_sends", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.add_column("integrations", sends)


def downgrade() -> None:
    raise RuntimeError("There is no way back behind the calls reported since; restore a backup instead.")

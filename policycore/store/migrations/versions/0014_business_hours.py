"""Business hours: a calendar for an integration.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "business_calendars",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("calendar_json", sa.Text(), nullable=False),
        sa.Column("seen_sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("integration_id", name="pk_business_calendars"),
    )


def downgrade() -> None:
    raise RuntimeError("There is no way back behind the calendars kept since; restore a backup instead.")

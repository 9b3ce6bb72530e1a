"""Where a store lives, and whether it may be used: a copy or an old state must not be taken for the store itself.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "store_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("home", sa.String(length=200), server_default="", nullable=False),
        sa.Column("fence", sa.Text(), server_default="", nullable=False),
        sa.Column("numbers_above", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("restored_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_store_state"),
    )
    op.execute("INSERT INTO store_state (id) VALUES (1)")


def downgrade() -> None:
    raise RuntimeError(
        "There is no way back: a copy could be taken for the store itself; restore a backup instead."
    )

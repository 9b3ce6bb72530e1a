"""The outbox by destination, what was given up by time, and the shares of quotas that messages hold.

Written out in full and never edited again: what is on disk somewhere was made by it. On PostgreSQL the indexes are
built before it, while the product runs (`policycore.store.online_steps`); without that it is right as well, and slower.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INDEXES = {
    "ix_outbox_waiting_webhook": (
        "outbox (webhook_id, number) WHERE state = 'pending' AND webhook_id IS NOT NULL"
    ),
    "ix_outbox_waiting_integration": (
        "outbox (integration_id, number) WHERE state = 'pending' AND integration_id IS NOT NULL"
    ),
    "ix_outbox_given_up": "outbox (settled_at) WHERE state IN ('failed', 'blocked')",
}


def upgrade() -> None:
    op.add_column("messages", sa.Column("reserved_share", sa.String(length=64)))
    for index, place in _INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {place}")


def downgrade() -> None:
    raise RuntimeError("There is no way back behind shares of quotas; restore a backup instead.")

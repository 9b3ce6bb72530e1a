"""The outbox by destination, what was given up by time, and the shares of quotas that messages hold.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PENDING = "state = 'pending' AND {} IS NOT NULL"
_GIVEN_UP = "state IN ('failed', 'blocked')"


def upgrade() -> None:
    op.add_column("messages", sa.Column("reserved_share", sa.String(length=64)))
    for name, column in (
        ("ix_outbox_waiting_webhook", "webhook_id"),
        ("ix_outbox_waiting_integration", "integration_id"),
    ):
        waiting = sa.text(_PENDING.format(column))
        op.create_index(name, "outbox", [column, "number"], sqlite_where=waiting, postgresql_where=waiting)
    given_up = sa.text(_GIVEN_UP)
    op.create_index(
        "ix_outbox_given_up", "outbox", ["settled_at"], sqlite_where=given_up, postgresql_where=given_up
    )


def downgrade() -> None:
    raise RuntimeError("There is no way back behind shares of quotas; restore a backup instead.")

"""Messages whose outcome is unknown, and instances that stopped to acknowledge what they accept.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()
_UNKNOWN = 8


def upgrade() -> None:
    op.create_table(
        "unknown_messages",
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("unknown_since", _MOMENT, nullable=False),
        sa.Column("looks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_look", sa.String(length=64), server_default="", nullable=False),
        sa.Column("next_look_at", _MOMENT),
        sa.PrimaryKeyConstraint("message_id", name="pk_unknown_messages"),
    )
    op.create_index("ix_unknown_messages_unknown_since", "unknown_messages", ["unknown_since", "message_id"])
    op.create_index("ix_unknown_messages_next_look_at", "unknown_messages", ["next_look_at"])
    op.add_column("instances", sa.Column("unacknowledged_since", _MOMENT))
    op.add_column("instances", sa.Column("held_until", _MOMENT))
    # What is unknown already is looked for at once.
    messages = sa.table(
        "messages", *(sa.column(name) for name in ("id", "state", "settled_at", "updated_at"))
    )
    since = sa.func.coalesce(messages.c.settled_at, messages.c.updated_at)
    unknown = sa.table(
        "unknown_messages", *(sa.column(name) for name in ("message_id", "unknown_since", "next_look_at"))
    )
    rows = sa.select(messages.c.id, since, since).where(messages.c.state == _UNKNOWN)
    op.execute(unknown.insert().from_select(["message_id", "unknown_since", "next_look_at"], rows))


def downgrade() -> None:
    raise RuntimeError("There is no way back behind what is unknown; restore a backup instead.")

"""The live invariants: how far they have looked, what they found; when persons were found to be one.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "invariant_progress",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("messages_until", _MOMENT, nullable=False),
        sa.Column("log_id", sa.BigInteger(), nullable=False),
        sa.Column("quota_account_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("ran_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invariant_progress"),
    )
    op.create_table(
        "invariant_violations",
        sa.Column("invariant", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=100), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("found_at", _MOMENT, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.Column("sightings", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("invariant", "subject", name="pk_invariant_violations"),
    )
    op.create_index("ix_invariant_violations_seen_at", "invariant_violations", ["seen_at"])
    op.add_column("persons", sa.Column("merged_at", _MOMENT))
    # Persons who were joined before are taken to have been joined now: what was sent before is not judged.
    persons = sa.table("persons", sa.column("merged_into"), sa.column("merged_at"))
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    op.execute(persons.update().where(persons.c.merged_into.is_not(None)).values(merged_at=now))
    op.create_index(
        "ix_persons_merged_into",
        "persons",
        ["merged_into"],
        sqlite_where=sa.text("merged_into IS NOT NULL"),
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )


def downgrade() -> None:
    raise RuntimeError("There is no way back behind what was found broken; restore a backup instead.")

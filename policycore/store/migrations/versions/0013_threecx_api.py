"""The API of 3CX phone systems: how they are asked, who watches them, missed calls, who replied.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "threecx_apis",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("client_id", sa.String(length=200), nullable=False),
        sa.Column("client_secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("missed_calls", sa.Boolean(), nullable=False),
        sa.Column("who_replied", sa.Boolean(), nullable=False),
        sa.Column("webhook_discovery", sa.Boolean(), nullable=False),
        sa.Column("every_extension_listed", sa.Boolean(), nullable=False),
        sa.Column("catch_up_seconds", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("integration_id", name="pk_threecx_apis"),
    )
    op.create_table(
        "threecx_watches",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), server_default="", nullable=False),
        sa.Column("leased_until", _MOMENT),
        sa.Column("known_until", _MOMENT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), server_default="", nullable=False),
        sa.Column("state_since", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("integration_id", name="pk_threecx_watches"),
    )
    op.create_table(
        "threecx_calls",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("began_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=False),
        sa.Column("reached_dn", sa.String(length=32), server_default="", nullable=False),
        sa.Column("from_history", sa.Boolean(), nullable=False),
        sa.Column("found_at", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_try_at", _MOMENT),
        sa.Column("outcome", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_threecx_calls"),
    )
    op.create_index(
        "ix_threecx_calls_integration_id_caller_ended_at",
        "threecx_calls",
        ["integration_id", "caller", "ended_at"],
    )
    op.create_index(
        "ix_threecx_calls_integration_id_next_try_at", "threecx_calls", ["integration_id", "next_try_at"]
    )
    op.create_index("ix_threecx_calls_ended_at", "threecx_calls", ["ended_at"])
    op.create_table(
        "message_authors",
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("chat_message_id", sa.String(length=64), nullable=False),
        sa.Column("extension", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("noted_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_message_authors"),
    )
    op.create_index(
        "ix_message_authors_integration_id_chat_message_id",
        "message_authors",
        ["integration_id", "chat_message_id"],
        unique=True,
    )
    op.create_index("ix_message_authors_noted_at", "message_authors", ["noted_at"])


def downgrade() -> None:
    raise RuntimeError("There is no way back behind what phone systems told; restore a backup instead.")

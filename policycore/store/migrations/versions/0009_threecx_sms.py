"""The SMS-provider connector of 3CX integrations.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    _settings()
    _numbers()
    _keys()
    op.create_table(
        "gateway_lines",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("business_number", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("written_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint(
            "integration_id", "business_number", "customer", "reason", name="pk_gateway_lines"
        ),
    )
    op.create_index("ix_gateway_lines_written_at", "gateway_lines", ["written_at"])


def _settings() -> None:
    op.create_table(
        "threecx_sms",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("webhook_url_sealed", sa.LargeBinary()),
        sa.Column("default_purpose", sa.String(length=32), nullable=False),
        sa.Column("gateway_lines", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("receipts", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), server_default=sa.text("600"), nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("integration_id", name="pk_threecx_sms"),
        sa.ForeignKeyConstraint(
            ["integration_id"], ["integrations.id"], name="fk_threecx_sms_integration_id"
        ),
    )


def _numbers() -> None:
    op.create_table(
        "threecx_sms_numbers",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("integration_id", "instance_id", name="pk_threecx_sms_numbers"),
        sa.UniqueConstraint("integration_id", "number", name="uq_threecx_sms_numbers_integration_id_number"),
        sa.ForeignKeyConstraint(
            ["integration_id"], ["integrations.id"], name="fk_threecx_sms_numbers_integration_id"
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_threecx_sms_numbers_instance_id"),
    )


def _keys() -> None:
    op.create_table(
        "threecx_sms_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.String(length=32), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("valid_until", _MOMENT),
        sa.Column("last_used_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_threecx_sms_keys"),
        sa.UniqueConstraint("key_digest", name="uq_threecx_sms_keys_key_digest"),
        sa.ForeignKeyConstraint(
            ["integration_id"], ["integrations.id"], name="fk_threecx_sms_keys_integration_id"
        ),
    )
    op.create_index("ix_threecx_sms_keys_integration_id", "threecx_sms_keys", ["integration_id"])


def downgrade() -> None:
    raise RuntimeError("There is no way back behind the keys made since; restore a backup instead.")

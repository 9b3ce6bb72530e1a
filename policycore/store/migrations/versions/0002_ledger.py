"""The first schema, second half: ledger, policy log, messages and deliveries.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()
# SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_ledger() -> None:
    op.create_table(
        "quota_usage",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("period", sa.String(length=16), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "period", name="pk_quota_usage"),
    )

    op.create_table(
        "cool_downs",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("event_type", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("integration_id", "event_type", "person_id", name="pk_cool_downs"),
    )
    op.create_index("ix_cool_downs_until", "cool_downs", ["until"])
    op.create_index("ix_cool_downs_message_id", "cool_downs", ["message_id"])

    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("log_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String(length=64)),
        sa.Column("event_type", sa.Integer(), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])

    op.create_table(
        "signature_claims",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_signature_claims"),
    )
    op.create_index("ix_signature_claims_expires_at", "signature_claims", ["expires_at"])


def _create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("log_id", _ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("decided_at", _MOMENT, nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("integration_id", sa.String(length=64)),
        sa.Column("instance_id", sa.String(length=64)),
        sa.Column("person_id", sa.String(length=64)),
        sa.Column("caller", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("event_type", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("phone_masked", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=200), nullable=False),
        sa.Column("message_id", sa.String(length=64)),
        sa.Column("verdict", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False),
        sa.Column("action", sa.Integer(), nullable=False),
        sa.Column("risk_score", sa.Integer(), nullable=False),
        sa.Column("retry_after_seconds", sa.Float()),
        sa.Column("rules_version", sa.BigInteger(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("findings_json", sa.Text(), nullable=False),
        sa.Column("inputs_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("log_id", name="pk_decisions"),
        sa.UniqueConstraint("id", name="uq_decisions_id"),
    )
    op.create_index("ix_decisions_account", "decisions", ["account_id", "log_id"])
    op.create_index("ix_decisions_person", "decisions", ["person_id", "log_id"])


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("integration_id", sa.String(length=64)),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=200), server_default="", nullable=False),
        sa.Column("outbound", sa.Boolean(), nullable=False),
        sa.Column("from_business", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(length=300)),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_digest", sa.LargeBinary(length=32)),
        sa.Column("to_phone", sa.String(length=32), server_default="", nullable=False),
        sa.Column("to_lid", sa.String(length=64), server_default="", nullable=False),
        sa.Column("to_bsuid", sa.String(length=160), server_default="", nullable=False),
        sa.Column("event_type", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("purpose", sa.String(length=64), server_default="", nullable=False),
        sa.Column("log_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("provider_at", _MOMENT),
        sa.Column("send_after", _MOMENT),
        sa.Column("not_after", _MOMENT),
        sa.Column("handed_out_at", _MOMENT),
        sa.Column("settled_at", _MOMENT),
        sa.Column("error_code", sa.String(length=64), server_default="", nullable=False),
        sa.Column("error_text", sa.Text(), server_default="", nullable=False),
        sa.Column("reserved_day", sa.String(length=16)),
        sa.Column("reserved_month", sa.String(length=16)),
        sa.Column("cool_down_reserved", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("confirms_opt_out", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("media_json", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
    )
    op.create_index("ix_messages_external", "messages", ["instance_id", "external_id"])
    op.create_index("ix_messages_account", "messages", ["account_id", "created_at"])
    op.create_index("ix_messages_instance", "messages", ["instance_id", "created_at"])
    op.create_index(
        "ix_messages_open",
        "messages",
        ["state", "created_at"],
        sqlite_where=sa.text("state IN (1, 2)"),
        postgresql_where=sa.text("state IN (1, 2)"),
    )
    op.create_index("ix_messages_person", "messages", ["person_id", "created_at"])
    op.create_index(
        "ix_messages_spread",
        "messages",
        ["account_id", "text_digest", "created_at"],
        sqlite_where=sa.text("text_digest IS NOT NULL"),
        postgresql_where=sa.text("text_digest IS NOT NULL"),
    )


def _create_deliveries() -> None:
    op.create_table(
        "inbox",
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("event_key", sa.String(length=200), nullable=False),
        sa.Column("completed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "event_key", name="pk_inbox"),
    )
    op.create_index("ix_inbox_completed_at", "inbox", ["completed_at"])

    op.create_table(
        "unmatched_receipts",
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("error_code", sa.String(length=64), server_default="", nullable=False),
        sa.Column("error_text", sa.Text(), server_default="", nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "external_id", "kind", name="pk_unmatched_receipts"),
    )
    op.create_index("ix_unmatched_receipts_received_at", "unmatched_receipts", ["received_at"])

    op.create_table(
        "outbox",
        sa.Column("number", _ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("integration_id", sa.String(length=64)),
        sa.Column("webhook_id", sa.String(length=64)),
        sa.Column("instance_id", sa.String(length=64)),
        sa.Column("person_id", sa.String(length=64)),
        sa.Column("event_name", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", _MOMENT, nullable=False),
        sa.Column("leased_until", _MOMENT),
        sa.Column("last_http_status", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("settled_at", _MOMENT),
        sa.PrimaryKeyConstraint("number", name="pk_outbox"),
        sa.UniqueConstraint("id", name="uq_outbox_id"),
    )
    op.create_index("ix_outbox_account", "outbox", ["account_id", "number"])
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["next_attempt_at"],
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_outbox_instance", "outbox", ["instance_id", "number"])

    op.create_table(
        "message_events",
        sa.Column("sequence", _ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("occurred_at", _MOMENT, nullable=False),
        sa.Column("event_name", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("message_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_message_events"),
    )
    op.create_index("ix_message_events_account", "message_events", ["account_id", "sequence"])


def _create_logs() -> None:
    op.create_table(
        "refusals",
        sa.Column("minute", _MOMENT, nullable=False),
        sa.Column("surface", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("source_address", sa.String(length=64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "minute", "surface", "target", "reason", "source_address", name="pk_refusals"
        ),
    )

    op.create_table(
        "audit_entries",
        sa.Column("id", _ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("occurred_at", _MOMENT, nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=200), server_default="", nullable=False),
        sa.Column("account_id", sa.String(length=64)),
        sa.Column("detail_json", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
    )


def upgrade() -> None:
    _create_ledger()
    _create_decisions()
    _create_messages()
    _create_deliveries()
    _create_logs()


def downgrade() -> None:
    raise RuntimeError("There is no way back behind the first schema; restore a backup instead.")

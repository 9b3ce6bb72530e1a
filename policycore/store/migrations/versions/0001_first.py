"""The first schema: configuration, controls and persons.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()
# SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_accounts_and_keys() -> None:
    op.create_table(
        "config_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_config_state"),
    )

    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("daily_limit", sa.BigInteger()),
        sa.Column("monthly_limit", sa.BigInteger()),
        sa.Column("threecx_module_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("language", sa.String(length=8), server_default="en", nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
    )

    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("revoked_at", _MOMENT),
        sa.Column("last_used_at", _MOMENT),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_api_keys_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("key_digest", name="uq_api_keys_key_digest"),
    )
    op.create_index("ix_api_keys_account_id", "api_keys", ["account_id"])

    op.create_table(
        "service_tokens",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("rights", sa.Text(), nullable=False),
        sa.Column("account_ids", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("revoked_at", _MOMENT),
        sa.Column("last_used_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_service_tokens"),
        sa.UniqueConstraint("name", name="uq_service_tokens_name"),
        sa.UniqueConstraint("token_digest", name="uq_service_tokens_token_digest"),
    )


def _create_instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("backend", sa.String(length=32), nullable=False),
        sa.Column("base_url", sa.String(length=2000), server_default="", nullable=False),
        sa.Column("external_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("secrets_sealed", sa.LargeBinary()),
        sa.Column("phone", sa.String(length=32), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason", sa.String(length=64), server_default="", nullable=False),
        sa.Column("state_changed_at", _MOMENT, nullable=False),
        sa.Column("replies_only_until", _MOMENT),
        sa.Column("messages_per_second", sa.Float()),
        sa.Column("burst", sa.Integer()),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_instances_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        sa.UniqueConstraint("account_id", "name", name="uq_instances_account_id_name"),
    )


def _create_integrations() -> None:
    op.create_table(
        "integrations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("signature_required", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("allowed_addresses", sa.Text(), server_default="[]", nullable=False),
        sa.Column("default_instance_id", sa.String(length=64)),
        sa.Column("inbound_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("outbound_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("call_events_enabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("destination_kind", sa.String(length=32), server_default="none", nullable=False),
        sa.Column("destination_url", sa.String(length=2000), server_default="", nullable=False),
        sa.Column("signing_secret_sealed", sa.LargeBinary()),
        sa.Column("country", sa.String(length=2), server_default="", nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), server_default=sa.text("60"), nullable=False),
        sa.Column("cool_down_seconds", sa.Integer(), server_default=sa.text("900"), nullable=False),
        sa.Column("language", sa.String(length=8), server_default="en", nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_integrations_account_id"),
        sa.ForeignKeyConstraint(
            ["default_instance_id"], ["instances.id"], name="fk_integrations_default_instance_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_integrations"),
    )
    op.create_index("ix_integrations_account_id", "integrations", ["account_id"])

    op.create_table(
        "integration_instances",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name="fk_integration_instances_instance_id"
        ),
        sa.ForeignKeyConstraint(
            ["integration_id"], ["integrations.id"], name="fk_integration_instances_integration_id"
        ),
        sa.PrimaryKeyConstraint("integration_id", "instance_id", name="pk_integration_instances"),
    )


def _create_secrets_and_templates() -> None:
    op.create_table(
        "integration_secrets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("valid_until", _MOMENT),
        sa.Column("last_used_at", _MOMENT),
        sa.ForeignKeyConstraint(
            ["integration_id"], ["integrations.id"], name="fk_integration_secrets_integration_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_integration_secrets"),
    )
    op.create_index("ix_integration_secrets_integration_id", "integration_secrets", ["integration_id"])

    op.create_table(
        "templates",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("event_type", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["integration_id"], ["integrations.id"], name="fk_templates_integration_id"),
        sa.PrimaryKeyConstraint("integration_id", "event_type", name="pk_templates"),
    )

    op.create_table(
        "customer_webhooks",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("signing_secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("event_names", sa.Text(), server_default="[]", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_customer_webhooks_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_customer_webhooks"),
    )
    op.create_index("ix_customer_webhooks_account_id", "customer_webhooks", ["account_id"])


def _create_controls() -> None:
    op.create_table(
        "pauses",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("scope_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("account_id", sa.String(length=64)),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("until", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("lifted_at", _MOMENT),
        sa.Column("lifted_by", sa.String(length=200)),
        sa.PrimaryKeyConstraint("id", name="pk_pauses"),
    )

    op.create_table(
        "rules",
        sa.Column("number", _ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("account_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("rules_json", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_rules"),
    )
    op.create_index("ix_rules_account_id", "rules", ["account_id"])

    op.create_table(
        "suppressions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("evidence_message_id", sa.String(length=64)),
        sa.Column("evidence_rule", sa.String(length=200), server_default="", nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("author", sa.String(length=200), server_default="", nullable=False),
        sa.Column("lifted_at", _MOMENT),
        sa.Column("lifted_by", sa.String(length=200)),
        sa.Column("lifted_reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_suppressions"),
    )
    op.create_index("ix_suppressions_account", "suppressions", ["account_id", "created_at"])
    op.create_index("ix_suppressions_person", "suppressions", ["person_id"])

    op.create_table(
        "clarifications",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("asked_at", _MOMENT, nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "person_id", name="pk_clarifications"),
    )


def _create_persons() -> None:
    op.create_table(
        "persons",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("language", sa.String(length=8), server_default="", nullable=False),
        sa.Column("merged_into", sa.String(length=64)),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_persons"),
    )

    op.create_table(
        "identities",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "kind", "value", name="pk_identities"),
    )
    op.create_index("ix_identities_person_id", "identities", ["person_id"])

    op.create_table(
        "windows",
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("last_inbound_at", _MOMENT, nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=False),
        sa.Column("closed_by_backend_at", _MOMENT),
        sa.PrimaryKeyConstraint("instance_id", "person_id", name="pk_windows"),
        sa.UniqueConstraint("conversation_id", name="uq_windows_conversation_id"),
    )
    op.create_index("ix_windows_person_id", "windows", ["person_id"])

    op.create_table(
        "conversation_bindings",
        sa.Column("integration_id", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("integration_id", "external_id", name="pk_conversation_bindings"),
    )


def upgrade() -> None:
    _create_accounts_and_keys()
    _create_instances()
    _create_integrations()
    _create_secrets_and_templates()
    _create_controls()
    _create_persons()
    if op.get_bind().dialect.name == "postgresql":
        # SQLite has one writer, who numbers rows by the highest one.
        op.execute("CREATE SEQUENCE decision_log_ids")
        op.execute("CREATE SEQUENCE message_event_ids")
    op.execute("INSERT INTO config_state (id, version) VALUES (1, 1)")


def downgrade() -> None:
    raise RuntimeError("There is no way back behind the first schema; restore a backup instead.")

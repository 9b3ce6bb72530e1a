"""Every table of the policy core. Alembic's migrations are checked against this file by a test.

Ids are text with a prefix; moments are `Instant`; numbers that grow are `BigInteger`. Text that belongs to a
person is in `messages` and `identities` and nowhere else; secrets are sealed (AES-GCM) before they come here.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from policycore.store.calendar_tables import business_calendars as business_calendars
from policycore.store.crm_tables import call_folds as call_folds
from policycore.store.invariant_tables import invariant_progress as invariant_progress
from policycore.store.invariant_tables import invariant_violations as invariant_violations
from policycore.store.log_tables import audit_entries as audit_entries
from policycore.store.log_tables import refusals as refusals
from policycore.store.log_tables import retention_progress as retention_progress
from policycore.store.outbox_table import outbox as outbox
from policycore.store.schema import RowNumber, metadata
from policycore.store.schema import id_column as _id
from policycore.store.signing_tables import next_signing_secrets as next_signing_secrets
from policycore.store.store_state_tables import store_state as store_state
from policycore.store.threecx_api_tables import message_authors as message_authors
from policycore.store.threecx_api_tables import threecx_apis as threecx_apis
from policycore.store.threecx_api_tables import threecx_calls as threecx_calls
from policycore.store.threecx_api_tables import threecx_watches as threecx_watches
from policycore.store.threecx_sms_tables import gateway_lines as gateway_lines
from policycore.store.threecx_sms_tables import threecx_sms as threecx_sms
from policycore.store.threecx_sms_tables import threecx_sms_keys as threecx_sms_keys
from policycore.store.threecx_sms_tables import threecx_sms_numbers as threecx_sms_numbers
from policycore.store.types import Instant
from policycore.store.unknown_tables import unknown_messages as unknown_messages
from policycore.store.window_tables import window_notices as window_notices

# --- configuration
# -------------------------------------------------------------------------------------------------

config_state = Table(
    "config_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)
"""One row. Every change of configuration, pauses included, raises `version` in its own transaction."""

accounts = Table(
    "accounts",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("plan", Integer, nullable=False),
    Column("daily_limit", BigInteger),
    Column("monthly_limit", BigInteger),
    Column("threecx_module_enabled", Boolean, nullable=False, server_default=true()),
    Column("language", String(8), nullable=False, server_default="en"),
    Column("created_at", Instant, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    Column("account_id", String(64), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("prefix", String(32), nullable=False),
    Column("name", String(200), nullable=False),
    Column("key_digest", LargeBinary(32), nullable=False, unique=True),
    Column("test", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
)

service_tokens = Table(
    "service_tokens",
    metadata,
    _id(),
    Column("name", String(200), nullable=False, unique=True),
    Column("token_digest", LargeBinary(32), nullable=False, unique=True),
    Column("rights", Text, nullable=False),
    Column("account_ids", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
)

instances = Table(
    "instances",
    metadata,
    _id(),
    Column("account_id", String(64), ForeignKey("accounts.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("backend", String(32), nullable=False),
    Column("base_url", String(2000), nullable=False, server_default=""),
    Column("external_name", String(200), nullable=False, server_default=""),
    Column("secrets_sealed", LargeBinary),
    Column("phone", String(32), nullable=False, server_default=""),
    Column("state", String(16), nullable=False),
    Column("state_reason", String(64), nullable=False, server_default=""),
    Column("state_changed_at", Instant, nullable=False),
    Column("replies_only_until", Instant),
    Column("unacknowledged_since", Instant),
    Column("held_until", Instant),
    Column("messages_per_second", Float),
    Column("burst", Integer),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "name"),
)

integrations = Table(
    "integrations",
    metadata,
    _id(),
    Column("account_id", String(64), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("signature_required", Boolean, nullable=False, server_default=false()),
    Column("allowed_addresses", Text, nullable=False, server_default="[]"),
    Column("default_instance_id", String(64), ForeignKey("instances.id")),
    Column("inbound_enabled", Boolean, nullable=False, server_default=true()),
    Column("outbound_enabled", Boolean, nullable=False, server_default=true()),
    Column("call_events_enabled", Boolean, nullable=False, server_default=false()),
    Column("destination_kind", String(32), nullable=False, server_default="none"),
    Column("destination_url", String(2000), nullable=False, server_default=""),
    Column("signing_secret_sealed", LargeBinary),
    Column("country", String(2), nullable=False, server_default=""),
    Column("requests_per_minute", Integer, nullable=False, server_default=text("60")),
    Column("cool_down_seconds", Integer, nullable=False, server_default=text("900")),
    Column("crm_requests_per_minute", Integer, nullable=False, server_default=text("600")),
    Column("crm_fold_seconds", Integer, nullable=False, server_default=text("120")),
    Column("crm_unanswered_sends", Boolean, nullable=False, server_default=false()),
    Column("language", String(8), nullable=False, server_default="en"),
    Column("window_notice_seconds", Integer, nullable=False, server_default=text("3600")),
    Column("created_at", Instant, nullable=False),
    Column("query_token_enabled", Boolean, nullable=False, server_default=false()),
)

integration_instances = Table(
    "integration_instances",
    metadata,
    Column("integration_id", String(64), ForeignKey("integrations.id"), primary_key=True),
    Column("instance_id", String(64), ForeignKey("instances.id"), primary_key=True),
)

integration_secrets = Table(
    "integration_secrets",
    metadata,
    _id(),
    Column("integration_id", String(64), ForeignKey("integrations.id"), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("valid_until", Instant),
    Column("last_used_at", Instant),
)

templates = Table(
    "templates",
    metadata,
    Column("integration_id", String(64), ForeignKey("integrations.id"), primary_key=True),
    Column("event_type", Integer, primary_key=True, autoincrement=False),
    Column("enabled", Boolean, nullable=False),
    Column("language", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("purpose", String(32), nullable=False),
)

customer_webhooks = Table(
    "customer_webhooks",
    metadata,
    _id(),
    Column("account_id", String(64), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("url", String(2000), nullable=False),
    Column("signing_secret_sealed", LargeBinary, nullable=False),
    Column("event_names", Text, nullable=False, server_default="[]"),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("created_at", Instant, nullable=False),
)

pauses = Table(
    "pauses",
    metadata,
    _id(),
    Column("scope", String(16), nullable=False),
    Column("scope_id", String(64), nullable=False, server_default=""),
    Column("account_id", String(64)),
    Column("author", String(200), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("lifted_at", Instant),
    Column("lifted_by", String(200)),
)

rules = Table(
    "rules",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("account_id", String(64), nullable=False, server_default="", index=True),
    Column("rules_json", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
)
"""Append-only: the newest row of an account ('' is the platform) holds; `number` is the rules' version."""

# --- persons
# -------------------------------------------------------------------------------------------------------

_JOINED = text("merged_into IS NOT NULL")
persons = Table(
    "persons",
    metadata,
    _id(),
    Column("account_id", String(64), nullable=False),
    Column("display_name", String(200), nullable=False, server_default=""),
    Column("language", String(8), nullable=False, server_default=""),
    Column("merged_into", String(64)),
    Column("merged_at", Instant),
    Column("created_at", Instant, nullable=False),
    Index("ix_persons_merged_into", "merged_into", sqlite_where=_JOINED, postgresql_where=_JOINED),
)
"""Someone on WhatsApp, as one account knows them. A merged person's row stays and points to the survivor."""

identities = Table(
    "identities",
    metadata,
    Column("account_id", String(64), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("value", String(200), primary_key=True),
    Column("person_id", String(64), nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
)
"""`kind` is `phone`, `lid`, `bsuid` or `alias`: a pseudonym, for whom no phone is known."""

windows = Table(
    "windows",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("person_id", String(64), primary_key=True, index=True),
    Column("account_id", String(64), nullable=False),
    Column("last_inbound_at", Instant, nullable=False),
    Column("conversation_id", String(64), nullable=False, unique=True),
    Column("closed_by_backend_at", Instant),
    Index("ix_windows_last_inbound_at", "last_inbound_at"),
)
"""`last_inbound_at` is on the provider's clock and never moves back."""

conversation_bindings = Table(
    "conversation_bindings",
    metadata,
    Column("integration_id", String(64), primary_key=True),
    Column("external_id", String(200), primary_key=True),
    Column("instance_id", String(64), nullable=False),
    Column("person_id", String(64), nullable=False, index=True),
    Column("updated_at", Instant, nullable=False),
)
"""The phone system's conversation ids, learned from accepted replies."""

suppressions = Table(
    "suppressions",
    metadata,
    _id(),
    Column("account_id", String(64), nullable=False),
    Column("person_id", String(64), nullable=False),
    Column("source", String(16), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("evidence_message_id", String(64)),
    Column("evidence_rule", String(200), nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    Column("author", String(200), nullable=False, server_default=""),
    Column("lifted_at", Instant),
    Column("lifted_by", String(200)),
    Column("lifted_reason", Text),
    Index("ix_suppressions_person", "person_id"),
    Index("ix_suppressions_account", "account_id", "created_at"),
)

clarifications = Table(
    "clarifications",
    metadata,
    Column("account_id", String(64), primary_key=True),
    Column("person_id", String(64), primary_key=True),
    Column("asked_at", Instant, nullable=False),
    Column("rule", String(200), nullable=False),
)
"""Persons who wrote an ambiguous word and were asked back: once, until they answer clearly."""

# --- ledger
# --------------------------------------------------------------------------------------------------------

quota_usage = Table(
    "quota_usage",
    metadata,
    Column("account_id", String(64), primary_key=True),
    Column("period", String(16), primary_key=True),
    Column("used", BigInteger, nullable=False),
)
"""`period` is `2026-03-14` or `2026-03`, in the account's time zone. `account_id` may name a caller's share of an
account as well: `acc_…/threecx`.
"""

cool_downs = Table(
    "cool_downs",
    metadata,
    Column("integration_id", String(64), primary_key=True),
    Column("event_type", Integer, primary_key=True, autoincrement=False),
    Column("person_id", String(64), primary_key=True),
    Column("until", Instant, nullable=False, index=True),
    Column("message_id", String(64), nullable=False, index=True),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", String(80), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("body_digest", LargeBinary, nullable=False),
    Column("log_id", BigInteger, nullable=False),
    Column("message_id", String(64)),
    Column("event_type", Integer, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

signature_claims = Table(
    "signature_claims",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", Instant, nullable=False, index=True),
)

decisions = Table(
    "decisions",
    metadata,
    Column("log_id", RowNumber, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, unique=True),
    Column("decided_at", Instant, nullable=False),
    Column("account_id", String(64), nullable=False),
    Column("integration_id", String(64)),
    Column("instance_id", String(64)),
    Column("person_id", String(64)),
    Column("caller", String(200), nullable=False),
    Column("source", String(16), nullable=False),
    Column("event_type", Integer, nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("phone_masked", String(64), nullable=False),
    Column("conversation_id", String(200), nullable=False),
    Column("message_id", String(64)),
    Column("verdict", Integer, nullable=False),
    Column("reason", Integer, nullable=False),
    Column("action", Integer, nullable=False),
    Column("risk_score", Integer, nullable=False),
    Column("retry_after_seconds", Float),
    Column("rules_version", BigInteger, nullable=False),
    Column("explanation", Text, nullable=False),
    Column("findings_json", Text, nullable=False),
    Column("inputs_json", Text, nullable=False),
    Index("ix_decisions_account", "account_id", "log_id"),
    Index("ix_decisions_person", "person_id", "log_id"),
    Index("ix_decisions_integration", "integration_id", "log_id"),
)
"""On PostgreSQL this is a partitioned table, a partition for each month (`policycore.store.partitions`); number and id
are unique in each partition, and by how they are made in all of them.
"""

# --- messages
# ------------------------------------------------------------------------------------------------------

messages = Table(
    "messages",
    metadata,
    _id(),
    Column("account_id", String(64), nullable=False),
    Column("instance_id", String(64), nullable=False),
    Column("integration_id", String(64)),
    Column("person_id", String(64), nullable=False),
    Column("conversation_id", String(200), nullable=False, server_default=""),
    Column("outbound", Boolean, nullable=False),
    Column("from_business", Boolean, nullable=False, server_default=false()),
    Column("state", Integer, nullable=False),
    Column("external_id", String(300)),
    Column("kind", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("text_digest", LargeBinary(32)),
    Column("to_phone", String(32), nullable=False, server_default=""),
    Column("to_lid", String(64), nullable=False, server_default=""),
    Column("to_bsuid", String(160), nullable=False, server_default=""),
    Column("event_type", Integer, nullable=False, server_default=text("0")),
    Column("purpose", String(64), nullable=False, server_default=""),
    Column("log_id", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("provider_at", Instant),
    Column("send_after", Instant),
    Column("not_after", Instant),
    Column("handed_out_at", Instant),
    Column("settled_at", Instant),
    Column("error_code", String(64), nullable=False, server_default=""),
    Column("error_text", Text, nullable=False, server_default=""),
    Column("reserved_day", String(16)),
    Column("reserved_month", String(16)),
    Column("reserved_share", String(64)),
    Column("cool_down_reserved", Boolean, nullable=False, server_default=false()),
    Column("confirms_opt_out", Boolean, nullable=False, server_default=false()),
    Column("media_json", Text),
    Index("ix_messages_account", "account_id", "created_at"),
    Index("ix_messages_instance", "instance_id", "created_at"),
    Index("ix_messages_person", "person_id", "created_at"),
    Index("ix_messages_external", "instance_id", "external_id"),
    Index(
        "ix_messages_open",
        "state",
        "created_at",
        sqlite_where=text("state IN (1, 2)"),
        postgresql_where=text("state IN (1, 2)"),
    ),
    Index(
        "ix_messages_spread",
        "account_id",
        "text_digest",
        "created_at",
        sqlite_where=text("text_digest IS NOT NULL"),
        postgresql_where=text("text_digest IS NOT NULL"),
    ),
)
"""Both directions. `state` is a number of `MessageState`; 1 and 2 (waiting, handed out) are the open ones."""

inbox = Table(
    "inbox",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("event_key", String(200), primary_key=True),
    Column("completed_at", Instant, nullable=False, index=True),
)
"""Events that were acted on, by completion: the row is written in the transaction that holds their effect."""

unmatched_receipts = Table(
    "unmatched_receipts",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("external_id", String(300), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("error_code", String(64), nullable=False, server_default=""),
    Column("error_text", Text, nullable=False, server_default=""),
    Column("received_at", Instant, nullable=False, index=True),
)
"""Receipts that came before the answer that tells which message they are about; kept for a day."""

message_events = Table(
    "message_events",
    metadata,
    Column("sequence", RowNumber, primary_key=True, autoincrement=False),
    Column("account_id", String(64), nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("event_name", String(64), nullable=False),
    Column("message_id", String(64), nullable=False),
    Column("message_json", Text, nullable=False),
    Index("ix_message_events_account", "account_id", "sequence"),
)

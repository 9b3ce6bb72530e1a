"""Owns what the registry keeps, row by row. Field names are those of the tables. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum


class Plan(IntEnum):
    """Fair-use plans; numbers as in `accounts.proto`."""

    STARTER = 1
    GROWTH = 2
    SCALE = 3
    CUSTOM = 4


class SuppressionSource(StrEnum):
    """Who suppressed."""

    PERSON = "person"
    ADMINISTRATOR = "administrator"
    IMPORT = "import"
    WHATSAPP = "whatsapp"


class PauseScope(StrEnum):
    """What is paused."""

    PLATFORM = "platform"
    ACCOUNT = "account"
    INSTANCE = "instance"
    INTEGRATION = "integration"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A customer."""

    id: str
    name: str
    time_zone: str
    plan: int
    daily_limit: int | None
    monthly_limit: int | None
    threecx_module_enabled: bool
    language: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """A customer system's key."""

    id: str
    account_id: str
    prefix: str
    name: str
    key_digest: bytes
    test: bool
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServiceTokenRow:
    """An internal service's token."""

    id: str
    name: str
    token_digest: bytes
    rights: tuple[str, ...]
    account_ids: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A connected WhatsApp number."""

    id: str
    account_id: str
    name: str
    backend: str
    base_url: str
    external_name: str
    secrets_sealed: bytes | None
    phone: str
    state: str
    state_reason: str
    state_changed_at: datetime
    replies_only_until: datetime | None
    messages_per_second: float | None
    burst: int | None
    created_at: datetime
    unacknowledged_since: datetime | None = None
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class IntegrationRow:
    """One customer's 3CX connection."""

    id: str
    account_id: str
    name: str
    enabled: bool
    signature_required: bool
    allowed_addresses: tuple[str, ...]
    default_instance_id: str | None
    inbound_enabled: bool
    outbound_enabled: bool
    call_events_enabled: bool
    destination_kind: str
    destination_url: str
    signing_secret_sealed: bytes | None
    country: str
    requests_per_minute: int
    cool_down_seconds: int
    language: str
    created_at: datetime
    crm_requests_per_minute: int = 600
    crm_fold_seconds: int = 120
    crm_unanswered_sends: bool = False
    query_token_enabled: bool = False
    window_notice_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class SecretRow:
    """A webhook secret of an integration; the newest has no `valid_until`."""

    id: str
    integration_id: str
    sealed: bytes
    created_at: datetime
    valid_until: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NextSigningRow:
    """A signing secret that signs from `signs_from` on."""

    destination_id: str
    sealed: bytes
    signs_from: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class ThreecxSmsRow:
    """Settings of an integration's SMS-provider connector."""

    integration_id: str
    webhook_url_sealed: bytes | None
    default_purpose: str
    gateway_lines: bool
    receipts: bool
    requests_per_minute: int
    changed_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class SmsKeyRow:
    """A bearer key of an SMS-provider connector; the newest has no `valid_until`."""

    id: str
    integration_id: str
    key_digest: bytes
    prefix: str
    created_at: datetime
    valid_until: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A call-event template."""

    integration_id: str
    event_type: int
    enabled: bool
    language: str
    text: str
    purpose: str


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """An endpoint of a customer's system. No event names means all."""

    id: str
    account_id: str
    url: str
    signing_secret_sealed: bytes
    event_names: tuple[str, ...]
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SuppressionRow:
    """An entry that blocks."""

    id: str
    account_id: str
    person_id: str
    source: str
    scope: str
    reason: str
    created_at: datetime
    author: str
    evidence_message_id: str | None = None
    evidence_rule: str = ""
    lifted_at: datetime | None = None
    lifted_by: str | None = None
    lifted_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PauseRow:
    """A switch a person set."""

    id: str
    scope: str
    scope_id: str
    account_id: str | None
    author: str
    reason: str
    until: datetime | None
    created_at: datetime
    lifted_at: datetime | None = None
    lifted_by: str | None = None


@dataclass(frozen=True, slots=True)
class PersonKey:
    """Someone on WhatsApp, by whichever identity is known."""

    phone: str = ""
    lid: str = ""
    bsuid: str = ""


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """An integration's business hours, and how far its chats were looked through for them."""

    integration_id: str
    account_id: str
    calendar_json: str
    seen_sequence: int
    updated_at: datetime

"""The configuration as the hot path sees it: one immutable picture, replaced as a whole when its version
rises.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from policycore.model import PauseFact, Rules, TemplateFact


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """A customer. Limits are messages per calendar day and month of `zone`."""

    account_id: str
    name: str
    zone: ZoneInfo
    daily_limit: int
    monthly_limit: int
    module_enabled: bool
    language: str
    rules: Rules


@dataclass(frozen=True, slots=True, repr=False)
class FormerSecrets:
    """An instance's secrets before a rotation; they count until `valid_until`."""

    api_token: str
    webhook_secret: str
    verify_token: str
    valid_until: datetime


@dataclass(frozen=True, slots=True, repr=False)
class NextSigningSecret:
    """A destination's other signing secret, which signs from `signs_from` on."""

    secret: str
    signs_from: datetime


@dataclass(frozen=True, slots=True, repr=False)
class InstanceConfig:
    """A connected WhatsApp number. `messages_per_second` 0 means no pace. Since `unacknowledged_since` it has not
    acknowledged what it accepted, and until `held_until` nothing is sent through it.
    """

    instance_id: str
    account_id: str
    name: str
    backend: str
    base_url: str
    external_name: str
    api_token: str
    webhook_secret: str
    verify_token: str
    phone: str
    state: str
    state_changed_at: datetime
    replies_only_until: datetime | None
    messages_per_second: float
    burst: int
    unacknowledged_since: datetime | None = None
    held_until: datetime | None = None
    former: FormerSecrets | None = None


@dataclass(frozen=True, slots=True, repr=False)
class SecretConfig:
    """A webhook secret that counts until `valid_until` (None: the newest)."""

    secret_id: str
    secret: str
    valid_until: datetime | None


@dataclass(frozen=True, slots=True, repr=False)
class SmsKeyConfig:
    """A bearer key, by digest, that counts until `valid_until` (None: the newest)."""

    key_id: str
    key_digest: bytes
    valid_until: datetime | None


@dataclass(frozen=True, slots=True, repr=False)
class ThreecxSmsConfig:
    """An integration's SMS-provider connector. `numbers` are the phone system's, by instance. The address is empty
    until it is known.
    """

    webhook_url: str
    numbers: Mapping[str, str]
    default_purpose: str
    gateway_lines: bool
    receipts: bool
    requests_per_minute: int
    keys: tuple[SmsKeyConfig, ...] = ()

    def instance_of(self, number: str | None) -> str | None:
        """The instance that a number of the phone system stands for."""
        return next((instance for instance, each in self.numbers.items() if each == number), None)


@dataclass(frozen=True, slots=True, repr=False)
class IntegrationConfig:
    """One customer's 3CX connection."""

    integration_id: str
    account_id: str
    name: str
    enabled: bool
    signature_required: bool
    allowed_addresses: tuple[str, ...]
    secrets: tuple[SecretConfig, ...]
    default_instance_id: str | None
    instance_ids: tuple[str, ...]
    inbound_enabled: bool
    outbound_enabled: bool
    call_events_enabled: bool
    destination_kind: str
    destination_url: str
    signing_secret: str
    country: str
    requests_per_minute: int
    cool_down_seconds: int
    language: str
    templates: Mapping[int, TemplateFact] = field(default_factory=dict)
    next_signing: NextSigningSecret | None = None
    crm_requests_per_minute: int = 600
    crm_fold_seconds: int = 120
    crm_unanswered_sends: bool = False
    sms: ThreecxSmsConfig | None = None
    query_token_enabled: bool = False
    window_notice_seconds: int = 3600
    """How long before a window ends agents who owe an answer are told; 0 for never."""


@dataclass(frozen=True, slots=True, repr=False)
class ApiKeyConfig:
    """A customer system's key, by digest."""

    api_key_id: str
    account_id: str
    key_digest: bytes
    revoked: bool
    test: bool


@dataclass(frozen=True, slots=True, repr=False)
class WebhookConfig:
    """A customer system's endpoint. Empty `event_names` means all events."""

    webhook_id: str
    account_id: str
    url: str
    signing_secret: str
    event_names: frozenset[str]
    enabled: bool
    next_signing: NextSigningSecret | None = None


@dataclass(frozen=True, slots=True)
class PauseConfig:
    """A pause that was not lifted; it may have run out."""

    scope_id: str
    fact: PauseFact


@dataclass(frozen=True, slots=True, repr=False)
class ServiceTokenConfig:
    """An internal service's identity, by digest of its token. Account `*` stands for all."""

    token_id: str
    name: str
    token_digest: bytes
    rights: frozenset[str]
    account_ids: frozenset[str]


_SCOPES = ("platform", "account", "instance", "integration", "person")
"""What a pause may cover, the most general first."""


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot:
    """Everything configured, at one version."""

    version: int
    accounts: Mapping[str, AccountConfig]
    instances: Mapping[str, InstanceConfig]
    integrations: Mapping[str, IntegrationConfig]
    api_keys: Mapping[str, ApiKeyConfig]
    webhooks: Mapping[str, tuple[WebhookConfig, ...]]
    service_tokens: Mapping[bytes, ServiceTokenConfig]
    pauses: tuple[PauseConfig, ...]
    instances_by_account: Mapping[str, tuple[InstanceConfig, ...]]
    integrations_by_instance: Mapping[str, tuple[IntegrationConfig, ...]]
    _pauses_by_scope: Mapping[tuple[str, str | None], list[PauseFact]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        by_scope: dict[tuple[str, str | None], list[PauseFact]] = {}
        for pause in self.pauses:
            known = pause.fact.scope in _SCOPES
            # A scope that this version does not know may be a wide one: it counts as the widest.
            key = (pause.fact.scope, pause.scope_id) if known else ("platform", "")
            by_scope.setdefault(key, []).append(pause.fact)
        object.__setattr__(self, "_pauses_by_scope", by_scope)

    def pauses_for(
        self, account_id: str, instance_id: str | None, integration_id: str | None, person_id: str | None
    ) -> tuple[PauseFact, ...]:
        """Pauses that touch a request, the most general first. Those that ran out are included; the check
        knows time.
        """
        if not self._pauses_by_scope:
            return ()
        ids = ("", account_id, instance_id, integration_id, person_id)
        found = map(self._pauses_by_scope.get, zip(_SCOPES, ids, strict=True))
        return tuple(fact for facts in found if facts for fact in facts)

    def find_instance(self, account_id: str, reference: str) -> InstanceConfig | None:
        """An account's instance by `ins_…` id or by name."""
        found = self.instances.get(reference)
        if found is not None and found.account_id == account_id:
            return found
        for instance in self.instances_by_account.get(account_id, ()):
            if instance.name == reference:
                return instance
        return None

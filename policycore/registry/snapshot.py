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
class InstanceConfig:
    """A connected WhatsApp number. `messages_per_second` 0 means no pace."""

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


@dataclass(frozen=True, slots=True, repr=False)
class SecretConfig:
    """A webhook secret that counts until `valid_until` (None: the newest)."""

    secret_id: str
    secret: str
    valid_until: datetime | None


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

    def pauses_for(
        self, account_id: str, instance_id: str | None, integration_id: str | None, person_id: str | None
    ) -> tuple[PauseFact, ...]:
        """Pauses that touch a request, the most general first. Those that ran out are included; the check
        knows time.
        """
        if not self.pauses:
            return ()
        ids = {
            "platform": "",
            "account": account_id,
            "instance": instance_id,
            "integration": integration_id,
            "person": person_id,
        }
        order = list(ids)
        hits = [pause.fact for pause in self.pauses if ids[pause.fact.scope] == pause.scope_id]
        return tuple(sorted(hits, key=lambda fact: order.index(fact.scope)))

    def find_instance(self, account_id: str, reference: str) -> InstanceConfig | None:
        """An account's instance by `ins_…` id or by name."""
        found = self.instances.get(reference)
        if found is not None and found.account_id == account_id:
            return found
        for instance in self.instances_by_account.get(account_id, ()):
            if instance.name == reference:
                return instance
        return None

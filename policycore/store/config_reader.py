"""Reads the whole configuration into one snapshot, and knows when a copy of it is out of date."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Row, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.model import PauseFact, TemplateFact
from policycore.registry.instance_secrets import InstanceSecrets, unpack
from policycore.registry.rule_sets import RuleSet, effective_rules, read_rule_set
from policycore.registry.sealing import (
    INSTANCE_SECRETS,
    INTEGRATION_SECRET,
    SIGNING_SECRET,
    WEBHOOK_SECRET,
)
from policycore.registry.snapshot import (
    AccountConfig,
    ApiKeyConfig,
    FormerSecrets,
    InstanceConfig,
    IntegrationConfig,
    NextSigningSecret,
    PauseConfig,
    SecretConfig,
    ServiceTokenConfig,
    Snapshot,
    ThreecxSmsConfig,
    WebhookConfig,
)
from policycore.store.direct import driver_of
from policycore.store.tables import (
    accounts,
    api_keys,
    config_state,
    customer_webhooks,
    instances,
    integration_instances,
    integration_secrets,
    integrations,
    next_signing_secrets,
    pauses,
    rules,
    service_tokens,
    templates,
)
from policycore.store.threecx_sms_reader import read_threecx_sms
from policycore.store.types import from_microseconds

Unseal = Callable[[bytes, tuple[str, str], str], str]
"""Opens a sealed secret: sealed bytes, place (table and column), row id; see `policycore.registry.sealing`.
"""

PLAN_LIMITS = {1: (100, 2_000), 2: (500, 10_000), 3: (1_500, 30_000)}
"""Messages a day and a month of Starter, Growth and Scale; anything else has limits of its own."""

PACE = {"evolution": (1.0, 5), "waha": (1.0, 5), "cloud_api": (20.0, 20), "sandbox": (0.0, 1)}
"""Messages a second and burst, by back end."""

_decode = msgspec.json.Decoder().decode


async def read_version(connection: AsyncConnection) -> int:
    """The configuration's version as this transaction sees it."""
    return int((await connection.execute(select(config_state.c.version))).scalar_one())


_MOMENT = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, version FROM config_state"


async def read_moment(connection: AsyncConnection, clock: Callable[[], datetime]) -> tuple[datetime, int]:
    """The database's clock and the configuration's version, in one statement: every transaction begins with
    it. SQLite runs in this process, so its clock is `clock`.
    """
    if connection.dialect.name != "postgresql":
        return clock(), await read_version(connection)
    [(microseconds, version)] = await driver_of(connection).fetch(_MOMENT)
    return from_microseconds(microseconds), version


async def bump_version(connection: AsyncConnection) -> int:
    """Raises the version, in the transaction of the change; returns the new one."""
    statement = (
        update(config_state).values(version=config_state.c.version + 1).returning(config_state.c.version)
    )
    return int((await connection.execute(statement)).scalar_one())


async def read_snapshot(connection: AsyncConnection, unseal: Unseal, now: datetime) -> Snapshot:
    """The whole configuration at one version. Secrets whose overlap is over are left out."""
    version = await read_version(connection)
    following = await _next_signing(connection, unseal)
    rule_rows = await _newest_rules(connection)
    account_map = {row.id: _account(row, rule_rows) for row in await _all(connection, accounts)}
    instance_map = {row.id: _instance(row, unseal) for row in await _all(connection, instances)}
    integration_map = await _integrations(connection, unseal, now, following)
    by_account: dict[str, list[InstanceConfig]] = {}
    for instance in instance_map.values():
        by_account.setdefault(instance.account_id, []).append(instance)
    by_instance: dict[str, list[IntegrationConfig]] = {}
    for integration in integration_map.values():
        for instance_id in integration.instance_ids:
            by_instance.setdefault(instance_id, []).append(integration)
    webhooks: dict[str, list[WebhookConfig]] = {}
    for row in await _all(connection, customer_webhooks):
        webhooks.setdefault(row.account_id, []).append(_webhook(row, unseal, following))
    pause_rows = await connection.execute(select(pauses).where(pauses.c.lifted_at.is_(None)))
    token_rows = await connection.execute(select(service_tokens).where(service_tokens.c.revoked_at.is_(None)))
    return Snapshot(
        version=version,
        accounts=account_map,
        instances=instance_map,
        integrations=integration_map,
        api_keys={row.id: _api_key(row) for row in await _all(connection, api_keys)},
        webhooks={account: tuple(found) for account, found in webhooks.items()},
        service_tokens={row.token_digest: _service_token(row) for row in token_rows},
        pauses=tuple(_pause(row) for row in pause_rows if row.until is None or row.until > now),
        instances_by_account={account: tuple(found) for account, found in by_account.items()},
        integrations_by_instance={instance: tuple(found) for instance, found in by_instance.items()},
    )


async def _all(connection: AsyncConnection, table: Table) -> list[Row[Any]]:
    return list((await connection.execute(select(table))).all())


async def _newest_rules(connection: AsyncConnection) -> dict[str, tuple[int, RuleSet]]:
    newest = select(func.max(rules.c.number)).group_by(rules.c.account_id).scalar_subquery()
    rows = await connection.execute(select(rules).where(rules.c.number.in_(newest)))
    return {row.account_id: (row.number, read_rule_set(row.rules_json)) for row in rows}


def _account(row: Row[Any], rule_rows: dict[str, tuple[int, RuleSet]]) -> AccountConfig:
    daily, monthly = PLAN_LIMITS.get(row.plan, PLAN_LIMITS[1])
    if row.plan not in PLAN_LIMITS:
        daily = daily if row.daily_limit is None else row.daily_limit
        monthly = monthly if row.monthly_limit is None else row.monthly_limit
    platform = rule_rows.get("", (1, RuleSet()))
    own = rule_rows.get(row.id, (1, RuleSet()))
    return AccountConfig(
        account_id=row.id,
        name=row.name,
        zone=ZoneInfo(row.time_zone),
        daily_limit=daily,
        monthly_limit=monthly,
        module_enabled=row.threecx_module_enabled,
        language=row.language,
        rules=effective_rules(platform[1], own[1], max(platform[0], own[0])),
    )


def _instance(row: Row[Any], unseal: Unseal) -> InstanceConfig:
    secrets = InstanceSecrets()
    if row.secrets_sealed:
        secrets = unpack(unseal(row.secrets_sealed, INSTANCE_SECRETS, row.id))
    former = secrets.former
    rate, burst = PACE.get(row.backend, (1.0, 5))
    return InstanceConfig(
        instance_id=row.id,
        account_id=row.account_id,
        name=row.name,
        backend=row.backend,
        base_url=row.base_url,
        external_name=row.external_name,
        api_token=secrets.api_token,
        webhook_secret=secrets.webhook_secret,
        verify_token=secrets.verify_token,
        phone=row.phone,
        state=row.state,
        state_changed_at=row.state_changed_at,
        replies_only_until=row.replies_only_until,
        messages_per_second=rate if row.messages_per_second is None else row.messages_per_second,
        burst=burst if row.burst is None else row.burst,
        unacknowledged_since=row.unacknowledged_since,
        held_until=row.held_until,
        former=None
        if former is None
        else FormerSecrets(former.api_token, former.webhook_secret, former.verify_token, former.valid_until),
    )


async def _next_signing(connection: AsyncConnection, unseal: Unseal) -> dict[str, NextSigningSecret]:
    """By destination. What signs now and what signs next are sealed for one place."""
    found = {}
    for row in await _all(connection, next_signing_secrets):
        place = SIGNING_SECRET if row.destination_id.startswith("int_") else WEBHOOK_SECRET
        found[row.destination_id] = NextSigningSecret(
            unseal(row.sealed, place, row.destination_id), row.signs_from
        )
    return found


async def _integrations(
    connection: AsyncConnection,
    unseal: Unseal,
    now: datetime,
    following: Mapping[str, NextSigningSecret],
) -> dict[str, IntegrationConfig]:
    secrets: dict[str, list[SecretConfig]] = {}
    connectors = await read_threecx_sms(connection, unseal, now)
    newest_first = select(integration_secrets).order_by(integration_secrets.c.created_at.desc())
    for row in await connection.execute(newest_first):
        if row.valid_until is None or row.valid_until > now:
            secret = unseal(row.sealed, INTEGRATION_SECRET, row.id)
            secrets.setdefault(row.integration_id, []).append(SecretConfig(row.id, secret, row.valid_until))
    serves: dict[str, list[str]] = {}
    for row in await _all(connection, integration_instances):
        serves.setdefault(row.integration_id, []).append(row.instance_id)
    texts: dict[str, dict[int, TemplateFact]] = {}
    for row in await _all(connection, templates):
        fact = TemplateFact(row.enabled, row.language, row.text, row.purpose)
        texts.setdefault(row.integration_id, {})[row.event_type] = fact
    return {
        row.id: _integration(
            row,
            unseal,
            secrets.get(row.id, []),
            serves.get(row.id, []),
            texts.get(row.id, {}),
            following.get(row.id),
            connectors.get(row.id),
        )
        for row in await _all(connection, integrations)
    }


def _integration(
    row: Row[Any],
    unseal: Unseal,
    secrets: list[SecretConfig],
    serves: list[str],
    texts: dict[int, TemplateFact],
    following: NextSigningSecret | None,
    sms: ThreecxSmsConfig | None,
) -> IntegrationConfig:
    signing = ""
    if row.signing_secret_sealed:
        signing = unseal(row.signing_secret_sealed, SIGNING_SECRET, row.id)
    ids = set(serves) | ({row.default_instance_id} if row.default_instance_id else set())
    return IntegrationConfig(
        integration_id=row.id,
        account_id=row.account_id,
        name=row.name,
        enabled=row.enabled,
        signature_required=row.signature_required,
        allowed_addresses=tuple(_decode(row.allowed_addresses)),
        secrets=tuple(secrets),
        default_instance_id=row.default_instance_id,
        instance_ids=tuple(sorted(ids)),
        inbound_enabled=row.inbound_enabled,
        outbound_enabled=row.outbound_enabled,
        call_events_enabled=row.call_events_enabled,
        destination_kind=row.destination_kind,
        destination_url=row.destination_url,
        signing_secret=signing,
        country=row.country,
        requests_per_minute=row.requests_per_minute,
        cool_down_seconds=row.cool_down_seconds,
        crm_requests_per_minute=row.crm_requests_per_minute,
        crm_fold_seconds=row.crm_fold_seconds,
        crm_unanswered_sends=row.crm_unanswered_sends,
        language=row.language,
        templates=texts,
        next_signing=following,
        sms=sms,
        query_token_enabled=row.query_token_enabled,
        window_notice_seconds=row.window_notice_seconds,
    )


def _webhook(row: Row[Any], unseal: Unseal, following: Mapping[str, NextSigningSecret]) -> WebhookConfig:
    return WebhookConfig(
        webhook_id=row.id,
        account_id=row.account_id,
        url=row.url,
        signing_secret=unseal(row.signing_secret_sealed, WEBHOOK_SECRET, row.id),
        event_names=frozenset(_decode(row.event_names)),
        enabled=row.enabled,
        next_signing=following.get(row.id),
    )


def _api_key(row: Row[Any]) -> ApiKeyConfig:
    return ApiKeyConfig(row.id, row.account_id, row.key_digest, row.revoked_at is not None, row.test)


def _service_token(row: Row[Any]) -> ServiceTokenConfig:
    return ServiceTokenConfig(
        row.id,
        row.name,
        row.token_digest,
        frozenset(_decode(row.rights)),
        frozenset(_decode(row.account_ids)),
    )


def _pause(row: Row[Any]) -> PauseConfig:
    fact = PauseFact(row.id, row.scope, row.author, row.reason, row.until)
    return PauseConfig(row.scope_id, fact)

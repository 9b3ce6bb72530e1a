"""Owns the configuration of a history: one company, its instances and their states, and pauses that come and go."""

import asyncio
from bisect import bisect_right
from dataclasses import replace as replaced
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from policycore.inbound import InstanceStateChange
from policycore.model import EventType, PauseFact, Rules, TemplateFact
from policycore.registry.snapshot import (
    AccountConfig,
    InstanceConfig,
    IntegrationConfig,
    PauseConfig,
    Snapshot,
    WebhookConfig,
)
from simulate.store import Process, Store, Transaction

ACCOUNT = "acc_1"
INTEGRATION = "int_1"
INSTANCES = ("ins_1", "ins_2")
POLL_SECONDS = 0.5
"""How often a process looks whether the configuration changed."""

COOL_DOWN_SECONDS = 20
ZONES = ("Asia/Riyadh", "UTC", "America/New_York", "Asia/Kolkata")
_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class InstanceRow(Struct, frozen=True):
    """What changes of an instance."""

    instance_id: str
    state: str = "open"
    replies_only_until: datetime | None = None


class PauseRow(Struct, frozen=True):
    """A pause, until it is lifted."""

    pause: PauseConfig
    lifted: bool = False


class Company(Struct, frozen=True):
    """What is drawn once for a history."""

    zone: str
    daily_limit: int
    monthly_limit: int
    paced: bool
    tells_webhook: bool


def draw_company(random: Random) -> Company:
    """A company with quotas small enough to be spent."""
    daily = random.choice((2, 3, 4, 6, 50))
    return Company(
        zone=random.choice(ZONES),
        daily_limit=daily,
        monthly_limit=random.choice((daily, daily + 2, 500)),
        paced=random.random() < 0.5,
        tells_webhook=random.random() < 0.3,
    )


@lru_cache(maxsize=512)
def _basis(company: Company) -> Snapshot:
    account = AccountConfig(
        account_id=ACCOUNT,
        name="Example",
        zone=ZoneInfo(company.zone),
        daily_limit=company.daily_limit,
        monthly_limit=company.monthly_limit,
        module_enabled=True,
        language="en",
        rules=Rules(pair_burst=3 if company.paced else 45),
    )
    instances = {instance_id: _instance(instance_id, company) for instance_id in INSTANCES}
    integration = _integration()
    webhook = WebhookConfig("whk_1", ACCOUNT, "https://example.test/", "secret", frozenset(), True)
    return Snapshot(
        version=0,
        accounts={ACCOUNT: account},
        instances=instances,
        integrations={INTEGRATION: integration},
        api_keys={},
        webhooks={ACCOUNT: (webhook,)} if company.tells_webhook else {},
        service_tokens={},
        pauses=(),
        instances_by_account={ACCOUNT: tuple(instances.values())},
        integrations_by_instance=dict.fromkeys(INSTANCES, (integration,)),
    )


def _instance(instance_id: str, company: Company) -> InstanceConfig:
    return InstanceConfig(
        instance_id=instance_id,
        account_id=ACCOUNT,
        name=instance_id,
        backend="evolution",
        base_url="http://127.0.0.1:1",
        external_name=instance_id,
        api_token="",
        webhook_secret="",
        verify_token="",
        phone="",
        state="open",
        state_changed_at=_LONG_AGO,
        replies_only_until=None,
        messages_per_second=0.5 if company.paced else 0.0,
        burst=2,
    )


def _integration() -> IntegrationConfig:
    missed_call = TemplateFact(True, "en", "We missed your call at {{call_time}}.", "support")
    return IntegrationConfig(
        integration_id=INTEGRATION,
        account_id=ACCOUNT,
        name="3CX",
        enabled=True,
        signature_required=False,
        allowed_addresses=(),
        secrets=(),
        default_instance_id=INSTANCES[0],
        instance_ids=INSTANCES,
        inbound_enabled=True,
        outbound_enabled=True,
        call_events_enabled=True,
        destination_kind="json",
        destination_url="http://127.0.0.1:2",
        signing_secret="secret",
        country="SA",
        requests_per_minute=60,
        cool_down_seconds=COOL_DOWN_SECONDS,
        language="en",
        templates={EventType.MISSED_CALL: missed_call},
    )


async def change_state(tx: Transaction, known: InstanceRow, change: InstanceStateChange) -> None:
    """Writes an instance's state, if it is another one."""
    until = change.replies_only_until or known.replies_only_until
    if (known.state, known.replies_only_until) == (change.state, until):
        return
    row = InstanceRow(known.instance_id, change.state, until)
    await tx.put("instances", known.instance_id, row)
    await raise_version(tx)


async def pause_instance(
    tx: Transaction, pause_id: str, instance_id: str, account_id: str, reason: str
) -> None:
    """Writes a pause that the gateway sets by itself; one holding pause is enough."""
    for row in tx.rows("pauses"):
        if (row.pause.fact.scope, row.pause.scope_id, row.lifted) == ("instance", instance_id, False):
            return
    await add_pause(tx, PauseConfig(instance_id, PauseFact(pause_id, "instance", "gateway", reason, None)))


async def add_pause(tx: Transaction, pause: PauseConfig) -> int:
    """Writes a pause; returns the configuration's new version."""
    await tx.insert("pauses", pause.fact.pause_id, PauseRow(pause))
    return await raise_version(tx)


async def lift_pause(tx: Transaction, pause_id: str) -> int:
    """Ends a pause; returns the configuration's new version."""
    await tx.lock([("pauses", pause_id)])
    await tx.put("pauses", pause_id, replace(tx.get("pauses", pause_id), lifted=True))
    return await raise_version(tx)


async def raise_version(tx: Transaction) -> int:
    """Raises the version in the transaction of the change."""
    await tx.lock([("config", "version")])
    version: int = tx.get("config", "version") + 1
    await tx.put("config", "version", version)
    return version


class Versions:
    """Every configuration that was ever committed, and when (in the loop's seconds)."""

    def __init__(self, store: Store, company: Company) -> None:
        self._store = store
        self._company = company
        store.table("config")["version"] = 1
        for instance_id in INSTANCES:
            store.table("instances")[instance_id] = InstanceRow(instance_id)
        self.committed_at = [float("-inf")]
        self.snapshots = [self._build(1)]

    def note_commit(self) -> None:
        """Call after each commit."""
        version = self._store.table("config")["version"]
        if version != self.snapshots[-1].version:
            self.committed_at.append(asyncio.get_running_loop().time())
            self.snapshots.append(self._build(version))

    def as_of(self, moment: float) -> Snapshot:
        """The newest configuration that was committed at a moment."""
        return self.snapshots[bisect_right(self.committed_at, moment) - 1]

    def _build(self, version: int) -> Snapshot:
        basis = _basis(self._company)
        rows = self._store.table("instances")
        instances = {
            instance_id: replaced(
                config, state=rows[instance_id].state, replies_only_until=rows[instance_id].replies_only_until
            )
            for instance_id, config in basis.instances.items()
        }
        pauses = tuple(row.pause for row in self._store.table("pauses").values() if not row.lifted)
        return replaced(
            basis,
            version=version,
            instances=instances,
            pauses=pauses,
            instances_by_account={ACCOUNT: tuple(instances.values())},
        )


class KnownConfiguration:
    """One process's copy: exact in transactions, and as of its last look outside them."""

    def __init__(self, versions: Versions, process: Process, phase: float) -> None:
        self._versions = versions
        self._process = process
        self._phase = phase
        # What transactions and notifications taught this process between two looks, with the time.
        self._learned: list[tuple[float, Snapshot]] = [(float("-inf"), versions.snapshots[-1])]

    def at(self, transaction: Transaction) -> Snapshot:
        """What is true for a transaction that begins now."""
        return self.look()

    def look(self) -> Snapshot:
        """Looks at once: a transaction begins, or somebody here changed something."""
        newest = self._versions.snapshots[-1]
        if newest is not self._learned[-1][1]:
            self._learned.append((asyncio.get_running_loop().time(), newest))
        return newest

    def confirmed(self, version: int) -> Snapshot:
        """What is known here if it has this version, else what is true now."""
        known = self.current()
        return known if known.version == version else self.look()

    def current(self) -> Snapshot:
        """The newest configuration known here."""
        return self.known_at(asyncio.get_running_loop().time())

    def known_at(self, moment: float) -> Snapshot:
        """What this process knew at a moment of its life."""
        if self._process.died_at is not None:
            moment = min(moment, self._process.died_at)
        last_look = moment - (moment - self._phase) % POLL_SECONDS
        looked = self._versions.as_of(last_look)
        for learned_at, snapshot in reversed(self._learned):
            if learned_at <= moment:
                return snapshot if snapshot.version > looked.version else looked
        return looked

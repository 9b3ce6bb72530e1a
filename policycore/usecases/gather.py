"""Reads, in as few queries as there are kinds of fact, what a batch of requests is decided from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from policycore.fair_use import Periods, Share, periods, share_of
from policycore.inbound import PersonRef
from policycore.ledger import (
    Asked,
    DecisionTransaction,
    Identified,
    KeyBinding,
    Named,
    PersonFacts,
    WindowRow,
)
from policycore.model import (
    TEMPLATED,
    Facts,
    InstanceFact,
    Intent,
    QuotaFact,
    ShareFact,
    TemplateFact,
    ToggleFacts,
)
from policycore.phone import normalize_phone
from policycore.ports import InstanceHolds
from policycore.pseudonym import is_pseudonym, read_pseudonym
from policycore.reasons import CheckName
from policycore.registry.snapshot import AccountConfig, InstanceConfig, IntegrationConfig, Snapshot
from policycore.templates import render
from policycore.usecases.command import SubmitCommand

SPREAD_WINDOW = timedelta(hours=24)
SPREAD_MIN_CHARACTERS = 40
"""Shorter texts ("Hello, how can I help?") are the same to many persons without being a broadcast."""


class Prepared(Struct, frozen=True):
    """A request with everything the configuration alone tells about it."""

    command: SubmitCommand
    intent: Intent
    account: AccountConfig
    integration: IntegrationConfig | None
    template: TemplateFact | None
    phone: str | None
    periods: Periods
    text_digest: bytes | None
    counted: tuple[tuple[str, str], ...]
    """(account or share, period) of every count that an allowed message adds to."""
    share: Share | None = None


@dataclass(slots=True)
class Gathered:
    """Facts of a batch. Requests of the batch change them as they are decided, so that each sees those before
    it.
    """

    persons: dict[tuple[str, str], str] = field(default_factory=dict)
    bindings: dict[tuple[str, str], str] = field(default_factory=dict)
    keys: dict[tuple[str, str], KeyBinding] = field(default_factory=dict)
    claims: set[bytes] = field(default_factory=set)
    person_facts: dict[str, PersonFacts] = field(default_factory=dict)
    cool_downs: dict[tuple[str, int, str], datetime] = field(default_factory=dict)
    spread: dict[tuple[str, bytes], int] = field(default_factory=dict)
    quota: dict[tuple[str, str], int] = field(default_factory=dict)
    reached: dict[str, PersonRef] = field(default_factory=dict)
    """How to reach the persons who are named by a pseudonym."""


def prepare(command: SubmitCommand, snapshot: Snapshot, now: datetime) -> Prepared:
    """Adds configuration to a request: account, template and its rendering, normalised phone, calendar
    periods.
    """
    intent = command.intent
    account = snapshot.accounts[intent.account_id]
    integration = snapshot.integrations.get(intent.integration_id or "")
    phone = _phone(intent, snapshot)
    template = integration.templates.get(intent.event_type) if integration else None
    if intent.unanswered and integration is not None and not integration.crm_unanswered_sends:
        # Nobody spoke: what thanks for a call would be wrong, unless somebody wants it so.
        template = None
    if intent.event_type in TEMPLATED and template is not None and template.enabled:
        values = {
            # A person is not told of the number that only agents see.
            "customer_phone": "" if is_pseudonym(phone or "") else phone or intent.phone_text,
            "agent_extension": intent.agent_extension,
            "queue": intent.queue,
            "call_time": intent.call_time,
            "business_name": account.name,
        }
        intent = replace(intent, text=render(template.text, values), purpose_text=template.purpose)
    folded = " ".join(intent.text.split())
    digest = (
        sha256(folded.encode("utf-8", "replace")).digest() if len(folded) >= SPREAD_MIN_CHARACTERS else None
    )
    # A template is the same text to many by design; the agents' own words are what is compared.
    if intent.event_type in TEMPLATED:
        digest = None
    named = periods(now, account.zone)
    counted: tuple[tuple[str, str], ...] = (
        (account.account_id, named.day),
        (account.account_id, named.month),
    )
    share = share_of(intent, account.rules.quota_shares) if account.rules.quota_shares else None
    if share is not None:
        counted = (*counted, (share.key, named.day), (share.key, named.month))
    return Prepared(command, intent, account, integration, template, phone, named, digest, counted, share)


def _phone(intent: Intent, snapshot: Snapshot) -> str | None:
    """The number in E.164, read as one of the integration's country if it says none; or a pseudonym."""
    if not intent.phone_text:
        return None
    integration = snapshot.integrations.get(intent.integration_id or "")
    country = (integration.country or None) if integration else None
    if intent.phone_text[0] == "+":
        return normalize_phone(intent.phone_text, country) or read_pseudonym(intent.phone_text)
    # Without its plus sign a pseudonym could pass for a number of the integration's country.
    return read_pseudonym(intent.phone_text) or normalize_phone(intent.phone_text, country)


async def identify(transaction: DecisionTransaction, commands: Sequence[SubmitCommand]) -> Identified:
    """What the requests of a batch name, as the configuration says that is true in the transaction; their persons
    stay locked.
    """
    read = transaction.snapshot
    found = await transaction.identify(_named(commands, read))
    while transaction.snapshot is not read:
        # The configuration was another than was known here; a number may mean another person then.
        read = transaction.snapshot
        found = await transaction.identify(_named(commands, read))
    return found


async def gather(transaction: DecisionTransaction, batch: Sequence[Prepared], known: Identified) -> Gathered:
    """Reads the facts of a batch, whose persons are locked already."""
    found = Gathered(known.persons, known.bindings, known.keys, known.claims)
    facts = await transaction.read_facts(
        Asked(
            person_ids=list(found.persons.values()),
            cool_downs=[key for item in batch if (key := cool_down_key(item, found)) is not None],
            texts=[(item.account.account_id, item.text_digest) for item in batch if item.text_digest],
            since=transaction.now - SPREAD_WINDOW,
            quotas=[count for item in batch for count in item.counted],
            messages=len(batch),
            ceilings=_ceilings(batch),
        )
    )
    found.person_facts, found.cool_downs = facts.persons, facts.cool_downs
    found.spread, found.quota = facts.spread, facts.quota
    hidden = [person for (_, phone), person in found.persons.items() if is_pseudonym(phone)]
    if hidden:
        found.reached = await transaction.read_identities(hidden)
    return found


def reach(phone: str, person_id: str, found: Gathered) -> PersonRef:
    """Where a message to a person goes: to the number that was given, or to what stands behind a pseudonym."""
    return found.reached.get(person_id, PersonRef()) if is_pseudonym(phone) else PersonRef(phone)


def _ceilings(batch: Sequence[Prepared]) -> dict[tuple[str, str], int]:
    """Limits that hold; an account that only watches its quota check has none."""
    found: dict[tuple[str, str], int] = {}
    for item in batch:
        account = item.account
        if CheckName.QUOTA not in account.rules.shadow:
            found[account.account_id, item.periods.day] = account.daily_limit
            found[account.account_id, item.periods.month] = account.monthly_limit
            if item.share is not None:
                found[item.share.key, item.periods.day] = item.share.of(account.daily_limit)
                found[item.share.key, item.periods.month] = item.share.of(account.monthly_limit)
    return found


def _named(commands: Sequence[SubmitCommand], snapshot: Snapshot) -> Named:
    intents = [command.intent for command in commands]
    return Named(
        keys=[(command.key_scope, command.key) for command in commands if command.key],
        claims=[claim for command in commands for claim in command.claims],
        phones=[(intent.account_id, phone) for intent in intents if (phone := _phone(intent, snapshot))],
        conversations=[
            (intent.integration_id or "", intent.conversation_id)
            for intent in intents
            if intent.conversation_id
        ],
    )


def cool_down_key(item: Prepared, found: Gathered) -> tuple[str, int, str] | None:
    """(integration, event type, person) of a templated call event, if the person is known."""
    person_id = found.persons.get((item.account.account_id, item.phone or ""))
    if item.integration is None or person_id is None or item.intent.event_type not in TEMPLATED:
        return None
    return (item.integration.integration_id, int(item.intent.event_type), person_id)


def choose_instance(
    item: Prepared, known: PersonFacts | None, found: Gathered, snapshot: Snapshot, now: datetime
) -> InstanceConfig | None:
    """The instance a request goes through (contract, section 1.3).

    A named one; else the one its conversation belongs to; else, among those it may use, the one with this
    person's latest open window; else the default one; else the only one.
    """
    intent, account_id = item.intent, item.account.account_id
    if intent.instance_ref:
        return snapshot.find_instance(account_id, intent.instance_ref)
    allowed = _allowed_instances(item, snapshot)
    bound = found.bindings.get((intent.integration_id or "", intent.conversation_id))
    if bound in allowed:
        return allowed[bound]
    windows = known.windows if known else ()
    open_windows = [w for w in windows if w.instance_id in allowed and _is_open(w, item, now)]
    if open_windows:
        return allowed[max(open_windows, key=lambda w: w.last_inbound_at).instance_id]
    default = item.integration.default_instance_id if item.integration else None
    if default in allowed:
        return allowed[default]
    return next(iter(allowed.values())) if len(allowed) == 1 else None


def _allowed_instances(item: Prepared, snapshot: Snapshot) -> dict[str | None, InstanceConfig]:
    if item.integration is None:
        return {i.instance_id: i for i in snapshot.instances_by_account.get(item.account.account_id, ())}
    ids = item.integration.instance_ids
    return {i: snapshot.instances[i] for i in ids if i in snapshot.instances}


def _is_open(window: WindowRow, item: Prepared, now: datetime) -> bool:
    return window.last_inbound_at + item.account.rules.window > now


def facts_of(
    item: Prepared,
    found: Gathered,
    snapshot: Snapshot,
    now: datetime,
    *,
    clock_offset_seconds: float,
    holds: InstanceHolds | None = None,
) -> tuple[Facts, InstanceConfig | None]:
    """The facts of one request as they stand after those before it in the batch."""
    account = item.account
    person_id = found.persons.get((account.account_id, item.phone or ""))
    known = found.person_facts.get(person_id or "")
    instance = choose_instance(item, known, found, snapshot, now)
    integration_id = item.integration.integration_id if item.integration else None
    key = cool_down_key(item, found)
    facts = Facts(
        toggles=_toggles(item),
        phone=item.phone,
        person_id=person_id,
        suppression=known.suppression if known else None,
        last_inbound_at=_last_inbound(known, instance, item),
        pauses=snapshot.pauses_for(
            account.account_id, instance.instance_id if instance else None, integration_id, person_id
        ),
        similar_recipients=found.spread.get((account.account_id, item.text_digest or b""), 0),
        cool_down_until=found.cool_downs.get(key) if key else None,
        day=QuotaFact(
            account.daily_limit,
            found.quota.get((account.account_id, item.periods.day), 0),
            item.periods.day_resets_at,
        ),
        month=QuotaFact(
            account.monthly_limit,
            found.quota.get((account.account_id, item.periods.month), 0),
            item.periods.month_resets_at,
        ),
        share=_share_fact(item, found) if item.share is not None else None,
        instance=instance_fact(instance, now, holds) if instance else None,
        clock_offset_seconds=clock_offset_seconds,
    )
    return facts, instance


def instance_fact(
    instance: InstanceConfig, now: datetime, holds: InstanceHolds | None = None
) -> InstanceFact:
    """The instance as decisions see it at `now`, held back by its mark or by `holds`."""
    fact = InstanceFact(instance.instance_id, instance.backend, instance.state, instance.state_changed_at)
    if instance.held_until is not None and now < instance.held_until:
        seconds = (instance.held_until - now).total_seconds()
        return replace(fact, hold="unacknowledged", hold_seconds=seconds)
    if holds is not None and holds.held and (hold := holds.hold(instance.instance_id)) is not None:
        return replace(fact, hold=hold.why, hold_seconds=hold.seconds)
    return fact


def _share_fact(item: Prepared, found: Gathered) -> ShareFact | None:
    share, account, named = item.share, item.account, item.periods
    if share is None:
        return None
    day, month = found.quota.get((share.key, named.day), 0), found.quota.get((share.key, named.month), 0)
    return ShareFact(
        share.caller,
        QuotaFact(share.of(account.daily_limit), day, named.day_resets_at),
        QuotaFact(share.of(account.monthly_limit), month, named.month_resets_at),
    )


def _toggles(item: Prepared) -> ToggleFacts:
    if item.integration is None:
        return ToggleFacts()
    return ToggleFacts(
        module_enabled=item.account.module_enabled,
        is_integration=True,
        outbound_enabled=item.integration.outbound_enabled,
        call_events_enabled=item.integration.call_events_enabled,
        template=item.template,
    )


def _last_inbound(
    known: PersonFacts | None, instance: InstanceConfig | None, item: Prepared
) -> datetime | None:
    if known is None or instance is None:
        return None
    for window in known.windows:
        if window.instance_id == instance.instance_id:
            closed = window.closed_by_backend_at
            if closed is not None and closed >= window.last_inbound_at:
                # The back end says that the window ended no later than then, whatever we had counted.
                return min(window.last_inbound_at, closed - item.account.rules.window)
            return window.last_inbound_at
    return None

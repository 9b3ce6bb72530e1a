"""Owns persons in memory: who an identity stands for, and two who turn out to be one."""

from collections.abc import Sequence

from msgspec.structs import replace

from policycore.event_ledger import KnownPerson
from policycore.inbound import PersonRef
from policycore.ledger import WindowRow
from policycore.model import SuppressionFact
from policycore.pseudonym import make_pseudonym
from policycore.registry.snapshot import PauseConfig
from policycore.store.persons import numbered
from simulate.configuration import raise_version
from simulate.rows import PersonRow
from simulate.store import Transaction

Identity = tuple[str, str, str]
Wanted = tuple[str, PersonRef]


async def resolve_persons(tx: Transaction, wanted: Sequence[Wanted]) -> dict[Wanted, KnownPerson]:
    """The person of every (account id, ref), locked, made where nobody was known, joined where two were."""
    unique = list(dict.fromkeys(wanted))
    every = [(account_id, kind, value) for account_id, ref in unique for kind, value in ref.identities()]
    for account_id, ref in unique:
        if not any(tx.get("identities", (account_id, *pair)) for pair in ref.identities()):
            await _create(tx, (account_id, *ref.identities()[0]))
    await _find_and_lock(tx, every)
    owners = {}
    for account_id, ref in unique:
        owners[account_id, ref] = await _join(tx, account_id, ref.identities())
    for account_id, ref in unique:
        await _give_pseudonym(tx, account_id, owners[account_id, ref])
    return {pair: known_person(tx, owners[pair]) for pair in unique}


async def _give_pseudonym(tx: Transaction, account_id: str, person_id: str) -> None:
    """Whoever has no number gets one that stands for them."""
    if not known_person(tx, person_id).number:
        identity = numbered(account_id, make_pseudonym(account_id, person_id, 0))
        await tx.lock([("identities", identity)])
        await tx.put("identities", identity, person_id)


async def link_persons(tx: Transaction, account_id: str, previous: PersonRef, current: PersonRef) -> None:
    """Makes everyone behind two refs one person."""
    pairs = (*previous.identities(), *current.identities())
    if not pairs:
        return
    if not any(tx.get("identities", (account_id, *pair)) for pair in pairs):
        await _create(tx, (account_id, *pairs[0]))
    await _find_and_lock(tx, [(account_id, *pair) for pair in pairs])
    await _join(tx, account_id, pairs)


async def _create(tx: Transaction, identity: Identity) -> None:
    await tx.lock([("identities", identity)])
    if tx.get("identities", identity) is not None:
        return
    person_id = f"per_{tx.store.random.getrandbits(64):016x}"
    await tx.put("identities", identity, person_id)
    await tx.put("persons", person_id, PersonRow(person_id, identity[0]))


async def _find_and_lock(tx: Transaction, identities: Sequence[Identity]) -> None:
    """Locks everybody these identities stand for, in one order; looks again if one was joined meanwhile."""
    while True:
        owners = {tx.get("identities", identity) for identity in identities} - {None}
        await tx.lock(("persons", person_id) for person_id in sorted(owners))
        if all(tx.get("persons", person_id).merged_into is None for person_id in owners):
            return


async def _join(tx: Transaction, account_id: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Makes the identities one person's; returns who that is."""
    owners = [tx.get("identities", (account_id, *pair)) for pair in pairs]
    survivor, *others = dict.fromkeys(owner for owner in owners if owner is not None)
    for other in others:
        await _move_over(tx, survivor, other)
    for pair in pairs:
        # Whoever was quicker to say whose this is keeps it: they are joined when both are named again.
        await tx.lock([("identities", (account_id, *pair))])
        if tx.get("identities", (account_id, *pair)) is None:
            await tx.put("identities", (account_id, *pair), survivor)
    return str(survivor)


async def _move_over(tx: Transaction, survivor: str, other: str) -> None:
    """Windows take the later time, suppressions their union, the rest moves."""
    for row in tx.rows("windows"):
        if row.person_id != other:
            continue
        await tx.put("windows", (row.instance_id, other), None)
        mine = tx.get("windows", (row.instance_id, survivor)) or replace(row, person_id=survivor)
        closings = [each for each in (mine.closed_by_backend_at, row.closed_by_backend_at) if each]
        later = max(mine.last_inbound_at, row.last_inbound_at)
        joined = replace(mine, last_inbound_at=later, closed_by_backend_at=max(closings, default=None))
        await tx.put("windows", (row.instance_id, survivor), joined)
    for entry in tx.rows("suppressions"):
        if entry.person_id == other:
            await tx.put("suppressions", entry.suppression_id, replace(entry, person_id=survivor))
    for message in tx.rows("messages"):
        if message.view.person_id == other:
            moved = replace(message, view=replace(message.view, person_id=survivor))
            await tx.put("messages", message.view.message_id, moved)
    await _move_the_rest(tx, survivor, other)
    for identity, owner in tx.items("identities").items():
        if owner == other:
            await tx.put("identities", identity, survivor)
    await tx.put("persons", other, replace(tx.get("persons", other), merged_into=survivor))


async def _move_the_rest(tx: Transaction, survivor: str, other: str) -> None:
    for key, cool_down in tx.items("cool_downs").items():
        if key[2] == other:
            await tx.put("cool_downs", key, None)
            held = tx.get("cool_downs", (*key[:2], survivor))
            if held is None or held.until < cool_down.until:
                await tx.put("cool_downs", (*key[:2], survivor), cool_down)
    rule = tx.get("asked", other)
    if rule is not None:
        await tx.put("asked", other, None)
        await tx.put("asked", survivor, tx.get("asked", survivor) or rule)
    for delivery_id, delivery in tx.items("outbox").items():
        if delivery.person_id == other and delivery.state == "pending":
            await tx.put("outbox", delivery_id, replace(delivery, person_id=survivor))
    paused = [
        (pause_id, row)
        for pause_id, row in tx.items("pauses").items()
        if (row.pause.fact.scope, row.pause.scope_id) == ("person", other)
    ]
    for pause_id, row in paused:
        moved = PauseConfig(survivor, row.pause.fact)
        await tx.put("pauses", pause_id, replace(row, pause=moved))
    if paused:
        await raise_version(tx)


def known_person(tx: Transaction, person_id: str) -> KnownPerson:
    """A person as the transaction sees them."""
    person: PersonRow = tx.get("persons", person_id)
    values = dict(_identities_of(tx, person_id))
    return KnownPerson(
        person_id=person_id,
        ref=PersonRef(values.get("phone", ""), values.get("lid", ""), values.get("bsuid", "")),
        display_name=person.display_name,
        language=person.language,
        windows={
            row.instance_id: WindowRow(
                row.instance_id, row.last_inbound_at, row.conversation_id, row.closed_by_backend_at
            )
            for row in tx.rows("windows")
            if row.person_id == person_id
        },
        suppressions=tuple(
            SuppressionFact(row.suppression_id, row.source, row.scope, row.created_at)
            for row in tx.rows("suppressions")
            if row.person_id == person_id and row.lifted_at is None
        ),
        asked_back=tx.get("asked", person_id) is not None,
        pseudonym=values.get("alias", ""),
    )


def _identities_of(tx: Transaction, person_id: str) -> list[tuple[str, str]]:
    return sorted(place[1:] for place, owner in tx.items("identities").items() if owner == person_id)

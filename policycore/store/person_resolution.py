"""Finds, makes or joins the persons that inbound events name, and reads what is known of them under lock."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.event_ledger import KnownPerson
from policycore.inbound import PersonRef
from policycore.ledger import WindowRow
from policycore.model import SuppressionFact
from policycore.pseudonym import KIND as PSEUDONYM
from policycore.store.persons import (
    Identity,
    add_identity,
    create_persons,
    find_persons,
    give_pseudonym,
    identities_of,
    join_persons,
    lock_persons,
    ref_of,
)
from policycore.store.tables import clarifications, persons, suppressions, windows

Wanted = tuple[str, PersonRef]


async def resolve_persons(
    connection: AsyncConnection, wanted: Sequence[Wanted], now: datetime
) -> dict[Wanted, KnownPerson]:
    """The person of every (account id, ref), locked. Several identities of one ref become one person's."""
    unique = list(dict.fromkeys(wanted))
    every = [(account, kind, value) for account, ref in unique for kind, value in ref.identities()]
    first = [_first(account, ref) for account, ref in unique]
    found = await _find_and_lock(connection, every)
    missing = [identity for pair, identity in zip(unique, first, strict=True) if not _known(found, *pair)]
    if missing:
        await create_persons(connection, missing, now)
        found = await _find_and_lock(connection, every)
    for account, ref in unique:
        if len(ref.identities()) > 1:
            await _join(connection, account, ref, found, now)
    owner = {pair: _known(found, *pair)[0] for pair in unique}
    known = await _read(connection, sorted(set(owner.values())))
    for (account, _), person_id in owner.items():
        if not known[person_id].number:
            given = await give_pseudonym(connection, account, person_id, now)
            known[person_id] = replace(known[person_id], pseudonym=given)
    return {pair: known[person_id] for pair, person_id in owner.items()}


async def _find_and_lock(connection: AsyncConnection, every: Sequence[Identity]) -> dict[Identity, str]:
    """Whose identities these are, once all those persons are locked: until then another may join two of them."""
    while True:
        found = await find_persons(connection, every)
        if not await lock_persons(connection, found.values()):
            return found


def _first(account: str, ref: PersonRef) -> Identity:
    kind, value = ref.identities()[0]
    return (account, kind, value)


def _known(found: dict[Identity, str], account: str, ref: PersonRef) -> list[str]:
    """Person ids of a ref's identities, without repeats, the most lasting identity first."""
    ids = [found.get((account, kind, value)) for kind, value in ref.identities()]
    return list(dict.fromkeys(person_id for person_id in ids if person_id is not None))


async def _join(
    connection: AsyncConnection, account: str, ref: PersonRef, found: dict[Identity, str], now: datetime
) -> None:
    survivor, *others = _known(found, account, ref)
    for other in others:
        await join_persons(connection, survivor, other, now)
        for identity, person_id in list(found.items()):
            if person_id == other:
                found[identity] = survivor
    for kind, value in ref.identities():
        if (account, kind, value) not in found:
            await add_identity(connection, account, kind, value, survivor, now)
            found[account, kind, value] = survivor


async def link_persons(
    connection: AsyncConnection, account: str, previous: PersonRef, current: PersonRef, now: datetime
) -> None:
    """Makes everyone behind two refs one person; the one known before survives."""
    pairs = [(account, kind, value) for ref in (previous, current) for kind, value in ref.identities()]
    found = await _find_and_lock(connection, pairs)
    if pairs and not found:
        await create_persons(connection, pairs[:1], now)
        found = await _find_and_lock(connection, pairs)
    survivor, *others = list(dict.fromkeys(found[pair] for pair in pairs if pair in found)) or [""]
    for other in others:
        await join_persons(connection, survivor, other, now)
    for _, kind, value in pairs:
        if (account, kind, value) not in found:
            await add_identity(connection, account, kind, value, survivor, now)


async def _read(connection: AsyncConnection, ids: list[str]) -> dict[str, KnownPerson]:
    refs = await identities_of(connection, ids)
    window_rows: dict[str, dict[str, WindowRow]] = {}
    for row in await connection.execute(select(windows).where(windows.c.person_id.in_(ids))):
        window_rows.setdefault(row.person_id, {})[row.instance_id] = WindowRow(
            row.instance_id, row.last_inbound_at, row.conversation_id, row.closed_by_backend_at
        )
    blocked: dict[str, list[SuppressionFact]] = {}
    holding = select(suppressions).where(
        suppressions.c.person_id.in_(ids), suppressions.c.lifted_at.is_(None)
    )
    for row in await connection.execute(holding):
        fact = SuppressionFact(row.id, row.source, row.scope, row.created_at)
        blocked.setdefault(row.person_id, []).append(fact)
    asked = select(clarifications.c.person_id).where(clarifications.c.person_id.in_(ids))
    asked_back = set((await connection.execute(asked)).scalars())
    rows = await connection.execute(select(persons).where(persons.c.id.in_(ids)))
    return {
        row.id: KnownPerson(
            person_id=row.id,
            ref=ref_of(refs.get(row.id, {})),
            pseudonym=refs.get(row.id, {}).get(PSEUDONYM, ""),
            display_name=row.display_name,
            language=row.language,
            windows=window_rows.get(row.id, {}),
            suppressions=tuple(blocked.get(row.id, ())),
            asked_back=row.id in asked_back,
        )
        for row in rows
    }

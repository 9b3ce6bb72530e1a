"""PostgreSQL reads everything a batch is decided from in two statements, each a union of the kinds of fact.

Every statement costs a round trip and about as much of this process's time as five rows do. The first one knows
persons by their numbers and locks them, so the second sees whatever was committed before the lock was had.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    LargeBinary,
    Row,
    Select,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ledger import Asked, BatchFacts, Identified, KeyBinding, Named, PersonFacts, WindowRow
from policycore.model import SuppressionFact
from policycore.store.batch_values import POSTGRESQL, one_of, one_of_rows, rows_parameter
from policycore.store.tables import (
    conversation_bindings,
    cool_downs,
    idempotency_keys,
    identities,
    messages,
    persons,
    quota_usage,
    signature_claims,
    suppressions,
    windows,
)
from policycore.store.types import Instant, from_microseconds

_CLAIM: Final = 1
_PERSON: Final = 2
_BINDING: Final = 3
_OWN_CONVERSATION: Final = 4
_KEY: Final = 5
_LOCKED: Final = 6
_WINDOW: Final = 7
_SUPPRESSION: Final = 8
_COOL_DOWN: Final = 9
_TEXT: Final = 10
_QUOTA: Final = 11
_NUMBER: Final = 12

_NO_TEXT: Final = literal_column("NULL::text", Text)
_NO_BYTES: Final = literal_column("NULL::bytea", LargeBinary)
_NO_NUMBER: Final = literal_column("NULL::bigint", BigInteger)


def _part(
    kind: int,
    *texts: ColumnElement[Any],
    octets: ColumnElement[Any] = _NO_BYTES,
    numbers: tuple[ColumnElement[Any], ...] = (),
) -> Select[Any]:
    """One kind of row: its kind, four texts, one byte string, two numbers; what it has not is NULL."""
    plain = [type_coerce(n, BigInteger) if isinstance(n.type, Instant) else n for n in numbers]
    return select(
        literal_column(str(kind)).label("kind"),
        *(text.label(name) for text, name in zip([*texts, *[_NO_TEXT] * 4][:4], "abcd", strict=True)),
        octets.label("octets"),
        *(number.label(name) for number, name in zip([*plain, *[_NO_NUMBER] * 2][:2], "nm", strict=True)),
    )


async def identify(connection: AsyncConnection, named: Named, now: datetime, *, locking: bool) -> Identified:
    """What the batch's names stand for; persons stay locked, in the order of their ids, if `locking`."""
    known = [(account, "phone", phone) for account, phone in named.phones]
    parameters: dict[str, Any] = {
        "claims": sorted(set(named.claims)),
        "ours": sorted({key[1] for key in named.conversations if key[1].startswith("cnv_")}),
        "now_": now,
        **_rows("persons", known, 3),
        **_rows("conversations", named.conversations, 2),
        **_rows("keys", named.keys, 2),
    }
    rows = (await connection.execute(_identify(locking), parameters)).all()
    while any(row.kind == _LOCKED and row.b is not None for row in rows):
        # While the lock was waited for, somebody was joined to another person, whose the number is now.
        rows = (await connection.execute(_identify(locking), parameters)).all()
    found = Identified()
    ours: dict[str, str] = {}
    for row in rows:
        _note(row, found, ours)
    found.bindings.update({key: ours[key[1]] for key in named.conversations if key[1] in ours})
    return found


def _note(row: Row[Any], found: Identified, ours: dict[str, str]) -> None:
    if row.kind == _CLAIM:
        found.claims.add(row.octets)
    elif row.kind == _PERSON:
        found.persons[row.a, row.b] = row.c
    elif row.kind == _BINDING:
        found.bindings[row.a, row.b] = row.c
    elif row.kind == _OWN_CONVERSATION:
        ours[row.a] = row.b
    elif row.kind == _KEY:
        found.keys[row.a, row.b] = KeyBinding(row.octets, row.n, row.c, row.m)


@cache
def _identify(locking: bool) -> CompoundSelect[Any]:
    of_person = (identities.c.account_id, identities.c.kind, identities.c.value)
    known = one_of_rows(POSTGRESQL, of_person, "persons")
    binding, key = conversation_bindings.c, idempotency_keys.c
    claim = signature_claims.c.digest
    parts = [
        _part(_CLAIM, octets=claim).where(one_of(POSTGRESQL, claim, "claims")),
        _part(_PERSON, identities.c.account_id, identities.c.value, identities.c.person_id).where(known),
        _part(_BINDING, binding.integration_id, binding.external_id, binding.instance_id).where(
            one_of_rows(POSTGRESQL, (binding.integration_id, binding.external_id), "conversations")
        ),
        _part(_OWN_CONVERSATION, windows.c.conversation_id, windows.c.instance_id).where(
            one_of(POSTGRESQL, windows.c.conversation_id, "ours")
        ),
        _part(
            _KEY,
            key.scope,
            key.key,
            key.message_id,
            octets=key.body_digest,
            numbers=(key.log_id, key.event_type),
        ).where(one_of_rows(POSTGRESQL, (key.scope, key.key), "keys"), key.expires_at > bindparam("now_")),
    ]
    if locking:
        ids = select(identities.c.person_id).where(known)
        lock = select(persons.c.id, persons.c.merged_into).where(persons.c.id.in_(ids))
        locked = lock.order_by(persons.c.id).with_for_update().cte("locked")
        # Named in the union, because PostgreSQL runs no query in WITH that nobody reads.
        parts.append(_part(_LOCKED, locked.c.id, locked.c.merged_into))
    return union_all(*parts)


async def read_facts(
    connection: AsyncConnection, asked: Asked, now: datetime, *, locking: bool, numbers: int
) -> tuple[BatchFacts, list[int]]:
    """The facts, and `numbers` new numbers for the policy log. Quotas that have rows stay locked if `locking`."""
    parameters: dict[str, Any] = {
        "ids": sorted(set(asked.person_ids)),
        "now_": now,
        "since": asked.since,
        "count": numbers,
        **_rows("cools", asked.cool_downs, 3),
        **_rows("texts", asked.texts, 2),
        **_rows("quotas", asked.quotas, 2),
    }
    rows = (await connection.execute(_facts(locking), parameters)).all()
    found = BatchFacts(persons=_persons(rows, parameters["ids"]))
    taken = []
    for row in rows:
        if row.kind == _QUOTA:
            found.quota[row.a, row.b] = row.n
        elif row.kind == _TEXT:
            found.spread[row.a, row.octets] = row.n
        elif row.kind == _COOL_DOWN:
            found.cool_downs[row.a, row.n, row.b] = from_microseconds(row.m)
        elif row.kind == _NUMBER:
            taken.append(row.n)
    return found, sorted(taken)


def _persons(rows: Sequence[Row[Any]], person_ids: Iterable[str]) -> dict[str, PersonFacts]:
    open_at: dict[str, list[WindowRow]] = {}
    blocked: dict[str, SuppressionFact] = {}
    for row in rows:
        if row.kind == _WINDOW:
            closed = None if row.m is None else from_microseconds(row.m)
            open_at.setdefault(row.a, []).append(WindowRow(row.b, from_microseconds(row.n), row.c, closed))
    for row in sorted((row for row in rows if row.kind == _SUPPRESSION), key=lambda row: int(row.n)):
        known = blocked.get(row.a)
        if known is None or (known.scope != "all" and row.d == "all"):
            blocked[row.a] = SuppressionFact(row.b, row.c, row.d, from_microseconds(row.n))
    return {person: PersonFacts(tuple(open_at.get(person, ())), blocked.get(person)) for person in person_ids}


@cache
def _facts(locking: bool) -> CompoundSelect[Any]:
    window, entry, cool, text = windows.c, suppressions.c, cool_downs.c, messages.c
    quota = _quota(locking).cte("quota")
    cooling = (cool.integration_id, cool.event_type, cool.person_id)
    said = (text.account_id, text.text_digest)
    return union_all(
        _part(
            _WINDOW, window.person_id, window.instance_id, window.conversation_id,
            numbers=(window.last_inbound_at, window.closed_by_backend_at),
        ).where(one_of(POSTGRESQL, window.person_id, "ids")),
        _part(
            _SUPPRESSION, entry.person_id, entry.id, entry.source, entry.scope, numbers=(entry.created_at,)
        ).where(one_of(POSTGRESQL, entry.person_id, "ids"), entry.lifted_at.is_(None)),
        _part(
            _COOL_DOWN, cool.integration_id, cool.person_id, numbers=(cool.event_type, cool.until)
        ).where(one_of_rows(POSTGRESQL, cooling, "cools"), cool.until > bindparam("now_")),
        _part(_TEXT, text.account_id, octets=text.text_digest, numbers=(func.count(text.person_id.distinct()),))
        .where(one_of_rows(POSTGRESQL, said, "texts"), text.created_at > bindparam("since"))
        .group_by(*said),
        _part(_QUOTA, quota.c.account_id, quota.c.period, numbers=(quota.c.used,)),
        _part(_NUMBER, numbers=(func.nextval("decision_log_ids"),)).select_from(
            func.generate_series(1, bindparam("count", type_=BigInteger)).alias("series")
        ),
    )  # fmt: skip


def _quota(locking: bool) -> Select[Any]:
    key = (quota_usage.c.account_id, quota_usage.c.period)
    query = select(quota_usage).where(one_of_rows(POSTGRESQL, key, "quotas")).order_by(*key)
    return query.with_for_update() if locking else query


def _rows(name: str, rows: Iterable[tuple[Any, ...]], width: int) -> dict[str, Any]:
    wanted = sorted(set(rows))
    if wanted:
        return rows_parameter(POSTGRESQL, name, wanted)
    return {f"{name}_{place}": [] for place in range(width)}

"""PostgreSQL reads everything a batch is decided from in two statements, each a union of the kinds of fact.

Every statement costs a round trip and about as much of this process's time as five rows do. The first one knows
persons by their numbers and locks them, so the second sees whatever was committed before the lock was had.

What is asked for is unnested from arrays, and each row looked up by itself, LATERAL and bounded: then the plan is the
same nested loop over indexes whatever the server believes about the tables' sizes. A join left to its judgement has
read all messages of an account for each batch.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ledger import Asked, BatchFacts, Identified, KeyBinding, Named, PersonFacts, WindowRow
from policycore.model import SuppressionFact
from policycore.store.direct import driver_of
from policycore.store.types import from_microseconds, to_microseconds

_MOMENT: Final = 0
_CLAIM: Final = 1
_PERSON: Final = 2
_BINDING: Final = 3
_OWN_CONVERSATION: Final = 4
_KEY: Final = 5
_MERGED: Final = 6
_WINDOW: Final = 7
_SUPPRESSION: Final = 8
_COOL_DOWN: Final = 9
_TEXT: Final = 10
_QUOTA: Final = 11
_NUMBER: Final = 12

Record = Sequence[Any]
"""Kind, three texts, a byte string, two numbers, a fourth text; what a kind has not is NULL."""

_KNOWN: Final = """
WITH moment AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now, version FROM config_state
), known AS MATERIALIZED (
    SELECT wanted.account_id, wanted.phone, found.person_id
    FROM unnest($1::text[], $2::text[]) AS wanted(account_id, phone)
    CROSS JOIN LATERAL (
        SELECT person_id FROM identities
        WHERE account_id = wanted.account_id AND value = wanted.phone
            AND kind = CASE WHEN wanted.phone LIKE '+89%' THEN 'alias' ELSE 'phone' END LIMIT 1
    ) AS found
)"""

_LOCKED: Final = """, locked AS MATERIALIZED (
    SELECT id, merged_into FROM persons
    WHERE id = ANY (ARRAY(SELECT person_id FROM known)) ORDER BY id FOR UPDATE
)"""

_NAMED: Final = """
SELECT 0, NULL::text, NULL::text, NULL::text, NULL::bytea, moment.now, moment.version FROM moment
UNION ALL SELECT 1, NULL, NULL, NULL, digest, NULL, NULL
FROM signature_claims WHERE digest = ANY ($3::bytea[])
UNION ALL SELECT 2, account_id, phone, person_id, NULL, NULL, NULL FROM known
UNION ALL SELECT 3, found.integration_id, found.external_id, found.instance_id, NULL, NULL, NULL
FROM unnest($4::text[], $5::text[]) AS wanted(integration_id, external_id)
CROSS JOIN LATERAL (
    SELECT integration_id, external_id, instance_id FROM conversation_bindings
    WHERE integration_id = wanted.integration_id AND external_id = wanted.external_id LIMIT 1
) AS found
UNION ALL SELECT 4, conversation_id, instance_id, NULL, NULL, NULL, NULL
FROM windows WHERE conversation_id = ANY ($6::text[])
UNION ALL SELECT 5, found.scope, found.key, found.message_id, found.body_digest, found.log_id, found.event_type
FROM unnest($7::text[], $8::text[]) AS wanted(scope, key)
CROSS JOIN LATERAL (
    SELECT scope, key, message_id, body_digest, log_id, event_type FROM idempotency_keys
    WHERE scope = wanted.scope AND key = wanted.key AND expires_at > (SELECT now FROM moment) LIMIT 1
) AS found"""

# Named in the union, because PostgreSQL runs no query in WITH that nobody reads.
_MERGED_MEANWHILE: Final = """
UNION ALL SELECT 6, id, merged_into, NULL, NULL, NULL, NULL FROM locked WHERE merged_into IS NOT NULL"""

_IDENTIFY: Final = {
    True: _KNOWN + _LOCKED + _NAMED + _MERGED_MEANWHILE,
    False: _KNOWN + _NAMED,
}


async def identify(
    connection: AsyncConnection, named: Named, *, locking: bool
) -> tuple[Identified, datetime, int]:
    """What the batch's names stand for, the database's clock and the configuration's version.

    Persons stay locked, in the order of their ids, if `locking`.
    """
    accounts, phones = _columns(named.phones, 2)
    integrations, conversations = _columns(named.conversations, 2)
    scopes, keys = _columns(named.keys, 2)
    values = (
        *(accounts, phones),
        sorted(set(named.claims)),
        *(integrations, conversations),
        sorted({each for each in conversations if each.startswith("cnv_")}),
        *(scopes, keys),
    )
    driver = driver_of(connection)
    rows = await driver.fetch(_IDENTIFY[locking], *values)
    while any(row[0] == _MERGED for row in rows):
        # While the lock was waited for, somebody was joined to another person, whose the number is now.
        rows = await driver.fetch(_IDENTIFY[locking], *values)
    found = Identified()
    ours: dict[str, str] = {}
    moment = rows[0]
    for row in rows:
        if row[0] == _MOMENT:
            moment = row
        else:
            _note(row, found, ours)
    if ours:
        found.bindings.update({key: ours[key[1]] for key in named.conversations if key[1] in ours})
    return found, from_microseconds(moment[5]), moment[6]


def _note(row: Record, found: Identified, ours: dict[str, str]) -> None:
    kind, a, b, c, octets, n, m = row
    if kind == _PERSON:
        found.persons[a, b] = c
    elif kind == _BINDING:
        found.bindings[a, b] = c
    elif kind == _CLAIM:
        found.claims.add(octets)
    elif kind == _OWN_CONVERSATION:
        ours[a] = b
    elif kind == _KEY:
        found.keys[a, b] = KeyBinding(octets, n, c, m)


_FACTS: Final = """
WITH quota AS MATERIALIZED (
    SELECT found.account_id, found.period, found.used
    FROM unnest($1::text[], $2::text[]) AS wanted(account_id, period)
    CROSS JOIN LATERAL (
        SELECT account_id, period, used FROM quota_usage
        WHERE account_id = wanted.account_id AND period = wanted.period LIMIT 1
    ) AS found
)
SELECT 7, person_id, instance_id, conversation_id, NULL::bytea, last_inbound_at, closed_by_backend_at, NULL::text
FROM windows WHERE person_id = ANY ($3::text[])
UNION ALL SELECT 8, person_id, id, source, NULL, created_at, NULL, scope
FROM suppressions WHERE person_id = ANY ($3::text[]) AND lifted_at IS NULL
UNION ALL SELECT 9, found.integration_id, found.person_id, NULL, NULL, found.event_type, found.until, NULL
FROM unnest($4::text[], $5::integer[], $6::text[]) AS wanted(integration_id, event_type, person_id)
CROSS JOIN LATERAL (
    SELECT integration_id, event_type, person_id, until FROM cool_downs
    WHERE integration_id = wanted.integration_id AND event_type = wanted.event_type
        AND person_id = wanted.person_id AND until > $7::bigint LIMIT 1
) AS found
UNION ALL SELECT 10, wanted.account_id, NULL, NULL, wanted.digest, found.persons, NULL, NULL
FROM unnest($8::text[], $9::bytea[]) AS wanted(account_id, digest)
CROSS JOIN LATERAL (
    SELECT count(DISTINCT person_id) AS persons FROM messages
    WHERE account_id = wanted.account_id AND text_digest = wanted.digest AND created_at > $10::bigint
) AS found
UNION ALL SELECT 11, account_id, period, NULL, NULL, used, NULL, NULL FROM quota
UNION ALL SELECT 12, NULL, NULL, NULL, NULL, nextval('decision_log_ids'), NULL, NULL
FROM generate_series(1, $11::bigint)"""


async def read_facts(
    connection: AsyncConnection, asked: Asked, now: datetime, *, numbers: int
) -> tuple[BatchFacts, list[int]]:
    """The facts, and `numbers` new numbers for the policy log."""
    person_ids = sorted(set(asked.person_ids))
    rows = await driver_of(connection).fetch(
        _FACTS,
        *_columns(asked.quotas, 2),
        person_ids,
        *_columns(asked.cool_downs, 3),
        to_microseconds(now),
        *_columns(asked.texts, 2),
        to_microseconds(asked.since),
        numbers,
    )
    found = BatchFacts(persons=_persons(rows, person_ids))
    taken = []
    for kind, a, b, _, octets, n, m, _ in rows:
        if kind == _TEXT:
            found.spread[a, octets] = n
        elif kind == _NUMBER:
            taken.append(n)
        elif kind == _QUOTA:
            found.quota[a, b] = n
        elif kind == _COOL_DOWN:
            found.cool_downs[a, n, b] = from_microseconds(m)
    return found, sorted(taken)


def _persons(rows: Sequence[Record], person_ids: Iterable[str]) -> dict[str, PersonFacts]:
    open_at: dict[str, list[WindowRow]] = {}
    blocked: dict[str, SuppressionFact] = {}
    for row in rows:
        if row[0] == _WINDOW:
            _, person, instance, conversation, _, last, closed_at, _ = row
            closed = None if closed_at is None else from_microseconds(closed_at)
            window = WindowRow(instance, from_microseconds(last), conversation, closed)
            open_at.setdefault(person, []).append(window)
    for row in sorted((row for row in rows if row[0] == _SUPPRESSION), key=lambda row: int(row[5])):
        _, person, entry_id, source, _, created_at, _, scope = row
        known = blocked.get(person)
        if known is None or (known.scope != "all" and scope == "all"):
            blocked[person] = SuppressionFact(entry_id, source, scope, from_microseconds(created_at))
    return {person: PersonFacts(tuple(open_at.get(person, ())), blocked.get(person)) for person in person_ids}


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> tuple[list[Any], ...]:
    """Different rows, sorted, as one list for each column: locks are taken in this order."""
    wanted = sorted(set(rows))
    return tuple([row[place] for row in wanted] for place in range(width))

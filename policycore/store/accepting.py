"""Records on PostgreSQL, in one statement, that messages were accepted: what nearly every attempt comes to.

Everything else an attempt may come to is settled by `policycore.store.settlements`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ledger import MessageView
from policycore.store.direct import driver_of
from policycore.store.event_numbers import EVENTS_LOCK
from policycore.store.findings import encode_json
from policycore.store.types import to_microseconds

_ACCEPT: Final = """
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        AS given(id, instance_id, external_id, account_id, message_json)
), accepted AS (
    UPDATE messages
    SET state = 3, external_id = given.external_id, settled_at = $6::bigint,
        updated_at = $6::bigint
    FROM given WHERE messages.id = given.id AND messages.state + 0 = 2
    RETURNING messages.id
), held AS MATERIALIZED (
    SELECT pg_advisory_xact_lock($8::bigint) FROM (SELECT count(*) FROM accepted) AS after_the_rows
), told AS (
    INSERT INTO message_events (sequence, account_id, occurred_at, event_name, message_id, message_json)
    SELECT nextval('message_event_ids'), given.account_id, $6::bigint, $7::text, given.id, given.message_json
    FROM held CROSS JOIN accepted JOIN given ON given.id = accepted.id
)
SELECT given.id, EXISTS (
    SELECT FROM unmatched_receipts AS early
    WHERE early.instance_id = given.instance_id AND early.external_id = given.external_id
) FROM accepted JOIN given ON given.id = accepted.id"""
"""2 is handed out, 3 accepted. `+ 0` keeps the plan from reading the index of all open messages.

The numbers of events are drawn for rows that join the lock, so not before it is held. Rows are updated in the order
of the given ids, which are sorted: two processes with the same ones do not wait for each other.
"""


async def record_accepted(
    connection: AsyncConnection, views: Sequence[MessageView], event_name: str, now: datetime
) -> tuple[set[str], set[str]]:
    """Makes messages that were handed out accepted ones, as `views` says they are then, and tells the stream.

    Returns the ids of those that were still handed out, and of those among them for which receipts came too early.
    The others are as they were.
    """
    ordered = sorted(views, key=lambda view: view.message_id)
    rows = await driver_of(connection).fetch(
        _ACCEPT,
        [view.message_id for view in ordered],
        [view.instance_id for view in ordered],
        [view.external_message_id for view in ordered],
        [view.account_id for view in ordered],
        [encode_json(view) for view in ordered],
        to_microseconds(now),
        event_name,
        EVENTS_LOCK,
    )
    return {row[0] for row in rows}, {row[0] for row in rows if row[1]}

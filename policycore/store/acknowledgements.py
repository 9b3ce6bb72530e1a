"""What instances sent and what of it was acknowledged, and the marks of those that stopped to acknowledge."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row, func, or_, select, update

from policycore.acknowledgement import PATIENCE, Mark, Send, Suspect
from policycore.ledger import MessageState
from policycore.store.config_reader import bump_version
from policycore.store.engine import Database
from policycore.store.tables import instances, messages

_WAITING = [int(state) for state in (MessageState.ACCEPTED, MessageState.UNKNOWN)]
_HEARD = [
    int(state)
    for state in (MessageState.SENT, MessageState.DELIVERED, MessageState.READ, MessageState.FAILED)
]
_TURN = timedelta(seconds=30)
"""A message may wait this long for its turn after it was made, by which rows are found."""

_RECENT = timedelta(hours=1)
_FAR = timedelta(days=1)
_MOST_SENDS = 500


class SqlAcknowledgements:
    """The acknowledgements of one database; see `policycore.usecases.watch_acknowledgements.Acknowledgements`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def suspects(self) -> tuple[datetime, list[Suspect]]:
        """One row by index for each instance: whether its newest send that had time to be acknowledged was."""
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            shortest = min(patience.wait for patience in PATIENCE.values())
            newest = (
                select(messages.c.state)
                .where(
                    messages.c.instance_id == instances.c.id,
                    messages.c.created_at > now - _RECENT,
                    messages.c.created_at <= now - shortest - _TURN,
                    messages.c.outbound,
                    messages.c.from_business.is_(False),
                    messages.c.state.in_([*_WAITING, *_HEARD]),
                )
                .order_by(messages.c.created_at.desc())
                .limit(1)
                .correlate(instances)
                .scalar_subquery()
            )
            query = select(instances).where(
                instances.c.backend.in_(sorted(PATIENCE)),
                or_(instances.c.unacknowledged_since.is_not(None), newest.in_(_WAITING)),
            )
            rows = (await connection.execute(query)).all()
        return now, [_suspect(row) for row in rows]

    async def sends(self, instance_id: str) -> Sequence[Send]:
        """The newest 500."""
        accepted_at = func.coalesce(messages.c.settled_at, messages.c.handed_out_at)
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            query = (
                select(messages.c.state, messages.c.updated_at, accepted_at.label("accepted_at"))
                .where(
                    messages.c.instance_id == instance_id,
                    messages.c.created_at > now - _FAR,
                    messages.c.outbound,
                    messages.c.from_business.is_(False),
                    messages.c.state.in_([*_WAITING, *_HEARD]),
                )
                .order_by(messages.c.created_at.desc())
                .limit(_MOST_SENDS)
            )
            rows = (await connection.execute(query)).all()
        return [Send(row.accepted_at, row.state in _HEARD, row.updated_at) for row in rows]

    async def change(self, suspect: Suspect, mark: Mark | None) -> bool:
        """Raises the configuration's version in the same transaction."""
        since = None if suspect.mark is None else suspect.mark.since
        held_until = None if suspect.mark is None else suspect.mark.held_until
        statement = (
            update(instances)
            .where(
                instances.c.id == suspect.instance_id,
                instances.c.unacknowledged_since.is_not_distinct_from(since),
                instances.c.held_until.is_not_distinct_from(held_until),
            )
            .values(
                unacknowledged_since=None if mark is None else mark.since,
                held_until=None if mark is None else mark.held_until,
            )
        )
        async with self._database.transaction() as connection:
            changed = (await connection.execute(statement)).rowcount == 1
            if changed:
                await bump_version(connection)
        return changed


def _suspect(row: Row[tuple[object, ...]]) -> Suspect:
    mark = None
    if row.unacknowledged_since is not None:
        mark = Mark(row.unacknowledged_since, row.held_until)
    return Suspect(row.id, row.backend, row.state_changed_at, mark)

"""Calls that CRM templates reported, in SQL: which reports are of one call, exactly, however many processes ask."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import update

from policycore.crm_identity import Group, fold
from policycore.store.crm_tables import call_folds
from policycore.store.engine import Database
from policycore.store.persons import upsert

LIFE = timedelta(days=9)
"""As long as the idempotency keys that are made of these rows."""

_decoder = msgspec.json.Decoder(tuple[Group, ...])


class SqlCallFolds:
    """Implements `policycore.usecases.crm_reports.CallFolds` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold(
        self, integration_id: str, subject: bytes, started_at: datetime | None, within: timedelta
    ) -> tuple[Group, datetime]:
        """The call that a report belongs to, and the time of receipt by the database's clock, which stands for a start
        that is not known. Committed before it returns.
        """
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            made = upsert(connection, call_folds).values(
                integration_id=integration_id, subject=subject, groups_json="[]", expires_at=now + LIFE
            )
            # It changes a row that is there in any case, because that locks it: reports of one caller take turns.
            locked = made.on_conflict_do_update(
                index_elements=["integration_id", "subject"], set_={"expires_at": made.excluded.expires_at}
            ).returning(call_folds.c.groups_json)
            known = _decoder.decode((await connection.execute(locked)).scalar_one())
            group, groups = fold(known, subject, started_at or now, within)
            if groups is not known:
                mine = (call_folds.c.integration_id == integration_id, call_folds.c.subject == subject)
                text = msgspec.json.encode(groups).decode()
                await connection.execute(update(call_folds).where(*mine).values(groups_json=text))
        return group, now

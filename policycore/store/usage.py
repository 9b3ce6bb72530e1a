"""The security log and last-used marks, as the edge reports them."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache

from sqlalchemy import Table, Update, bindparam, or_, update

from policycore.reading import RefusalCount
from policycore.store.engine import Database
from policycore.store.persons import upsert
from policycore.store.tables import api_keys, integration_secrets, refusals, threecx_sms_keys


async def record_usage(
    database: Database, counts: Sequence[RefusalCount], uses: Sequence[tuple[str, datetime]]
) -> None:
    """Adds refusals to the security log, and moves last-used marks of secrets and API keys forward."""
    merged: dict[tuple[datetime, str, str, str, str], int] = {}
    for each in counts:
        key = (each.minute, each.surface, each.target, each.reason, each.source_address)
        merged[key] = merged.get(key, 0) + each.count
    rows = [
        dict(zip(("minute", "surface", "target", "reason", "source_address"), key, strict=True))
        | {"count": count}
        for key, count in sorted(merged.items())
    ]
    async with database.transaction() as connection:
        if rows:
            statement = upsert(connection, refusals)
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["minute", "surface", "target", "reason", "source_address"],
                    set_={"count": refusals.c.count + statement.excluded.count},
                ),
                rows,
            )
        for table in (api_keys, integration_secrets, threecx_sms_keys):
            marks = [
                {"used_id": credential_id, "used_at": used_at}
                for credential_id, used_at in sorted(uses)
                if table is _TABLES.get(credential_id[:4], integration_secrets)
            ]
            if marks:
                # All marks of a report in one call, and in one order, so that two edges' reports never wait in a ring.
                await connection.execute(_moved_forward(table), marks)


_TABLES = {"key_": api_keys, "smk_": threecx_sms_keys}
"""Where credentials are kept, by how their ids begin; all others are secrets of integrations."""


@cache
def _moved_forward(table: Table) -> Update:
    used_at = bindparam("used_at", type_=table.c.last_used_at.type)
    older = or_(table.c.last_used_at.is_(None), table.c.last_used_at < used_at)
    return update(table).where(table.c.id == bindparam("used_id"), older).values(last_used_at=used_at)

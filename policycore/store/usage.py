"""The security log and last-used marks, as the edge reports them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, update

from policycore.reading import RefusalCount
from policycore.store.engine import Database
from policycore.store.persons import upsert
from policycore.store.tables import api_keys, integration_secrets, refusals


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
        for credential_id, used_at in uses:
            table = api_keys if credential_id.startswith("key_") else integration_secrets
            await connection.execute(
                update(table)
                .where(
                    table.c.id == credential_id,
                    or_(table.c.last_used_at.is_(None), table.c.last_used_at < used_at),
                )
                .values(last_used_at=used_at)
            )

"""Owns the last-used marks of service tokens; those of secrets and API keys come from the edge, see
`usage.py`.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import or_, update

from policycore.store.engine import Database
from policycore.store.tables import service_tokens


async def record_token_uses(database: Database, uses: Mapping[str, datetime]) -> None:
    """Notes when service tokens were last used, by id. Marks never move back; unknown ids are passed over."""
    if not uses:
        return
    column = service_tokens.c.last_used_at
    async with database.transaction() as connection:
        for token_id, used_at in sorted(uses.items()):
            await connection.execute(
                update(service_tokens)
                .where(service_tokens.c.id == token_id, or_(column.is_(None), column < used_at))
                .values(last_used_at=used_at)
            )

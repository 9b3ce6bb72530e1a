"""Owns the last-used marks of secrets, API keys and service tokens."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.store.tables import api_keys, integration_secrets, service_tokens

_TABLES = {"sec_": integration_secrets, "key_": api_keys, "tok_": service_tokens}


async def record_uses(connection: AsyncConnection, uses: Mapping[str, datetime]) -> None:
    """Notes when credentials were last used, by id. Marks never move back; unknown ids are passed over."""
    for credential_id, used_at in sorted(uses.items()):
        table = _TABLES.get(credential_id[:4])
        if table is None:
            continue
        earlier = or_(table.c.last_used_at.is_(None), table.c.last_used_at < used_at)
        await connection.execute(
            update(table).where(table.c.id == credential_id, earlier).values(last_used_at=used_at)
        )

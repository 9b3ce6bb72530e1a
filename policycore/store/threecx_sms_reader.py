"""Reads the SMS-provider connectors of all integrations for the configuration's snapshot."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.registry.sealing import THREECX_SMS_URL
from policycore.registry.snapshot import SmsKeyConfig, ThreecxSmsConfig
from policycore.store.threecx_sms_tables import threecx_sms, threecx_sms_keys, threecx_sms_numbers


async def read_threecx_sms(
    connection: AsyncConnection, unseal: Callable[[bytes, tuple[str, str], str], str], now: datetime
) -> dict[str, ThreecxSmsConfig]:
    """By integration. Bearer keys whose overlap is over are left out."""
    numbers: dict[str, dict[str, str]] = {}
    for row in await connection.execute(select(threecx_sms_numbers)):
        numbers.setdefault(row.integration_id, {})[row.instance_id] = row.number
    keys: dict[str, list[SmsKeyConfig]] = {}
    newest_first = select(threecx_sms_keys).order_by(threecx_sms_keys.c.created_at.desc())
    for row in await connection.execute(newest_first):
        if row.valid_until is None or row.valid_until > now:
            key = SmsKeyConfig(row.id, row.key_digest, row.valid_until)
            keys.setdefault(row.integration_id, []).append(key)
    found = {}
    for row in await connection.execute(select(threecx_sms)):
        sealed = row.webhook_url_sealed
        found[row.integration_id] = ThreecxSmsConfig(
            webhook_url=unseal(sealed, THREECX_SMS_URL, row.integration_id) if sealed else "",
            numbers=numbers.get(row.integration_id, {}),
            default_purpose=row.default_purpose,
            gateway_lines=row.gateway_lines,
            receipts=row.receipts,
            requests_per_minute=row.requests_per_minute,
            keys=tuple(keys.get(row.integration_id, ())),
        )
    return found

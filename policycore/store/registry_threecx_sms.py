"""Owns the rows of SMS-provider connectors: settings, numbers and bearer keys."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.registry.errors import AlreadyExistsError
from policycore.registry.rows import SmsKeyRow, ThreecxSmsRow
from policycore.store.registry_tables import row_of
from policycore.store.threecx_sms_tables import threecx_sms, threecx_sms_keys, threecx_sms_numbers


class SqlThreecxSms:
    """See `policycore.registry.ports.ThreecxSmsRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, integration_id: str) -> ThreecxSmsRow | None:
        """The settings, if any were made."""
        query = select(threecx_sms).where(threecx_sms.c.integration_id == integration_id)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else row_of(ThreecxSmsRow, row)

    async def put(self, row: ThreecxSmsRow) -> None:
        """Inserts or replaces the settings."""
        mine = threecx_sms.c.integration_id == row.integration_id
        await self._connection.execute(delete(threecx_sms).where(mine))
        await self._connection.execute(insert(threecx_sms).values(asdict(row)))

    async def numbers(self, integration_id: str) -> Mapping[str, str]:
        """The phone system's numbers, by instance."""
        query = select(threecx_sms_numbers).where(threecx_sms_numbers.c.integration_id == integration_id)
        return {row.instance_id: row.number for row in await self._connection.execute(query)}

    async def set_numbers(self, integration_id: str, numbers: Mapping[str, str]) -> None:
        """Replaces the numbers."""
        mine = threecx_sms_numbers.c.integration_id == integration_id
        await self._connection.execute(delete(threecx_sms_numbers).where(mine))
        rows = [
            {"integration_id": integration_id, "instance_id": instance_id, "number": number}
            for instance_id, number in sorted(numbers.items())
        ]
        if rows:
            await self._connection.execute(insert(threecx_sms_numbers), rows)

    async def keys(self, integration_id: str) -> Sequence[SmsKeyRow]:
        """Bearer keys, newest first."""
        query = (
            select(threecx_sms_keys)
            .where(threecx_sms_keys.c.integration_id == integration_id)
            .order_by(threecx_sms_keys.c.created_at.desc(), threecx_sms_keys.c.id)
        )
        return [row_of(SmsKeyRow, row) for row in (await self._connection.execute(query)).mappings()]

    async def add_key(self, row: SmsKeyRow) -> None:
        """Inserts a bearer key. Errors: `AlreadyExistsError` if any integration has it."""
        try:
            await self._connection.execute(insert(threecx_sms_keys).values(asdict(row)))
        except IntegrityError as error:
            raise AlreadyExistsError("key", "belongs to an integration already.") from error

    async def end_keys(self, integration_id: str, until: datetime) -> None:
        """Lets every bearer key that would count longer end at `until`."""
        keys = threecx_sms_keys
        longer = or_(keys.c.valid_until.is_(None), keys.c.valid_until > until)
        mine = keys.c.integration_id == integration_id
        await self._connection.execute(update(keys).where(mine, longer).values(valid_until=until))

"""Writes and reads rows of the outbox for tests, on either database."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from policycore.store.engine import Database
from policycore.store.tables import outbox


@dataclass
class Rows:
    """Writes and reads rows of the outbox; moments are relative to when it was made."""

    database: Database
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    written: int = 0

    async def add(self, person: str | None = "psn_a", destination: str = "int_a", due: float = -1.0) -> int:
        self.written += 1
        webhook = destination if destination.startswith("whk_") else None
        values: dict[str, Any] = {
            "id": f"dlv_{self.written}",
            "account_id": "acc_a",
            "integration_id": None if webhook else destination,
            "webhook_id": webhook,
            "person_id": person,
            "event_name": "message.received",
            "body": f'{{"n": {self.written}}}',
            "state": "pending",
            "next_attempt_at": self.began + timedelta(seconds=due),
            "created_at": self.began,
        }
        async with self.database.transaction() as connection:
            written = await connection.execute(insert(outbox).values(values).returning(outbox.c.number))
            return int(written.scalar_one())

    async def add_many(self, count: int, person: str, webhook: str) -> None:
        """As many rows of one line, at once."""
        values = [
            {
                "id": f"dlv_many_{self.written + n}",
                "account_id": "acc_a",
                "webhook_id": webhook,
                "person_id": person,
                "event_name": "message.received",
                "body": "{}",
                "state": "pending",
                "next_attempt_at": self.began - timedelta(seconds=1),
                "created_at": self.began,
            }
            for n in range(count)
        ]
        self.written += count
        async with self.database.transaction() as connection:
            await connection.execute(insert(outbox), values)

    async def row(self, number: int) -> Any:
        async with self.database.reading() as connection:
            return (await connection.execute(select(outbox).where(outbox.c.number == number))).one()

    async def end_lease(self, number: int) -> None:
        """As if the lease's time were over, or there had been none."""
        async with self.database.transaction() as connection:
            past = self.began - timedelta(seconds=1)
            await connection.execute(
                update(outbox).where(outbox.c.number == number).values(leased_until=past)
            )

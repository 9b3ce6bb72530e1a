"""What a row of the policy log costs PostgreSQL to insert: in a table of months, and in one plain table.

Both lie on one server and are written in turn, batches of one size, by the statement that decisions are written by.
"""

import os
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.schema import CreateTable

from policycore.ids import new_id
from policycore.store.batch_values import Rows, insert_rows
from policycore.store.engine import Database
from policycore.store.tables import decisions
from servers.postgres import PostgresServer
from support.core_parts import CoreParts, open_core

BATCH = 16
BATCHES = 400
WARM_UP = 20


@dataclass
class Log:
    """One of the two, with what each of its rows took PostgreSQL, in seconds."""

    core: CoreParts
    backend: int = 0
    seconds: list[float] = field(default_factory=list)

    async def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes a batch in a transaction of its own."""
        async with self.core.database.transaction() as connection:
            if not self.backend:
                self.backend = int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)
            before = self._ran_seconds()
            await insert_rows(connection, Rows(decisions, rows))
            self.seconds.append((self._ran_seconds() - before) / len(rows))

    def _ran_seconds(self) -> float:
        # The kernel's scheduler counts nanoseconds on a processor in the first field.
        return int(Path(f"/proc/{self.backend}/schedstat").read_text().split()[0]) / 1e9


async def measure(server: PostgresServer) -> dict[str, float]:
    """µs of PostgreSQL's processor time for a row of each, the median over batches."""
    names = ("of months", "plain")
    logs = {name: Log(await open_core(server.url(server.create_database()))) for name in names}
    await _make_plain(logs["plain"].core.database)
    sample = await _sample(logs["of months"].core)
    for number in range(BATCHES):
        rows = [_row(sample, 10**6 + number * BATCH + place) for place in range(BATCH)]
        for name in random.sample(names, len(names)):
            await logs[name].insert(rows)
    for log in logs.values():
        await log.core.close()
    return {name: statistics.median(log.seconds[WARM_UP:]) * 1e6 for name, log in logs.items()}


async def _make_plain(database: Database) -> None:
    """The table as it would be without partitions."""
    async with database.transaction() as connection:
        await connection.execute(text("DROP TABLE decisions"))
        await connection.execute(CreateTable(decisions))
        for index in decisions.indexes:
            await connection.run_sync(index.create)


async def _sample(core: CoreParts) -> Mapping[str, Any]:
    """A row that was really decided."""
    await core.inbound("Hello")
    await core.reply("Hello, this is the service desk about your ticket.")
    [row] = await core.rows(decisions)
    return dict(row._mapping)


def _row(sample: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    return {
        **sample,
        "log_id": number,
        "id": new_id("dec_", os.urandom),
        "decided_at": datetime.now(UTC),
        "person_id": f"per_{number * 7919 % 20_000:020d}",
        "message_id": new_id("msg_", os.urandom),
    }

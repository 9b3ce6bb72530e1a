"""The ledger in SQL: facts in few queries, a batch of decisions with all they change in one transaction."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import delete, func, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.errors import Contended
from policycore.ids import RandomBytes
from policycore.inbound import PersonRef
from policycore.ledger import (
    Asked,
    BatchFacts,
    DecisionWrites,
    Identified,
    MessageView,
    Named,
    NewDecision,
    NewKey,
    NewMessage,
)
from policycore.model import Action, Decision
from policycore.reasons import ReasonCode, Verdict
from policycore.registry.snapshot import Snapshot
from policycore.store import batch_reads
from policycore.store import decision_facts as facts
from policycore.store.batch_values import POSTGRESQL, Rows, insert_rows
from policycore.store.engine import Database
from policycore.store.findings import decode_findings, encode_findings, encode_json
from policycore.store.message_rows import message_rows, read_views
from policycore.store.persons import identities_of, ref_of, upsert
from policycore.store.quota_rows import quota_rows
from policycore.store.store_state_tables import store_state
from policycore.store.tables import (
    conversation_bindings,
    cool_downs,
    decisions,
    idempotency_keys,
    signature_claims,
    windows,
)

SnapshotAt = Callable[[AsyncConnection], Awaitable[tuple[datetime, Snapshot]]]
"""Gives the database's clock, and the configuration that is true in this transaction."""

Confirm = Callable[[AsyncConnection, datetime, int], Awaitable[Snapshot]]
"""Gives the configuration of a version, found in a transaction when the database's clock was so much."""


class Configuration(Protocol):
    """What a ledger needs of the process's copy of the configuration."""

    def current(self) -> Snapshot:
        """The newest snapshot known here."""

    def database_now(self) -> datetime:
        """The database's clock, as far as it is known without asking."""

    def seconds(self) -> float:
        """A clock that never runs backwards."""

    async def at(self, connection: AsyncConnection) -> tuple[datetime, Snapshot]:
        """See `SnapshotAt`."""

    async def confirmed(
        self, connection: AsyncConnection, now: datetime, version: int, asked_at: float
    ) -> Snapshot:
        """The configuration of this version; it was found by a transaction that asked at `asked_at` seconds."""


_SAME_IN_DECISIONS = (
    "decided_at",
    "caller",
    "source",
    "event_type",
    "purpose",
    "verdict",
    "reason",
    "action",
    "retry_after_seconds",
    "explanation",
)
"""Columns that have one value in a batch of allowed replies."""

_NEXT_NUMBERS = text("SELECT nextval(:sequence) FROM generate_series(1, :count)")


class SqlDecisionTransaction:
    """One transaction of the ledger; see `policycore.ledger.DecisionTransaction`."""

    def __init__(
        self, connection: AsyncConnection, now: datetime, snapshot: Snapshot, writing: bool, confirm: Confirm
    ) -> None:
        self.connection = connection
        self.now = now
        self.snapshot = snapshot
        self._writing = writing
        self._confirm = confirm
        self._postgres = connection.dialect.name == POSTGRESQL
        self._numbers: list[int] = []
        self._ceilings: Mapping[tuple[str, str], int] = {}

    async def identify(self, named: Named) -> Identified:
        if not self._postgres:
            return await facts.identify(self.connection, named, self.now)
        found, self.now, version = await batch_reads.identify(self.connection, named, locking=self._writing)
        self.snapshot = await self._confirm(self.connection, self.now, version)
        return found

    async def read_facts(self, asked: Asked) -> BatchFacts:
        if not self._postgres:
            return await facts.read_facts(self.connection, asked, self.now)
        count = asked.messages if self._writing else 0
        found, self._numbers = await batch_reads.read_facts(self.connection, asked, self.now, numbers=count)
        if self._writing:
            near = _near_ceilings(asked, found.quota)
            if near:
                found.quota.update(await facts.make_and_lock_quota(self.connection, near))
            self._ceilings = {key: limit for key, limit in asked.ceilings.items() if key not in near}
        return found

    async def read_identities(self, person_ids: Sequence[str]) -> dict[str, PersonRef]:
        return {
            each: ref_of(kinds) for each, kinds in (await identities_of(self.connection, person_ids)).items()
        }

    async def next_log_ids(self, count: int) -> Sequence[int]:
        if count <= len(self._numbers):
            taken, self._numbers = self._numbers[:count], self._numbers[count:]
            return taken
        return await next_numbers(self.connection, "decision_log_ids", decisions.c.log_id, count)

    async def read_decided(self, log_ids: Sequence[int]) -> dict[int, tuple[str, Decision, datetime]]:
        rows = await self.connection.execute(
            select(decisions).where(decisions.c.log_id.in_(sorted(set(log_ids))))
        )
        return {row.log_id: (row.id, _decision_of(row), row.decided_at) for row in rows}

    async def read_messages(self, message_ids: Sequence[str]) -> dict[str, MessageView]:
        return await read_views(self.connection, message_ids)

    async def write(self, writes: DecisionWrites) -> None:
        if writes.keys:
            await self._forget_expired(writes.keys)
        # In one order, so that two processes with the same ones do not wait for each other.
        claims = sorted(dict(writes.claims).items())
        keys = sorted(writes.keys, key=lambda key: (key.scope, key.key))
        counted = await insert_rows(
            self.connection,
            Rows(signature_claims, [{"digest": claim, "expires_at": until} for claim, until in claims]),
            Rows(decisions, [decision_row(new) for new in writes.decisions], same=_SAME_IN_DECISIONS),
            message_rows(writes.messages),
            Rows(idempotency_keys, [_key_row(key) for key in keys]),
            quota_rows(writes.quota),
            _cool_down_rows(writes.messages),
            self._binding_rows(writes),
        )
        for account, period, used in counted:
            if used > self._ceilings.get((account, period), used):
                # Others were counted since the facts were read: what was allowed by them may be too much by now.
                raise Contended

    async def _forget_expired(self, keys: Sequence[NewKey]) -> None:
        """An expired binding of the same key may still lie here."""
        table = idempotency_keys
        pairs = [(key.scope, key.key) for key in keys]
        await self.connection.execute(
            delete(table).where(tuple_(table.c.scope, table.c.key).in_(pairs), table.c.expires_at <= self.now)
        )

    def _binding_rows(self, writes: DecisionWrites) -> Rows:
        rows = [
            {
                "integration_id": integration_id,
                "external_id": external_id,
                "instance_id": instance_id,
                "person_id": person_id,
                "updated_at": self.now,
            }
            for (integration_id, external_id), (instance_id, person_id) in sorted(writes.bindings.items())
        ]
        changes = ("instance_id", "person_id", "updated_at")
        return Rows(conversation_bindings, rows, replaces=changes, if_other="instance_id")


_NEAR = 32
"""So many messages before a ceiling, counts are locked when they are read, and batches follow one another."""


def _near_ceilings(asked: Asked, used: Mapping[tuple[str, str], int]) -> list[tuple[str, str]]:
    """(account id, period) of the counts that this batch, and a little more, could bring to their ceilings."""
    wanted = Counter(asked.quotas)
    return [
        key for key, ceiling in asked.ceilings.items() if used.get(key, 0) + wanted[key] + _NEAR > ceiling
    ]


class SqlDecisionLedger:
    """The ledger of one database; see `policycore.ledger.DecisionLedger`."""

    def __init__(
        self, database: Database, configuration: Configuration, random_bytes: RandomBytes = os.urandom
    ) -> None:
        self._database = database
        self._configuration = configuration
        self._random = random_bytes

    @asynccontextmanager
    async def begin(self, *, writing: bool = True) -> AsyncIterator[SqlDecisionTransaction]:
        scope = self._database.transaction() if writing else self._database.reading()
        configuration = self._configuration
        async with scope as connection:
            asked_at = configuration.seconds()

            async def confirm(transaction: AsyncConnection, now: datetime, version: int) -> Snapshot:
                return await configuration.confirmed(transaction, now, version, asked_at)

            if self._database.is_postgres:
                # `identify` brings the clock and the version: that saves every batch a round trip.
                now, snapshot = configuration.database_now(), configuration.current()
            else:
                now, snapshot = await configuration.at(connection)
            yield SqlDecisionTransaction(connection, now, snapshot, writing, confirm)

    async def free(self, claims: Sequence[bytes], key: tuple[str, str] | None, log_id: int) -> None:
        async with self._database.transaction() as connection:
            if claims:
                await connection.execute(
                    delete(signature_claims).where(signature_claims.c.digest.in_(claims))
                )
            if key is not None:
                table = idempotency_keys
                mine = (table.c.scope == key[0], table.c.key == key[1], table.c.log_id == log_id)
                await connection.execute(delete(table).where(*mine))

    async def claim(self, digest: bytes, expires_at: datetime) -> bool:
        async with self._database.transaction() as connection:
            statement = (
                upsert(connection, signature_claims)
                .values(digest=digest, expires_at=expires_at)
                .on_conflict_do_nothing()
                .returning(signature_claims.c.digest)
            )
            return (await connection.execute(statement)).first() is not None


def _cool_down_rows(new: Sequence[NewMessage]) -> Rows:
    """One for each (integration, event type, person); the last message of a batch counts."""
    rows = {
        (message.integration_id, message.event_type, message.person_id): {
            "integration_id": message.integration_id,
            "event_type": message.event_type,
            "person_id": message.person_id,
            "until": message.cool_down_until,
            "message_id": message.message_id,
        }
        for message in new
        if message.cool_down_until is not None
    }
    return Rows(cool_downs, list(rows.values()), replaces=("until", "message_id"))


def _key_row(key: NewKey) -> dict[str, Any]:
    return {
        "scope": key.scope,
        "key": key.key,
        "body_digest": key.binding.body_digest,
        "log_id": key.binding.log_id,
        "message_id": key.binding.message_id,
        "event_type": key.binding.event_type,
        "expires_at": key.expires_at,
    }


async def next_numbers(connection: AsyncConnection, sequence: str, column: Any, count: int) -> Sequence[int]:
    """Rising numbers: from a sequence on PostgreSQL; on SQLite, where one writer holds the lock, after the highest, and
    above those that a restoration left out.
    """
    if connection.dialect.name == "postgresql":
        rows = await connection.execute(_NEXT_NUMBERS, {"sequence": sequence, "count": count})
        return sorted(rows.scalars())
    highest, above = (await connection.execute(select(func.max(column), _NUMBERS_ABOVE))).one()
    highest = max(highest or 0, above or 0)
    return range(highest + 1, highest + 1 + count)


_NUMBERS_ABOVE = select(store_state.c.numbers_above).scalar_subquery()


def decision_row(new: NewDecision) -> dict[str, Any]:
    """A row of the policy log."""
    decision = new.decision
    return {
        "log_id": new.log_id,
        "id": new.decision_id,
        "decided_at": new.decided_at,
        "account_id": new.account_id,
        "integration_id": new.integration_id,
        "instance_id": new.instance_id,
        "person_id": new.person_id,
        "caller": new.caller,
        "source": new.source,
        "event_type": new.event_type,
        "purpose": new.purpose,
        "phone_masked": new.phone_masked,
        "conversation_id": new.conversation_id,
        "message_id": new.message_id,
        "verdict": int(decision.verdict),
        "reason": int(decision.reason),
        "action": int(decision.action),
        "risk_score": decision.risk_score,
        "retry_after_seconds": decision.retry_after_seconds,
        "rules_version": decision.rules_version,
        "explanation": decision.explanation,
        "findings_json": encode_findings(decision.findings),
        "inputs_json": encode_json(new.inputs),
    }


def _decision_of(row: Any) -> Decision:
    return Decision(
        verdict=Verdict(row.verdict),
        reason=ReasonCode(row.reason),
        action=Action(row.action),
        findings=decode_findings(row.findings_json),
        risk_score=row.risk_score,
        retry_after_seconds=row.retry_after_seconds,
        rules_version=row.rules_version,
        explanation=row.explanation,
    )


async def close_window(connection: AsyncConnection, instance_id: str, person_id: str, now: datetime) -> None:
    """Notes that the back end says a person's window is closed."""
    await connection.execute(
        update(windows)
        .where(windows.c.instance_id == instance_id, windows.c.person_id == person_id)
        .values(closed_by_backend_at=now)
    )

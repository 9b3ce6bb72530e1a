"""Owns decisions in memory: the twin of the ledger that `BatchDecider` and `Submitter` use."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Protocol

from policycore.errors import Contended
from policycore.inbound import PersonRef
from policycore.ledger import (
    Asked,
    BatchFacts,
    DecisionTransaction,
    DecisionWrites,
    Identified,
    MessageView,
    Named,
    NewMessage,
    PersonFacts,
    WindowRow,
)
from policycore.model import Decision, SuppressionFact
from policycore.registry.snapshot import Snapshot
from policycore.store.persons import numbered
from simulate.people import known_person
from simulate.rows import CoolDownRow, outbound_row
from simulate.store import Process, Store, Transaction


class Configuration(Protocol):
    """One process's copy of the configuration."""

    def current(self) -> Snapshot:
        """What is known here."""

    def at(self, transaction: Transaction) -> Snapshot:
        """The configuration that is true now."""

    def confirmed(self, version: int) -> Snapshot:
        """What is known here if it has this version, else the configuration that is true now."""


class TwinDecisionTransaction:
    """Implements `policycore.ledger.DecisionTransaction`."""

    def __init__(self, transaction: Transaction, configuration: Configuration, *, writing: bool) -> None:
        self._tx = transaction
        self._configuration = configuration
        self._writing = writing
        self.now = transaction.now
        one_writer = transaction.store.serial
        self.snapshot = configuration.at(transaction) if one_writer else configuration.current()
        self._ceilings: dict[tuple[str, str], int] = {}

    async def identify(self, named: Named) -> Identified:
        tx = self._tx
        await tx.statement()
        # All is read as it is when the statement begins; the rows of persons are waited for after that.
        version = tx.get("config", "version")
        found = await self._identify(named)
        self.snapshot = self._configuration.confirmed(version)
        return found

    async def _identify(self, named: Named) -> Identified:
        tx = self._tx
        tx.now = self.now = tx.store.clock()
        found = Identified()
        for scope_and_key in named.keys:
            bound = tx.get("keys", scope_and_key)
            if bound is not None and bound[1] > self.now:
                found.keys[scope_and_key] = bound[0]
        found.claims = {claim for claim in named.claims if tx.get("claims", claim) is not None}
        self._find_conversations(named, found)
        while True:
            found.persons = self._persons(named)
            if not self._writing:
                return found
            ids = sorted(set(found.persons.values()))
            await tx.lock(("persons", each) for each in ids)
            if all(tx.get("persons", each).merged_into is None for each in ids):
                return found

    def _persons(self, named: Named) -> dict[tuple[str, str], str]:
        found = {}
        for account_id, phone in named.phones:
            person_id = self._tx.get("identities", numbered(account_id, phone))
            if person_id is not None:
                found[account_id, phone] = person_id
        return found

    def _find_conversations(self, named: Named, found: Identified) -> None:
        ours = {row.conversation_id: row.instance_id for row in self._tx.rows("windows")}
        for key in named.conversations:
            bound = self._tx.get("bindings", key)
            if bound is not None:
                found.bindings[key] = bound[0]
            if key[1].startswith("cnv_") and key[1] in ours:
                found.bindings[key] = ours[key[1]]

    async def read_identities(self, person_ids: Sequence[str]) -> dict[str, PersonRef]:
        await self._tx.statement()
        return {person_id: known_person(self._tx, person_id).ref for person_id in person_ids}

    async def read_facts(self, asked: Asked) -> BatchFacts:
        tx = self._tx
        await tx.statement()
        quota = {key: tx.get("quota", key) or 0 for key in asked.quotas}
        if self._writing:
            quota.update(await self._lock_near_ceilings(asked, quota))
        cool_downs = {}
        for key in asked.cool_downs:
            row = tx.get("cool_downs", key)
            if row is not None and row.until > self.now:
                cool_downs[key] = row.until
        return BatchFacts(
            persons={person_id: self._facts_of(person_id) for person_id in sorted(set(asked.person_ids))},
            cool_downs=cool_downs,
            spread={key: self._spread(key, asked.since) for key in asked.texts},
            quota=quota,
        )

    async def _lock_near_ceilings(
        self, asked: Asked, used: dict[tuple[str, str], int]
    ) -> dict[tuple[str, str], int]:
        """Locks the counts that may come to their ceilings, and reads them again; remembers the others' ceilings."""
        wanted = Counter(asked.quotas)
        margin = self._tx.store.near_ceilings
        near = sorted(
            key
            for key, ceiling in asked.ceilings.items()
            if used.get(key, 0) + wanted[key] + margin > ceiling
        )
        self._ceilings = {key: ceiling for key, ceiling in asked.ceilings.items() if key not in near}
        if near:
            await self._tx.statement()
            await self._tx.lock(("quota", key) for key in near)
        return {key: self._tx.get("quota", key) or 0 for key in near}

    def _facts_of(self, person_id: str) -> PersonFacts:
        windows = tuple(
            WindowRow(row.instance_id, row.last_inbound_at, row.conversation_id, row.closed_by_backend_at)
            for row in self._tx.rows("windows")
            if row.person_id == person_id
        )
        holding = [
            row for row in self._tx.rows("suppressions") if row.person_id == person_id and not row.lifted_at
        ]
        holding.sort(key=lambda row: (row.scope != "all", row.created_at))
        fact = None
        if holding:
            first = holding[0]
            fact = SuppressionFact(first.suppression_id, first.source, first.scope, first.created_at)
        return PersonFacts(windows, fact)

    def _spread(self, key: tuple[str, bytes], since: datetime) -> int:
        account_id, digest = key
        return len(
            {
                row.view.person_id
                for row in self._tx.rows("messages")
                if row.made is not None
                and (row.view.account_id, row.made.text_digest) == (account_id, digest)
                and row.view.created_at > since
            }
        )

    async def next_log_ids(self, count: int) -> Sequence[int]:
        return next_log_ids(self._tx.store, count)

    async def read_decided(self, log_ids: Sequence[int]) -> dict[int, tuple[str, Decision, datetime]]:
        await self._tx.statement()
        rows = {log_id: self._tx.get("decisions", log_id) for log_id in sorted(set(log_ids))}
        return {
            log_id: (row.decision_id, row.decision, row.decided_at)
            for log_id, row in rows.items()
            if row is not None
        }

    async def read_messages(self, message_ids: Sequence[str]) -> dict[str, MessageView]:
        await self._tx.statement()
        rows = {each: self._tx.get("messages", each) for each in sorted(set(message_ids))}
        return {message_id: row.view for message_id, row in rows.items() if row is not None}

    async def write(self, writes: DecisionWrites) -> None:
        tx = self._tx
        await tx.statement()
        for new_key in writes.keys:
            bound = tx.get("keys", (new_key.scope, new_key.key))
            if bound is not None and bound[1] <= self.now:
                await tx.put("keys", (new_key.scope, new_key.key), None)
        for claim, until in sorted(dict(writes.claims).items()):
            await tx.insert("claims", claim, until)
        for decision in writes.decisions:
            await tx.insert("decisions", decision.log_id, decision)
        await insert_messages(tx, writes.messages)
        for new_key in sorted(writes.keys, key=lambda each: (each.scope, each.key)):
            row = (new_key.binding, new_key.expires_at)
            await tx.insert("keys", (new_key.scope, new_key.key), row)
        await add_quota(tx, writes.quota)
        for message in writes.messages:
            if message.cool_down_until is not None:
                key = (message.integration_id, message.event_type, message.person_id)
                await tx.put("cool_downs", key, CoolDownRow(message.cool_down_until, message.message_id))
        for external, bound in sorted(writes.bindings.items()):
            await tx.put("bindings", external, bound)
        if any(tx.get("quota", key) > self._ceilings.get(key, tx.get("quota", key)) for key in writes.quota):
            raise Contended


class TwinDecisionLedger:
    """Implements `policycore.ledger.DecisionLedger` for one process."""

    def __init__(self, store: Store, process: Process, configuration: Configuration) -> None:
        self._store = store
        self._process = process
        self._configuration = configuration

    def begin(self, *, writing: bool = True) -> AbstractAsyncContextManager[DecisionTransaction]:
        return self._begin(writing)

    @asynccontextmanager
    async def _begin(self, writing: bool) -> AsyncIterator[DecisionTransaction]:
        async with self._store.begin(self._process) as transaction:
            yield TwinDecisionTransaction(transaction, self._configuration, writing=writing)

    async def free(self, claims: Sequence[bytes], key: tuple[str, str] | None, log_id: int) -> None:
        async with self._store.begin(self._process) as tx:
            for claim in sorted(claims):
                await tx.put("claims", claim, None)
            if key is not None:
                await tx.lock([("keys", key)])
                bound = tx.get("keys", key)
                if bound is not None and bound[0].log_id == log_id:
                    await tx.put("keys", key, None)

    async def claim(self, digest: bytes, expires_at: datetime) -> bool:
        async with self._store.begin(self._process) as tx:
            await tx.lock([("claims", digest)])
            if tx.get("claims", digest) is not None:
                return False
            await tx.put("claims", digest, expires_at)
            return True


def next_log_ids(store: Store, count: int) -> Sequence[int]:
    """Numbers from a sequence: rising, and never given back."""
    first = store.log_ids + 1
    store.log_ids += count
    return range(first, first + count)


async def insert_messages(tx: Transaction, messages: Sequence[NewMessage]) -> None:
    """Writes new outbound messages."""
    for message in messages:
        await tx.insert("messages", message.message_id, outbound_row(message))


async def add_quota(tx: Transaction, quota: dict[tuple[str, str], int]) -> None:
    """Adds to the counts of (account id, period), in one order."""
    for key, count in sorted(quota.items()):
        await tx.lock([("quota", key)])
        await tx.put("quota", key, (tx.get("quota", key) or 0) + count)

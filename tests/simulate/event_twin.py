"""Owns events and outcomes in memory: the twin of the ledger that `EventRecorder` and `Dispatcher` use."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta

from msgspec.structs import replace

from policycore.agent_text import Original
from policycore.event_ledger import (
    EventTransaction,
    EventWrites,
    KnownPerson,
    NewInbound,
    Settlement,
    StrandedMessage,
)
from policycore.inbound import PersonRef, Receipt
from policycore.ledger import MessageState, MessageView
from policycore.registry.snapshot import Snapshot
from simulate.configuration import InstanceRow, change_state, pause_instance
from simulate.decision_twin import Configuration, insert_messages, next_log_ids
from simulate.outbox_twin import insert_deliveries
from simulate.people import link_persons, resolve_persons
from simulate.rows import MessageRow, SuppressionRow, WindowOf
from simulate.settling import (
    apply_receipts,
    hand_out,
    match_receipts,
    opted_out_meanwhile,
    opted_out_under_way,
    settle,
)
from simulate.store import Process, Store, Transaction

_LIFTED_BY_START = ("person", "whatsapp")


class TwinEventTransaction:
    """Implements `policycore.event_ledger.EventTransaction`."""

    def __init__(self, transaction: Transaction, snapshot: Snapshot) -> None:
        self._tx = transaction
        self.now = transaction.now
        self.snapshot = snapshot

    async def claim_events(self, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        await self._tx.statement()
        fresh = set()
        for key in sorted(set(keys)):
            await self._tx.lock([("inbox", key)])
            if self._tx.get("inbox", key) is None:
                await self._tx.put("inbox", key, self.now)
                fresh.add(key)
        return fresh

    async def resolve_persons(
        self, wanted: Sequence[tuple[str, PersonRef]]
    ) -> dict[tuple[str, PersonRef], KnownPerson]:
        await self._tx.statement()
        return await resolve_persons(self._tx, wanted)

    async def link_persons(self, account_id: str, previous: PersonRef, current: PersonRef) -> None:
        await self._tx.statement()
        await link_persons(self._tx, account_id, previous, current)

    async def find_originals(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Original]:
        if wanted:
            await self._tx.statement()
        found = {}
        for row in self._tx.rows("messages"):
            view = row.view
            if (key := (view.instance_id, view.external_message_id)) in wanted:
                found[key] = Original(view.message_id, view.text, view.kind, view.outbound)
        return found

    async def next_log_ids(self, count: int) -> Sequence[int]:
        return next_log_ids(self._tx.store, count)

    async def apply_receipts(self, receipts: Sequence[tuple[str, Receipt]]) -> list[MessageView]:
        await self._tx.statement()
        return await apply_receipts(self._tx, receipts)

    async def match_receipts(self) -> list[MessageView]:
        await self._tx.statement()
        return await match_receipts(self._tx)

    async def settle(self, settlements: Sequence[Settlement]) -> dict[str, MessageView]:
        await self._tx.statement()
        return await settle(self._tx, settlements)

    async def hand_out(self, message_ids: Sequence[str]) -> set[str]:
        await self._tx.statement()
        return await hand_out(self._tx, message_ids)

    async def opted_out_meanwhile(self, message_ids: Sequence[str]) -> set[str]:
        await self._tx.statement()
        return opted_out_meanwhile(self._tx, message_ids)

    async def write(self, writes: EventWrites) -> None:
        tx = self._tx
        await tx.statement()
        for new in writes.inbound:
            await tx.insert("messages", new.view.message_id, _inbound_row(new))
        await self._write_windows(writes)
        await self._write_persons(writes)
        await self._write_suppressions(writes)
        for decision in writes.decisions:
            await tx.insert("decisions", decision.log_id, decision)
        await insert_messages(tx, writes.messages)
        await insert_deliveries(tx, writes.deliveries)
        for instance_id, change in writes.states:
            known: InstanceRow = tx.get("instances", instance_id)
            await change_state(tx, known, change)
        for instance_id, person_id in writes.closed_windows:
            await tx.lock([("windows", (instance_id, person_id))])
            window = tx.get("windows", (instance_id, person_id))
            if window is not None:
                closed = replace(window, closed_by_backend_at=self.now)
                await tx.put("windows", (instance_id, person_id), closed)
        for pause_id, instance_id, account_id, reason in writes.pauses:
            await pause_instance(tx, pause_id, instance_id, account_id, reason)
        await self.tell(writes.events)

    async def _write_windows(self, writes: EventWrites) -> None:
        for key, (_, last_inbound_at, conversation_id) in sorted(writes.windows.items()):
            await self._tx.lock([("windows", key)])
            known = self._tx.get("windows", key)
            if known is None:
                await self._tx.put("windows", key, WindowOf(*key, last_inbound_at, conversation_id))
            elif known.last_inbound_at < last_inbound_at:
                await self._tx.put("windows", key, replace(known, last_inbound_at=last_inbound_at))

    async def _write_persons(self, writes: EventWrites) -> None:
        for person_id, (name, language) in sorted(writes.names.items()):
            person = self._tx.get("persons", person_id)
            named = replace(person, display_name=name, language=language[:8])
            await self._tx.put("persons", person_id, named)
        for person_id, (_, rule) in sorted(writes.asked.items()):
            await self._tx.put("asked", person_id, rule)
        for person_id in sorted(writes.answered):
            await self._tx.put("asked", person_id, None)

    async def _write_suppressions(self, writes: EventWrites) -> None:
        for person_id, scope, _ in writes.lifts:
            for row in self._tx.rows("suppressions"):
                mine = (row.person_id, row.scope) == (person_id, scope)
                if mine and row.source in _LIFTED_BY_START and row.lifted_at is None:
                    lifted = replace(row, lifted_at=self.now)
                    await self._tx.put("suppressions", row.suppression_id, lifted)
        for new in writes.suppressions:
            row = SuppressionRow(
                suppression_id=new.suppression_id,
                person_id=new.person_id,
                source=new.source,
                scope=new.scope,
                created_at=self.now,
                evidence_message_id=new.evidence_message_id,
            )
            await self._tx.insert("suppressions", new.suppression_id, row)

    async def tell(self, changed: Sequence[tuple[str, MessageView]]) -> None:
        """The stream of events is not read here."""


def _inbound_row(new: NewInbound) -> MessageRow:
    return MessageRow(view=new.view, from_business=new.from_business, provider_at=new.provider_at)


class TwinEventLedger:
    """Implements `policycore.event_ledger.EventLedger` for one process."""

    def __init__(self, store: Store, process: Process, configuration: Configuration) -> None:
        self._store = store
        self._process = process
        self._configuration = configuration

    def begin(self) -> AbstractAsyncContextManager[EventTransaction]:
        return self._begin()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[EventTransaction]:
        async with self._store.begin(self._process) as transaction:
            yield TwinEventTransaction(transaction, self._configuration.at(transaction))

    async def record_accepted(
        self, views: Sequence[MessageView], event_name: str, now: datetime
    ) -> tuple[set[str], set[str]]:
        if self._store.serial:
            return set(), set()
        accepted, early = set(), set()
        async with self._store.begin(self._process) as tx:
            for view in sorted(views, key=lambda each: each.message_id):
                await tx.lock([("messages", view.message_id)])
                row = tx.get("messages", view.message_id)
                if row is None or row.view.state is not MessageState.HANDED_OUT:
                    continue
                accepted_view = replace(
                    row.view,
                    state=view.state,
                    external_message_id=view.external_message_id,
                    updated_at=now,
                )
                await tx.put("messages", view.message_id, replace(row, view=accepted_view, settled_at=now))
                accepted.add(view.message_id)
                place = (view.instance_id, view.external_message_id)
                if any((each.instance_id, each.external_id) == place for each in tx.rows("early")):
                    early.add(view.message_id)
        return accepted, early

    async def find_stranded(self, *, overdue_seconds: float, lost_seconds: float) -> list[StrandedMessage]:
        async with self._store.begin(self._process) as tx:
            overdue = tx.now - timedelta(seconds=overdue_seconds)
            lost = tx.now - timedelta(seconds=lost_seconds)
            found = []
            for row in tx.rows("messages"):
                if row.made is None:
                    continue
                waiting = row.view.state is MessageState.WAITING and row.send_after < overdue
                handed_out = row.view.state is MessageState.HANDED_OUT and row.handed_out_at < lost
                if waiting or handed_out:
                    message = replace(row.made, state=row.view.state, send_after=row.send_after)
                    found.append(StrandedMessage(message, handed_out=handed_out))
            return sorted(found, key=lambda each: each.message.created_at)

    async def opted_out_under_way(self) -> set[str]:
        async with self._store.begin(self._process) as tx:
            return opted_out_under_way(tx.rows("messages"), tx.rows("suppressions"))

    async def sweep(self) -> int:
        """Removes receipts that nobody waits for any more; other rows outlive a history."""
        async with self._store.begin(self._process) as tx:
            old = tx.now - timedelta(days=1)
            stale = [row for row in tx.rows("early") if row.received_at <= old]
            for row in stale:
                await tx.put("early", (row.instance_id, row.external_id, row.kind), None)
            return len(stale)

    async def read_message(self, message_id: str) -> MessageView | None:
        async with self._store.begin(self._process) as tx:
            row = tx.get("messages", message_id)
            return None if row is None else row.view

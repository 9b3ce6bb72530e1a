"""Inbound events, outcomes and the event stream in SQL; see `policycore.event_ledger`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.agent_text import Original
from policycore.event_ledger import (
    EventWrites,
    KnownPerson,
    NewDelivery,
    NewInbound,
    Settlement,
    StrandedMessage,
)
from policycore.inbound import InstanceStateChange, PersonRef, Receipt
from policycore.ledger import MessageView
from policycore.registry.snapshot import Snapshot
from policycore.store import accepting
from policycore.store import receipts as receipt_store
from policycore.store import settlements as settlement_store
from policycore.store.batch_values import Rows, insert_rows
from policycore.store.config_reader import bump_version
from policycore.store.decisions import SnapshotAt, close_window, decision_row, next_numbers
from policycore.store.engine import Database
from policycore.store.event_numbers import next_event_numbers
from policycore.store.expiry import remove_expired
from policycore.store.findings import encode_json
from policycore.store.gateway_line_rows import take_lines
from policycore.store.message_rows import find_originals, insert_messages, read_views
from policycore.store.person_resolution import link_persons, resolve_persons
from policycore.store.persons import upsert
from policycore.store.sweeping import find_stranded
from policycore.store.tables import (
    clarifications,
    decisions,
    inbox,
    instances,
    message_events,
    messages,
    outbox,
    pauses,
    persons,
    suppressions,
    windows,
)

LOCK_LIFTED = "reachout_lock_lifted"
"""Reason of the report that ends a reach-out lock."""

_INSERT_ROWS = 500
"""Rows in one INSERT with RETURNING; databases bound the number of parameters."""


class SqlEventTransaction:
    """One transaction; see `policycore.event_ledger.EventTransaction`."""

    def __init__(self, connection: AsyncConnection, now: datetime, snapshot: Snapshot) -> None:
        self.connection = connection
        self.now = now
        self.snapshot = snapshot

    async def claim_events(self, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        rows = [
            {"instance_id": instance_id, "event_key": key, "completed_at": self.now}
            for instance_id, key in sorted(set(keys))
        ]
        fresh: set[tuple[str, str]] = set()
        for start in range(0, len(rows), _INSERT_ROWS):
            statement = (
                upsert(self.connection, inbox)
                .values(rows[start : start + _INSERT_ROWS])
                .on_conflict_do_nothing()
                .returning(inbox.c.instance_id, inbox.c.event_key)
            )
            fresh.update((row[0], row[1]) for row in await self.connection.execute(statement))
        return fresh

    async def resolve_persons(
        self, wanted: Sequence[tuple[str, PersonRef]]
    ) -> dict[tuple[str, PersonRef], KnownPerson]:
        return await resolve_persons(self.connection, wanted, self.now)

    async def link_persons(self, account_id: str, previous: PersonRef, current: PersonRef) -> None:
        await link_persons(self.connection, account_id, previous, current, self.now)

    async def find_originals(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Original]:
        return await find_originals(self.connection, wanted)

    async def next_log_ids(self, count: int) -> Sequence[int]:
        return await next_numbers(self.connection, "decision_log_ids", decisions.c.log_id, count)

    async def apply_receipts(self, receipts: Sequence[tuple[str, Receipt]]) -> list[MessageView]:
        return await receipt_store.apply_receipts(self.connection, receipts, self.now)

    async def match_receipts(self) -> list[MessageView]:
        pairs = await receipt_store.find_matched(self.connection)
        early = await receipt_store.take_early_receipts(self.connection, pairs)
        return await receipt_store.apply_receipts(self.connection, early, self.now) if early else []

    async def settle(self, settlements: Sequence[Settlement]) -> dict[str, MessageView]:
        return await settlement_store.settle(self.connection, settlements, self.now)

    async def hand_out(self, message_ids: Sequence[str]) -> set[str]:
        return await settlement_store.hand_out(self.connection, message_ids, self.now)

    async def opted_out_meanwhile(self, message_ids: Sequence[str]) -> set[str]:
        return await settlement_store.opted_out_meanwhile(self.connection, message_ids)

    async def write(self, writes: EventWrites) -> None:
        connection = self.connection
        if writes.inbound:
            await connection.execute(insert(messages), [self._inbound_row(new) for new in writes.inbound])
        await self._write_windows(writes)
        await self._write_persons(writes)
        await self._write_suppressions(writes)
        if writes.decisions:
            await connection.execute(insert(decisions), [decision_row(new) for new in writes.decisions])
        await insert_messages(connection, writes.messages)
        if writes.lines:
            writes.deliveries.extend(await take_lines(connection, writes.lines, self.now))
        if writes.deliveries:
            await connection.execute(insert(outbox), [self._delivery_row(new) for new in writes.deliveries])
        await self._write_states(writes.states)
        for instance_id, person_id in writes.closed_windows:
            await close_window(connection, instance_id, person_id, self.now)
        await self._write_pauses(writes.pauses)
        for instance_id, kind, external_id in writes.edits:
            await self._note_change(instance_id, kind, external_id)
        await self.tell(writes.events)

    def _inbound_row(self, new: NewInbound) -> dict[str, Any]:
        view = new.view
        return {
            "id": view.message_id,
            "account_id": view.account_id,
            "instance_id": view.instance_id,
            "person_id": view.person_id,
            "conversation_id": view.conversation_id,
            "outbound": view.outbound,
            "from_business": new.from_business,
            "state": int(view.state),
            "external_id": view.external_message_id[:300] or None,
            "kind": view.kind,
            "text": view.text,
            "to_phone": view.phone,
            "to_lid": view.lid,
            "to_bsuid": view.bsuid,
            "created_at": view.created_at,
            "updated_at": view.updated_at,
            "provider_at": new.provider_at,
            "media_json": encode_json(new.media) if new.media else None,
        }

    async def _write_windows(self, writes: EventWrites) -> None:
        rows = [
            {
                "instance_id": instance_id,
                "person_id": person_id,
                "account_id": account_id,
                "last_inbound_at": last_inbound_at,
                "conversation_id": conversation_id,
            }
            for (instance_id, person_id), (account_id, last_inbound_at, conversation_id) in sorted(
                writes.windows.items()
            )
        ]
        if not rows:
            return
        statement = upsert(self.connection, windows)
        await self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["instance_id", "person_id"],
                set_={"last_inbound_at": statement.excluded.last_inbound_at},
                # A window never moves back, whatever order reports come in.
                where=windows.c.last_inbound_at < statement.excluded.last_inbound_at,
            ),
            rows,
        )

    async def _write_persons(self, writes: EventWrites) -> None:
        for person_id, (name, language) in sorted(writes.names.items()):
            await self.connection.execute(
                update(persons)
                .where(persons.c.id == person_id)
                .values(display_name=name, language=language[:8])
            )
        asked = [
            {"account_id": account_id, "person_id": person_id, "asked_at": self.now, "rule": rule}
            for person_id, (account_id, rule) in sorted(writes.asked.items())
        ]
        if asked:
            statement = upsert(self.connection, clarifications).on_conflict_do_nothing()
            await self.connection.execute(statement, asked)
        if writes.answered:
            await self.connection.execute(
                clarifications.delete().where(clarifications.c.person_id.in_(sorted(writes.answered)))
            )

    async def _write_suppressions(self, writes: EventWrites) -> None:
        for person_id, scope, rule in writes.lifts:
            # A START-type word lifts what the person or WhatsApp's switch set, never an administrator's
            # entry.
            await self.connection.execute(
                update(suppressions)
                .where(
                    suppressions.c.person_id == person_id,
                    suppressions.c.scope == scope,
                    suppressions.c.source.in_(["person", "whatsapp"]),
                    suppressions.c.lifted_at.is_(None),
                )
                .values(lifted_at=self.now, lifted_by="person", lifted_reason=rule)
            )
        rows = [
            {
                "id": new.suppression_id,
                "account_id": new.account_id,
                "person_id": new.person_id,
                "source": new.source,
                "scope": new.scope,
                "reason": new.reason,
                "evidence_message_id": new.evidence_message_id,
                "evidence_rule": new.evidence_rule,
                "created_at": self.now,
            }
            for new in writes.suppressions
        ]
        if rows:
            await self.connection.execute(insert(suppressions), rows)

    def _delivery_row(self, new: NewDelivery) -> dict[str, Any]:
        return {
            "id": new.delivery_id,
            "account_id": new.account_id,
            "integration_id": new.integration_id,
            "webhook_id": new.webhook_id,
            "instance_id": new.instance_id,
            "person_id": new.person_id,
            "event_name": new.event_name,
            "body": encode_json(new.body),
            "state": "pending",
            "next_attempt_at": self.now,
            "created_at": self.now,
        }

    async def _write_states(self, states: Sequence[tuple[str, InstanceStateChange]]) -> None:
        changed = False
        for instance_id, change in states:
            known = self.snapshot.instances[instance_id]
            replies_only_until = change.replies_only_until
            if replies_only_until is None and change.reason != LOCK_LIFTED:
                # Only a report of its end, or time, ends a reach-out lock; a plain "open" says nothing of it.
                replies_only_until = known.replies_only_until
            if known.state == change.state and known.replies_only_until == replies_only_until:
                continue
            changed = True
            await self.connection.execute(
                update(instances)
                .where(instances.c.id == instance_id)
                .values(
                    state=change.state,
                    state_reason=change.reason[:64],
                    state_changed_at=self.now,
                    replies_only_until=replies_only_until,
                )
            )
        if changed:
            await bump_version(self.connection)

    async def _write_pauses(self, new: Sequence[tuple[str, str, str, str]]) -> None:
        """Pauses the gateway sets by itself: (pause id, instance id, account id, reason); one holding pause
        is enough.
        """
        for pause_id, instance_id, account_id, reason in new:
            holding = select(pauses.c.id).where(
                pauses.c.scope == "instance", pauses.c.scope_id == instance_id, pauses.c.lifted_at.is_(None)
            )
            if (await self.connection.execute(holding)).first() is None:
                row = {
                    "id": pause_id,
                    "scope": "instance",
                    "scope_id": instance_id,
                    "account_id": account_id,
                    "author": "gateway",
                    "reason": reason,
                    "created_at": self.now,
                }
                await self.connection.execute(insert(pauses), [row])
                await bump_version(self.connection)

    async def _note_change(self, instance_id: str, kind: int, external_id: str) -> None:
        note = "edited_by_sender" if kind == 3 else "revoked_by_sender"
        await self.connection.execute(
            update(messages)
            .where(messages.c.instance_id == instance_id, messages.c.external_id == external_id)
            .values(error_code=note, updated_at=self.now)
        )

    async def tell(self, changed: Sequence[tuple[str, MessageView]]) -> None:
        if not changed:
            return
        numbers = await next_event_numbers(self.connection, len(changed))
        rows = [
            {
                "sequence": number,
                "account_id": view.account_id,
                "occurred_at": self.now,
                "event_name": name,
                "message_id": view.message_id,
                "message_json": encode_json(view),
            }
            for number, (name, view) in zip(numbers, changed, strict=True)
        ]
        await insert_rows(self.connection, Rows(message_events, rows))


class SqlEventLedger:
    """The events of one database; see `policycore.event_ledger.EventLedger`."""

    def __init__(self, database: Database, snapshot_at: SnapshotAt) -> None:
        self._database = database
        self._snapshot_at = snapshot_at

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlEventTransaction]:
        async with self._database.transaction() as connection:
            now, snapshot = await self._snapshot_at(connection)
            yield SqlEventTransaction(connection, now, snapshot)

    async def record_accepted(
        self, views: Sequence[MessageView], event_name: str, now: datetime
    ) -> tuple[set[str], set[str]]:
        if not self._database.is_postgres:
            return set(), set()
        async with self._database.statement() as connection:
            return await accepting.record_accepted(connection, views, event_name, now)

    async def find_stranded(self, *, overdue_seconds: float, lost_seconds: float) -> list[StrandedMessage]:
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            return await find_stranded(connection, now, overdue_seconds, lost_seconds)

    async def opted_out_under_way(self) -> set[str]:
        async with self._database.reading() as connection:
            return await settlement_store.opted_out_under_way(connection)

    async def sweep(self) -> int:
        return await remove_expired(self._database)

    async def read_message(self, message_id: str) -> MessageView | None:
        async with self._database.reading() as connection:
            return (await read_views(connection, [message_id])).get(message_id)


async def read_events(
    connection: AsyncConnection, account_id: str, after: int, message_id: str, limit: int
) -> list[Any]:
    """Rows of the event stream after a number, in order."""
    query = (
        select(message_events)
        .where(message_events.c.account_id == account_id, message_events.c.sequence > after)
        .order_by(message_events.c.sequence)
        .limit(limit)
    )
    if message_id:
        query = query.where(message_events.c.message_id == message_id)
    return list((await connection.execute(query)).all())

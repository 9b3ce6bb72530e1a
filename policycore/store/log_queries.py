"""Owns reading the logs: decisions, messages, deliveries, the security log and the audit log, newest first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ledger import MessageState, MessageView
from policycore.model import Action, Decision
from policycore.reasons import ReasonCode, Verdict
from policycore.registry.log_rows import AuditRow, DecisionRecord, DeliveryRow, RefusalRow
from policycore.registry.pages import Filter, Page, PageRequest, write_token
from policycore.store.engine import Database
from policycore.store.findings import decode_findings
from policycore.store.message_rows import view_of_row
from policycore.store.persons import find_persons, numbered
from policycore.store.registry_tables import conditions, keyset, number_page, page_moment
from policycore.store.tables import audit_entries, decisions, instances, messages, outbox, refusals
from policycore.store.types import to_microseconds

RowT = TypeVar("RowT", DeliveryRow, RefusalRow, AuditRow)

GIVEN_UP = ("failed", "blocked", "discarded")
"""States of deliveries that are tried again only if a person says so."""

_REFUSAL_KEY = ("minute", "surface", "target", "reason", "source_address")


async def read_decision(
    connection: AsyncConnection, *, log_id: int | None = None, decision_id: str | None = None
) -> DecisionRecord | None:
    """One row of the policy log, by number or by id; None if there is none."""
    column, value = (decisions.c.id, decision_id) if log_id is None else (decisions.c.log_id, log_id)
    row = (await connection.execute(_decisions().where(column == value))).one_or_none()
    return None if row is None else _decision_record(row)


class SqlLogReader:
    """Reads the logs, newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def decisions(self, wanted: Filter, request: PageRequest) -> Page[DecisionRecord]:
        """The policy log."""
        query = _decisions().where(*conditions(decisions, wanted))
        query = keyset(query, (decisions.c.log_id,), request.after, request.size, newest_first=True)
        found, token = number_page(await self._all(query), request.size, "log_id")
        return Page(tuple(_decision_record(row) for row in found), token)

    async def decision(self, log_id: int | None, decision_id: str | None) -> DecisionRecord | None:
        """One decision by number or by id."""
        async with self._database.reading() as connection:
            return await read_decision(connection, log_id=log_id, decision_id=decision_id)

    async def messages(self, wanted: Filter, request: PageRequest) -> Page[MessageView]:
        """Messages, both directions."""
        after = None
        if request.after is not None:
            after = (page_moment(request.after[0]), request.after[1])
        query = keyset(
            select(messages).where(*conditions(messages, wanted)),
            (messages.c.created_at, messages.c.id),
            after,
            request.size,
            newest_first=True,
        )
        found = await self._all(query)
        views = tuple(view_of_row(row) for row in found[: request.size])
        if len(found) <= request.size:
            return Page(views)
        return Page(views, write_token((to_microseconds(views[-1].created_at), views[-1].message_id)))

    async def deliveries(self, wanted: Filter, request: PageRequest) -> Page[DeliveryRow]:
        """Deliveries to 3CX and to customer webhooks."""
        query = select(outbox).where(*conditions(outbox, wanted))
        query = keyset(query, (outbox.c.number,), request.after, request.size, newest_first=True)
        found, token = number_page(await self._all(query), request.size, "number")
        return Page(tuple(_as(DeliveryRow, row) for row in found), token)

    async def refusals(self, wanted: Filter, request: PageRequest) -> Page[RefusalRow]:
        """The security log."""
        after = None
        if request.after is not None:
            after = (page_moment(request.after[0]), *request.after[1:])
        columns = tuple(refusals.c[name] for name in _REFUSAL_KEY)
        query = select(refusals).where(*conditions(refusals, wanted))
        found = await self._all(keyset(query, columns, after, request.size, newest_first=True))
        rows = tuple(_as(RefusalRow, row) for row in found[: request.size])
        if len(found) <= request.size:
            return Page(rows)
        last = rows[-1]
        key = (to_microseconds(last.minute), last.surface, last.target, last.reason, last.source_address)
        return Page(rows, write_token(key))

    async def audit_entries(self, wanted: Filter, request: PageRequest) -> Page[AuditRow]:
        """Administrative acts."""
        query = select(audit_entries).where(*conditions(audit_entries, wanted))
        query = keyset(query, (audit_entries.c.id,), request.after, request.size, newest_first=True)
        found, token = number_page(await self._all(query), request.size, "id")
        return Page(tuple(_as(AuditRow, row) for row in found), token)

    async def find_person(self, account_id: str, identities: Mapping[str, str]) -> str | None:
        """Person id by the first identity that is known."""
        wanted = [
            numbered(account_id, value) if kind == "phone" else (account_id, kind, value)
            for kind, value in identities.items()
        ]
        async with self._database.reading() as connection:
            found = await find_persons(connection, wanted)
        return next((found[identity] for identity in wanted if identity in found), None)

    async def instance_account(self, instance_id: str) -> str | None:
        """Account of an instance."""
        query = select(instances.c.account_id).where(instances.c.id == instance_id)
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def _all(self, query: Select[Any]) -> list[Row[Any]]:
        async with self._database.reading() as connection:
            return list((await connection.execute(query)).all())


class SqlDeliveryReplays:
    """Puts deliveries back into the outbox, or gives them up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, delivery_id: str) -> DeliveryRow | None:
        """The delivery."""
        async with self._database.reading() as connection:
            return await _delivery(connection, delivery_id)

    async def replay(self, delivery_id: str, actor: str, *, days: int) -> DeliveryRow | None:
        """Makes a delivery that was given up due now, and audits it; None if it is not to be had."""
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            given_up = (outbox.c.state.in_(GIVEN_UP), outbox.c.created_at > now - timedelta(days=days))
            values = {"state": "pending", "attempts": 0, "next_attempt_at": now, "settled_at": None}
            if not await _change(connection, delivery_id, given_up, values):
                return None
            return await _audited(connection, "ReplayDelivery", delivery_id, actor, now, {})

    async def discard(self, delivery_id: str, actor: str, reason: str) -> DeliveryRow | None:
        """Gives up a delivery that was not delivered, and audits it; None if it was."""
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            not_delivered = (outbox.c.state.in_(("pending", "failed", "blocked")),)
            values = {"state": "discarded", "settled_at": now}
            if not await _change(connection, delivery_id, not_delivered, values):
                return None
            return await _audited(connection, "DiscardDelivery", delivery_id, actor, now, {"reason": reason})


async def _change(
    connection: AsyncConnection,
    delivery_id: str,
    conditions: Sequence[ColumnElement[bool]],
    values: Mapping[str, Any],
) -> bool:
    statement = update(outbox).where(outbox.c.id == delivery_id, *conditions)
    changed = await connection.execute(statement.values(leased_until=None, **values))
    return changed.rowcount == 1


async def _audited(
    connection: AsyncConnection,
    act: str,
    delivery_id: str,
    actor: str,
    now: datetime,
    detail: dict[str, str],
) -> DeliveryRow | None:
    row = await _delivery(connection, delivery_id)
    about = {"event_name": row.event_name if row else ""} | detail
    await connection.execute(
        insert(audit_entries).values(
            occurred_at=now,
            actor=actor,
            act=act,
            target=delivery_id,
            account_id=row.account_id if row else None,
            detail_json=json.dumps(about, ensure_ascii=False),
        )
    )
    return row


def _decisions() -> Select[Any]:
    state = messages.c.state.label("message_state")
    return select(decisions, state).outerjoin(messages, messages.c.id == decisions.c.message_id)


def _decision_record(row: Row[Any]) -> DecisionRecord:
    decision = Decision(
        verdict=Verdict(row.verdict),
        reason=ReasonCode(row.reason),
        action=Action(row.action),
        findings=decode_findings(row.findings_json),
        risk_score=row.risk_score,
        retry_after_seconds=row.retry_after_seconds,
        rules_version=row.rules_version,
        explanation=row.explanation,
    )
    return DecisionRecord(
        log_id=row.log_id,
        decision_id=row.id,
        decided_at=row.decided_at,
        decision=decision,
        account_id=row.account_id,
        integration_id=row.integration_id,
        instance_id=row.instance_id,
        person_id=row.person_id,
        caller=row.caller,
        event_type=row.event_type,
        purpose=row.purpose,
        phone_masked=row.phone_masked,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        message_state=None if row.message_state is None else MessageState(row.message_state),
        inputs_json=row.inputs_json,
    )


async def _delivery(connection: AsyncConnection, delivery_id: str) -> DeliveryRow | None:
    row = (await connection.execute(select(outbox).where(outbox.c.id == delivery_id))).one_or_none()
    return None if row is None else _as(DeliveryRow, row)


def _as(row_type: type[RowT], row: Row[Any]) -> RowT:
    return row_type(**{field.name: getattr(row, field.name) for field in fields(row_type)})

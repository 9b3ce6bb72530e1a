"""Reads the database as it is at one moment, past every proxy, with SQL of its own."""

import json
from typing import Any

import asyncpg

from faults.evidence import (
    AccountRow,
    DecisionRow,
    Ledger,
    MessageRow,
    OutboxRow,
    SuppressionRow,
    WindowRow,
)

_PLANS = {1: (100, 2_000), 2: (500, 10_000), 3: (1_500, 30_000)}
"""Daily and monthly limits of the plans, as the gateway publishes them."""


async def read_ledger(dsn: str) -> Ledger:
    """Everything the oracle looks at, in one snapshot. `dsn` is libpq's form of the address."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _read(connection)
    finally:
        await connection.close()


async def open_work(dsn: str) -> tuple[int, int]:
    """How many messages are neither settled nor given up, and how many events are still to be delivered."""
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM messages WHERE state IN (1, 2)),"
            " (SELECT count(*) FROM outbox WHERE state = 'pending')"
        )
        return int(row[0]), int(row[1])
    finally:
        await connection.close()


async def _read(connection: Any) -> Ledger:
    ledger = Ledger()
    for row in await connection.fetch("SELECT * FROM accounts"):
        day, month = _PLANS.get(row["plan"], (row["daily_limit"], row["monthly_limit"]))
        ledger.accounts[row["id"]] = AccountRow(row["id"], row["time_zone"], day, month)
    for row in await connection.fetch("SELECT * FROM quota_usage"):
        ledger.quota[row["account_id"], row["period"]] = row["used"]
    for row in await connection.fetch("SELECT * FROM identities WHERE kind = 'phone'"):
        ledger.person_of[row["account_id"], row["value"]] = row["person_id"]
    ledger.messages = [_message(row) for row in await connection.fetch("SELECT * FROM messages")]
    ledger.decisions = [_decision(row) for row in await connection.fetch("SELECT * FROM decisions")]
    ledger.windows = [
        WindowRow(row["instance_id"], row["person_id"], row["last_inbound_at"] / 1e6)
        for row in await connection.fetch("SELECT * FROM windows")
    ]
    ledger.suppressions = [
        SuppressionRow(row["person_id"], row["source"], row["scope"], row["lifted_at"] is not None)
        for row in await connection.fetch("SELECT * FROM suppressions")
    ]
    ledger.outbox = [_event(row) for row in await connection.fetch("SELECT * FROM outbox")]
    return ledger


def _message(row: Any) -> MessageRow:
    return MessageRow(
        message_id=row["id"],
        account_id=row["account_id"],
        instance_id=row["instance_id"],
        person_id=row["person_id"],
        phone=row["to_phone"],
        text=row["text"],
        outbound=row["outbound"],
        state=row["state"],
        external_id=row["external_id"] or "",
        log_id=row["log_id"],
        created_at=row["created_at"] / 1e6,
        reserved_day=row["reserved_day"] or "",
        reserved_month=row["reserved_month"] or "",
        confirms_opt_out=row["confirms_opt_out"],
    )


def _decision(row: Any) -> DecisionRow:
    return DecisionRow(
        log_id=row["log_id"],
        account_id=row["account_id"],
        message_id=row["message_id"] or "",
        caller=row["caller"],
        verdict=row["verdict"],
        reason=row["reason"],
        action=row["action"],
        inputs_json=row["inputs_json"],
    )


def _event(row: Any) -> OutboxRow:
    body = json.loads(row["body"])
    return OutboxRow(
        event=row["event_name"],
        state=row["state"],
        external_id=str(body.get("external_message_id") or ""),
        integration_id=row["integration_id"] or row["webhook_id"] or "",
    )

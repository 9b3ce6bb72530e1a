"""Owns the registry's transactions: all its tables over one connection, audit entry and version included."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.registry.rows import (
    AccountRow,
    ApiKeyRow,
    InstanceRow,
    IntegrationRow,
    PauseRow,
    ServiceTokenRow,
    SuppressionRow,
    WebhookRow,
)
from policycore.store import tables
from policycore.store.calendars import SqlCalendarRows
from policycore.store.config_reader import bump_version
from policycore.store.engine import Database
from policycore.store.registry_parts import SqlIntegrationParts, SqlPersons, SqlRuleRows
from policycore.store.registry_signing import SqlNextSigning
from policycore.store.registry_tables import TableRows
from policycore.store.registry_threecx import SqlThreecxApis
from policycore.store.registry_threecx_sms import SqlThreecxSms


class SqlRegistryRows:
    """Everything the registry keeps, over one connection."""

    def __init__(self, connection: AsyncConnection, now: datetime, *, writing: bool) -> None:
        self._connection = connection
        self.now = now
        self.version_raised = False
        self.accounts = TableRows(connection, tables.accounts, AccountRow, locking=writing)
        self.api_keys = TableRows(connection, tables.api_keys, ApiKeyRow, locking=writing)
        self.service_tokens = TableRows(
            connection,
            tables.service_tokens,
            ServiceTokenRow,
            locking=writing,
            unique=("name", "is taken by another service token."),
        )
        self.instances = TableRows(
            connection,
            tables.instances,
            InstanceRow,
            locking=writing,
            unique=("instance.name", "is taken by another instance of the account."),
        )
        self.integrations = TableRows(connection, tables.integrations, IntegrationRow, locking=writing)
        self.webhooks = TableRows(connection, tables.customer_webhooks, WebhookRow, locking=writing)
        self.suppressions = TableRows(connection, tables.suppressions, SuppressionRow, locking=writing)
        self.pauses = TableRows(connection, tables.pauses, PauseRow, locking=writing)
        self.parts = SqlIntegrationParts(connection)
        self.signing = SqlNextSigning(connection)
        self.sms = SqlThreecxSms(connection)
        self.threecx_apis = SqlThreecxApis(connection, now)
        self.calendars = SqlCalendarRows(connection)
        self.rules = SqlRuleRows(connection, now)
        self.persons = SqlPersons(connection, now)

    async def write_audit(
        self, actor: str, act: str, target: str, account_id: str | None, detail: Mapping[str, object]
    ) -> None:
        """Adds an administrative act to the audit log."""
        await self._connection.execute(
            insert(tables.audit_entries).values(
                occurred_at=self.now,
                actor=actor,
                act=act,
                target=target,
                account_id=account_id,
                detail_json=json.dumps(detail, ensure_ascii=False, default=str),
            )
        )

    async def raise_version(self) -> int:
        """Raises the configuration's version and returns the new one."""
        self.version_raised = True
        return await bump_version(self._connection)


class SqlRegistryStore:
    """The registry over a database. `notify` wakes those in this process who hold the configuration."""

    def __init__(self, database: Database, notify: Callable[[], None]) -> None:
        self._database = database
        self._notify = notify

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[SqlRegistryRows]:
        """A transaction that may write; notifies after the commit if the version was raised."""
        async with self._database.transaction() as connection:
            rows = SqlRegistryRows(connection, await self._database.now(connection), writing=True)
            yield rows
        if rows.version_raised:
            self._notify()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlRegistryRows]:
        """A consistent state to read."""
        async with self._database.reading() as connection:
            yield SqlRegistryRows(connection, await self._database.now(connection), writing=False)

"""Submits what CRM templates report: under a limit of its own, and under an identity made of what the report says.

That identity becomes the request's idempotency key, so the decision's own transaction sees to it that a call leads to
one message at most. Which reports are of one call is settled and committed before; a process that dies in between
leaves a name for a call that nothing is bound to yet, and the next report is decided under that same name.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from policycore.crm_identity import CrmReport, Group, ReportedCall, key_of, needs_folding, subject_of
from policycore.model import EventType
from policycore.phone import normalize_phone
from policycore.reasons import ReasonCode
from policycore.registry.snapshot import IntegrationConfig, Snapshot
from policycore.usecases.command import Decided, SubmitCommand
from policycore.usecases.decide_batch import turned_away
from policycore.usecases.submit import Submitter


class CallFolds(Protocol):
    """Which reports are of one call."""

    async def fold(
        self, integration_id: str, subject: bytes, started_at: datetime | None, within: timedelta
    ) -> tuple[Group, datetime]:
        """The call a report belongs to, and when the report was received; committed."""


class CrmReports:
    """The use case behind a `Submit` that carries a report."""

    def __init__(
        self,
        submitter: Submitter,
        folds: CallFolds,
        config: Callable[[], Snapshot],
        clock: Callable[[], datetime],
    ) -> None:
        self._submitter = submitter
        self._folds = folds
        self._config = config
        self._clock = clock

    async def submit(self, command: SubmitCommand, report: CrmReport, timeout_seconds: float) -> Decided:
        """Admits, identifies and decides one report of an integration. Raises Unavailable if nothing was decided."""
        snapshot = self._config()
        integration = snapshot.integrations[command.intent.integration_id or ""]
        if not command.validate_only:
            limit = integration.crm_requests_per_minute
            wait = await self._submitter.admit(reports_counted_as(integration.integration_id), limit)
            if wait > 0:
                reason = ReasonCode.WEBHOOK_RATE_LIMITED
                return turned_away(reason, command.intent.event_type, self._clock(), wait)
        zone = snapshot.accounts[integration.account_id].zone
        identified = await self._identified(command, report, integration, zone)
        return await self._submitter.submit(
            identified, requests_per_minute=None, timeout_seconds=timeout_seconds
        )

    async def _identified(
        self, command: SubmitCommand, report: CrmReport, integration: IntegrationConfig, zone: ZoneInfo
    ) -> SubmitCommand:
        intent = command.intent
        began, key = report.started_at, command.key
        if not key and not command.validate_only and intent.event_type is not EventType.UNSUPPORTED:
            number = normalize_phone(intent.phone_text, integration.country or None) or intent.phone_text
            subject = subject_of(report, number, intent.agent_extension)
            if needs_folding(report):
                within = timedelta(seconds=integration.crm_fold_seconds)
                group, received_at = await self._folds.fold(
                    integration.integration_id, subject, report.started_at, within
                )
                key, began = group.key, began or received_at
            elif report.started_at is not None:
                key = key_of(subject, report.started_at)
        intent = replace(
            intent,
            unanswered=report.call is ReportedCall.NOT_ANSWERED,
            call_time=_local(began or self._clock(), zone),
        )
        if key == command.key:
            return replace(command, intent=intent)
        scope, digest = f"int:{integration.integration_id}", sha256(key.encode()).digest()
        return replace(command, intent=intent, key_scope=scope, key=key, body_digest=digest)


def reports_counted_as(integration_id: str) -> str:
    """Under which name an integration's reports are counted: beside its JSON webhook, which neither eats up."""
    return f"{integration_id}/crm"


def _local(moment: datetime, zone: ZoneInfo) -> str:
    """A time as the account's customers read it on their clocks."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")

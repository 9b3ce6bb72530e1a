"""Tells callers whom nobody answered: each missed call becomes one event, decided and sent like a webhook's."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Protocol

import structlog

from policycore import steps
from policycore.errors import Unavailable
from policycore.model import EventType, Intent, Source
from policycore.pbx import TOLD_WITHIN, HeldWatch, PbxLedger, PbxNews, UntoldCall
from policycore.phone import normalize_phone
from policycore.reasons import Verdict
from policycore.registry.snapshot import IntegrationConfig, Snapshot
from policycore.usecases.command import Decided, SubmitCommand

CALLER = "threecx_api"
AT_ONCE = 50

_log = structlog.get_logger(__name__)


class Submits(Protocol):
    """Decides requests; see `policycore.usecases.submit.Submitter`."""

    async def submit(
        self, command: SubmitCommand, *, requests_per_minute: int | None, timeout_seconds: float
    ) -> Decided:
        """Decides one request; sends it if it is allowed."""


class MissedCalls:
    """Keeps missed calls, and tells their callers once each.

    A call is kept first, under an id of its own, and decided under that id as its idempotency key: whoever goes on
    after a process that died decides it again, and gets the first answer.
    """

    def __init__(
        self,
        ledger: PbxLedger,
        submitter: Submits,
        snapshot: Callable[[], Snapshot],
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._submitter = submitter
        self._snapshot = snapshot
        self._clock = clock

    async def take(self, held: HeldWatch, news: PbxNews) -> None:
        """Keeps what is new. Raises `LeaseLost`."""
        integration = self._snapshot().integrations.get(held.target.integration_id)
        country = integration.country if integration is not None else ""
        missed = tuple(replace(call, caller=_caller(call.caller, country)) for call in news.missed)
        added = await self._ledger.take_news(held, replace(news, missed=missed))
        if added:
            steps.passed("pbx.kept")
            _log.info("pbx.missed_calls", integration_id=held.target.integration_id, calls=added)

    async def tell(self, held: HeldWatch) -> int:
        """Decides what waits to be told; returns how many were."""
        integration = self._snapshot().integrations.get(held.target.integration_id)
        if integration is None:
            # This process has not heard of it yet.
            return 0
        told = 0
        for call in await self._ledger.untold(held, AT_ONCE):
            told += await self._tell(call, integration)
        return told

    async def _tell(self, call: UntoldCall, integration: IntegrationConfig) -> int:
        if self._clock() - call.found_at > TOLD_WITHIN:
            await self._ledger.note_told(call.call_id, "given_up")
            return 0
        try:
            decided = await self._submitter.submit(
                _command(call, integration), requests_per_minute=None, timeout_seconds=10.0
            )
        except Unavailable as unavailable:
            await self._ledger.note_tried(call, unavailable.reason.lower())
            return 0
        steps.passed("pbx.decided")
        outcome = decided.decision.reason.name.lower()
        if decided.decision.verdict is Verdict.DEFER:
            await self._ledger.note_tried(call, outcome)
            return 0
        await self._ledger.note_told(call.call_id, outcome)
        return 1


def _caller(written: str, country: str) -> str:
    """The caller as it is told apart: E.164 if it can be made that, else as it was written."""
    return normalize_phone(written, country or None) or written


def _command(call: UntoldCall, integration: IntegrationConfig) -> SubmitCommand:
    intent = Intent(
        account_id=integration.account_id,
        source=Source.THREECX,
        caller=CALLER,
        event_type=EventType.MISSED_CALL,
        integration_id=integration.integration_id,
        phone_text=call.caller,
        agent_extension=call.reached_dn,
        call_time=f"{call.ended_at:%Y-%m-%dT%H:%M:%SZ}",
    )
    return SubmitCommand(
        intent=intent,
        key_scope=f"pbx:{integration.integration_id}",
        key=call.call_id,
        body_digest=sha256(call.call_id.encode()).digest(),
    )

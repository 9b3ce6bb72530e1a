"""Runs the invariants over what production did since the last run, and tells what is broken.

A run reads in slices, each part of it for a few seconds at most, and goes on where the last one ended. It looks at
nothing younger than the grace, for what is under way has no end to judge yet. One process at a time has the turn.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from policycore.evidence import Outbound, Progress, Violation
from policycore.invariants import OF_MESSAGES, quota, sent_decision
from policycore.metrics import Metrics
from policycore.store.invariant_reads import (
    read_account_ids,
    read_day,
    read_decisions,
    read_evidence,
    read_messages,
    read_month,
)
from policycore.store.invariant_store import InvariantTurn, SqlInvariantStore

_log = structlog.get_logger(__name__)

GRACE = timedelta(minutes=10)
"""Longer than a message may be under way: 5 minutes until the last moment to attempt it, 90 s until whoever had it
is given up, and the time that a sweep takes.
"""

PART_SECONDS = 15.0
"""How long messages, decisions and quotas are each looked at in one run."""

ROWS = 200
"""Rows of one slice: few enough that judging them holds up nobody."""

_PAUSE_SECONDS = 0.01
_FIRST_STEP, _LONGEST_STEP = timedelta(seconds=10), timedelta(hours=1)
_ACCOUNTS = 20
_COUNTED_MESSAGES = 200_000
_KEPT_VIOLATIONS = 1_000
_TOLD_VIOLATIONS = 20
_SOON_SECONDS = 30.0


class InvariantWatch:
    """The runs of one process. Times are the database's; `monotonic` gives seconds."""

    def __init__(
        self,
        store: SqlInvariantStore,
        metrics: Metrics,
        monotonic: Callable[[], float],
        grace: timedelta = GRACE,
        rows: int = ROWS,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._monotonic = monotonic
        self._grace = grace
        self._rows = rows

    async def run_every(self, seconds: float) -> None:
        """Runs for ever, first soon after the start; with 0, never. Nothing that goes wrong here ends it."""
        wait = min(seconds, _SOON_SECONDS)
        while seconds > 0:
            await asyncio.sleep(wait)
            wait = seconds
            try:
                await self.run()
            except Exception as error:  # noqa: BLE001 - the service must go on, and so must the next run
                _log.warning("invariants.not_run", error=type(error).__name__)

    async def run(self) -> list[Violation] | None:
        """One run. Returns the violations that were not known before, or None if another process has the turn.

        Errors: what the store raises; the parts that were finished are kept.
        """
        async with self._store.turn() as turn:
            if turn is None:
                return None
            until = turn.now - self._grace
            progress = await turn.progress(until)
            fresh = []
            for look_at in (self._messages, self._decisions, self._quotas):
                progress, found = await look_at(turn, progress, until)
                fresh += await self._tell(turn, progress, found)
            self._metrics.invariants_ran.set(turn.now.timestamp())
            self._metrics.invariants_behind.set((turn.now - progress.messages_until).total_seconds())
            return fresh

    async def _tell(
        self, turn: InvariantTurn, progress: Progress, found: Sequence[Violation]
    ) -> list[Violation]:
        """Keeps, counts and logs. Of a flood the first thousand are kept, the others only counted."""
        fresh = await turn.record(progress, found[:_KEPT_VIOLATIONS])
        for each in (*fresh, *found[_KEPT_VIOLATIONS:]):
            self._metrics.invariants_violated.labels(each.invariant).inc()
        for each in fresh[:_TOLD_VIOLATIONS]:
            _log.error(
                "invariant.violated",
                invariant=each.invariant,
                subject=each.subject,
                account_id=each.account_id,
                explanation=each.explanation,
            )
        if len(fresh) > _TOLD_VIOLATIONS:
            _log.error("invariant.violated_often", violations=len(fresh), told=_TOLD_VIOLATIONS)
        return fresh

    async def _messages(
        self, turn: InvariantTurn, progress: Progress, until: datetime
    ) -> tuple[Progress, list[Violation]]:
        """Messages of ours by time, in steps as long as hold a good slice of them."""
        account_ids = await read_account_ids(turn.connection)
        ends, step, limit = self._ends(), _FIRST_STEP, self._rows
        violations: list[Violation] = []
        while progress.messages_until < until and self._monotonic() < ends:
            end = min(progress.messages_until + step, until)
            found = await read_messages(turn.connection, account_ids, progress.messages_until, end, limit)
            if len(found) == limit:
                found, step = _whole_moments(found), step / 2
                if not found:
                    limit *= 2
                    continue
                end = found[-1].created_at
            elif len(found) < limit // 2:
                step = min(step * 2, _LONGEST_STEP)
            violations += await self._judge(turn, found)
            progress, limit = replace(progress, messages_until=end), self._rows
        return progress, violations

    async def _judge(self, turn: InvariantTurn, found: Sequence[Outbound]) -> list[Violation]:
        if not found:
            return []
        evidence = await read_evidence(turn.connection, found)
        violations = []
        for name, check in OF_MESSAGES.items():
            violations += check(evidence)
            self._metrics.invariants_checked.labels(name).inc(len(found))
        await asyncio.sleep(_PAUSE_SECONDS)
        return violations

    async def _decisions(
        self, turn: InvariantTurn, progress: Progress, until: datetime
    ) -> tuple[Progress, list[Violation]]:
        """The policy log by number."""
        ends = self._ends()
        violations: list[Violation] = []
        while self._monotonic() < ends:
            found, log_id = await read_decisions(turn.connection, progress.log_id, until, self._rows)
            if log_id == progress.log_id:
                break
            violations += sent_decision.check(found)
            self._metrics.invariants_checked.labels(sent_decision.NAME).inc(len(found))
            progress = replace(progress, log_id=log_id)
            await asyncio.sleep(_PAUSE_SECONDS)
        return progress, violations

    async def _quotas(
        self, turn: InvariantTurn, progress: Progress, until: datetime
    ) -> tuple[Progress, list[Violation]]:
        """Quotas account by account, until the last one; the next run begins anew."""
        ends, days = self._ends(), quota.open_days(turn.now)
        months = {day.isoformat()[:7]: quota.days_of_month(day) for day in days}
        violations: list[Violation] = []
        while self._monotonic() < ends:
            ids = await read_account_ids(turn.connection, progress.quota_account_id, _ACCOUNTS)
            usages = []
            for day in days if ids else ():
                span = quota.span_of(day)
                usages += await read_day(turn.connection, ids, day, span, _COUNTED_MESSAGES)
            for month, names in months.items() if ids else ():
                usages += await read_month(turn.connection, ids, month, names)
            violations += quota.check(usages)
            self._metrics.invariants_checked.labels(quota.NAME).inc(len(usages))
            at_the_end = len(ids) < _ACCOUNTS
            progress = replace(progress, quota_account_id="" if at_the_end else ids[-1])
            if at_the_end:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        return progress, violations

    def _ends(self) -> float:
        return self._monotonic() + PART_SECONDS


def _whole_moments(found: list[Outbound]) -> list[Outbound]:
    """Without the last moment: a batch is one moment, and the slice may have cut it."""
    last = found[-1].created_at
    return [message for message in found if message.created_at < last]

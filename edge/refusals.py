"""What the edge turned away, and which credentials were used: counted here, told to the policy core every
second.

Counting never waits and never grows without bound: past the limits of a minute, new kinds of refusal are counted
together, so that a stranger who makes up ids or sources fills neither the memory here nor the log there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from edge.errors import CoreError

KIND_LIMIT: Final = 10_000
"""Kinds of refusal in one minute that are told apart."""
STRANGER_LIMIT: Final = 200
"""Kinds in one minute whose target is made up; without their own limit they would hide the others."""
TARGET_LIMIT: Final = 64
FLUSH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class RefusalKind:
    """One kind of refusal, from one source, in one minute (Unix seconds of its start)."""

    minute: int
    surface: str
    target: str
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class RefusalReport:
    """Counts and last-used marks (Unix seconds) since the last report."""

    counts: dict[RefusalKind, int]
    uses: dict[str, float]


class RefusalLog:
    """Counts refusals and uses until the reporter takes them."""

    def __init__(self, kind_limit: int = KIND_LIMIT, stranger_limit: int = STRANGER_LIMIT) -> None:
        self._kind_limit = kind_limit
        self._stranger_limit = stranger_limit
        self._minute = 0
        self._known: set[RefusalKind] = set()
        self._strangers: set[RefusalKind] = set()
        self._counts: dict[RefusalKind, int] = {}
        self._uses: dict[str, float] = {}

    def refused(self, surface: str, target: str, reason: str, source: str, now: float) -> None:
        """Counts one refusal. `target` is what the caller wrote; `now` in Unix seconds."""
        minute = int(now) // 60 * 60
        kind = RefusalKind(minute, surface, _storable(target), reason, source)
        # Made in any case, so that a full log answers in the same time as an empty one.
        together = RefusalKind(minute, surface, "", reason, "")
        if minute != self._minute:
            self._minute = minute
            self._known, self._strangers = set(), set()
        made_up = reason.startswith("unknown_")
        named = self._strangers if made_up else self._known
        fits = kind in named or len(named) < (self._stranger_limit if made_up else self._kind_limit)
        if fits:
            named.add(kind)
        self._count(kind if fits else together, 1)

    def used(self, credential_id: str, now: float) -> None:
        """Marks a secret or key as used."""
        if credential_id in self._uses or len(self._uses) < self._kind_limit:
            self._uses[credential_id] = now

    def take(self) -> RefusalReport | None:
        """Everything counted so far, or None if there is nothing; counting starts anew."""
        if not self._counts and not self._uses:
            return None
        report = RefusalReport(self._counts, self._uses)
        self._counts, self._uses = {}, {}
        return report

    def put_back(self, report: RefusalReport) -> None:
        """Takes back a report that could not be delivered; later marks win."""
        for kind, count in report.counts.items():
            self._count(kind, count)
        self._uses = report.uses | self._uses

    def _count(self, kind: RefusalKind, count: int) -> None:
        if kind not in self._counts and len(self._counts) >= self._kind_limit:
            kind = RefusalKind(kind.minute, kind.surface, "", kind.reason, "")
        self._counts[kind] = self._counts.get(kind, 0) + count


class RefusalReporter:
    """Delivers the counts to the policy core, again and again until it is stopped."""

    def __init__(self, log: RefusalLog, deliver: Callable[[RefusalReport], Awaitable[None]]) -> None:
        self._log = log
        self._deliver = deliver
        self._logger = structlog.get_logger("edge.refusals")

    async def run(self, interval_seconds: float = FLUSH_SECONDS) -> None:
        """Reports every `interval_seconds` until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds)
            await self.flush()

    async def flush(self) -> None:
        """Reports once; what cannot be delivered is kept for the next time."""
        report = self._log.take()
        if report is None:
            return
        try:
            await self._deliver(report)
        except CoreError as error:
            self._log.put_back(report)
            self._logger.warning(
                "refusals_not_reported", error=type(error).__name__, kinds=len(report.counts)
            )


def _storable(target: str) -> str:
    """What a caller wrote, cut and made printable, so that it can be stored and shown."""
    return "".join(char if char.isprintable() else "?" for char in target[:TARGET_LIMIT])

"""Runs retention and the making of partitions now and then, and tells what was done."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict

import structlog

from policycore.metrics import Metrics
from policycore.store.retention import Removed, Retention

_log = structlog.get_logger(__name__)

_MOST_SECONDS = 30.0
"""A run goes on at once if it did something, for so long; then others have the database for a while."""


class RetentionWatch:
    """Owns when retention runs. It never runs beside itself."""

    def __init__(self, retention: Retention, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        self._retention = retention
        self._metrics = metrics
        self._monotonic = monotonic

    async def run_every(self, seconds: float) -> None:
        """Runs for ever. Nothing that goes wrong here ends it."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.run()
            except Exception as error:  # noqa: BLE001 - the service must go on, and so must the next run
                _log.warning("retention.not_run", error=type(error).__name__)

    async def run(self) -> None:
        """Removes until nothing is left to remove, or 30 s have passed. Errors: what the store raises."""
        ends = self._monotonic() + _MOST_SECONDS
        while self._monotonic() < ends:
            removed = await self._retention.run()
            self._metrics.retention_strays.set(removed.strays)
            if removed.strays:
                _log.warning("retention.month_in_default_partition", months=removed.strays)
            removed.strays = 0
            if removed == Removed():
                return
            _log.info("retention.done", **asdict(removed))

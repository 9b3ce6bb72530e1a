"""Looks now and then for conversation windows that end while agents owe an answer."""

import asyncio

import structlog

from policycore.usecases.announce_windows import WindowAnnouncer

_log = structlog.get_logger(__name__)


class WindowWatch:
    """Owns when windows are looked at. It never looks beside itself; other processes do, and nobody is told twice."""

    def __init__(self, announcer: WindowAnnouncer) -> None:
        self._announcer = announcer

    async def run_every(self, seconds: float) -> None:
        """Runs for ever. Nothing that goes wrong here ends it."""
        while True:
            await asyncio.sleep(seconds)
            try:
                told = await self._announcer.look()
                if told:
                    _log.info("windows.announced", windows=told)
            except Exception as error:  # noqa: BLE001 - the service must go on, and so must the next look
                _log.warning("windows.not_announced", error=type(error).__name__)

"""Keeps the credential cache fed from the policy core's stream, and opens the stream again whenever it
breaks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from edge.credentials import CredentialCache
from edge.errors import CoreError
from edge.model import CredentialSnapshot

FIRST_BACKOFF_SECONDS: Final = 0.1
LAST_BACKOFF_SECONDS: Final = 1.0
"""Well under the ten seconds after which an edge that is cut off stops serving."""


class CredentialFeed:
    """Follows one stream after the other. `watch` opens a stream; `monotonic` is the cache's clock."""

    def __init__(
        self,
        cache: CredentialCache,
        watch: Callable[[], AsyncIterator[CredentialSnapshot | None]],
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._watch = watch
        self._monotonic = monotonic
        self._jitter = jitter
        self._logger = structlog.get_logger("edge.credential_feed")
        self.connected = False

    async def run(self) -> None:
        """Feeds the cache until cancelled."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            try:
                async for update in self._watch():
                    self._take(update)
                    backoff = FIRST_BACKOFF_SECONDS
            except CoreError as error:
                self._logger.warning("credentials_lost", error=type(error).__name__)
            finally:
                self.connected = False
            await asyncio.sleep(backoff * self._jitter())
            backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)

    def _take(self, update: CredentialSnapshot | None) -> None:
        heard_at = self._monotonic()
        self.connected = True
        if update is None:
            self._cache.confirm(heard_at)
            return
        self._cache.replace(update, heard_at)
        self._logger.info(
            "credentials_taken",
            version=update.version,
            integrations=len(update.integrations),
            api_keys=len(update.api_keys),
            instances=len(update.instances),
        )

"""What the policy core may ask of phone systems, with bounds on how much at once."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from datetime import datetime

from sender.model import WithheldError
from sender.pbx.facts import ChatMessage, PbxConnection, Trunk
from sender.pbx.reader import PbxReader
from sender.pbx.socket import PbxSockets
from sender.pbx.watch import News, Pace, PbxWatch, WatchOrder
from sender.turns import Turns

READS_IN_ALL = 16
READS_PER_INTEGRATION = 2
TURN_SECONDS = 5.0
MOST_WATCHED = 2_000
"""A watching costs a socket and two tasks, and lasts."""


class PbxDesk:
    """Watches and reads phone systems."""

    def __init__(
        self,
        reader: PbxReader,
        sockets: PbxSockets,
        now: Callable[[], datetime],
        random: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._reader = reader
        self._sockets = sockets
        self._now = now
        self._random = random
        self._pace = pace
        self._watched: set[PbxWatch] = set()
        self._turns = Turns(READS_IN_ALL, READS_PER_INTEGRATION)

    async def watch(self, order: WatchOrder) -> AsyncGenerator[News, None]:
        """News of a phone system until `close`. Raises `WithheldError` if too many are watched."""
        if len(self._watched) >= MOST_WATCHED:
            raise WithheldError("sender_overloaded", "Too many phone systems are watched here.")
        watch = PbxWatch(self._reader, self._sockets, order, self._now, self._random, self._pace)
        self._watched.add(watch)
        try:
            async with contextlib.aclosing(watch.news()) as found:
                async for news in found:
                    yield news
        finally:
            self._watched.discard(watch)

    def close(self) -> None:
        """Ends every watching, so that another sender takes over at once."""
        for watch in self._watched:
            watch.end()

    async def trunks(self, connection: PbxConnection) -> list[Trunk]:
        """Trunks that can carry messages. Raises `PbxError`, or `WithheldError` if too much is read at once."""
        async with self._turns.turn(connection.integration_id, TURN_SECONDS):
            return await self._reader.trunks(connection)

    async def chats(self, connection: PbxConnection, since: datetime) -> list[ChatMessage]:
        """What was written in chats. Raises `PbxError`, or `WithheldError` if too much is read at once."""
        async with self._turns.turn(connection.integration_id, TURN_SECONDS):
            return await self._reader.chats(connection, since)

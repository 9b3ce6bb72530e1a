"""Group commit: what waits together is done together, without ever waiting for company.

While one batch is being worked on, newcomers gather; they are the next batch. One failing item does not fail
its neighbours: a batch that raises is done again item by item. What is away is away for all of them: then nobody
waits for his neighbours to find that out.

While no more waits than one batch takes, all are served as they come. Once more does, owners take turns, so that one
who asks for too much waits, and is refused, by himself.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from policycore.errors import Contended, Overloaded, Unavailable
from policycore.usecases.contention import giving_way
from policycore.usecases.crowd import Crowd

Item = TypeVar("Item")
Answer = TypeVar("Answer")


RETRY_SECONDS = 1.0
"""When who was refused may come again: the longest line is worked off by then."""

FOLLOWS_WITHIN_SECONDS = 0.05
"""So long a group waits at most for the one it follows: what holds that one up must not hold up both."""


class GroupCommit(Generic[Item, Answer]):
    """Coalesces concurrent calls of `do` into batches of at most `max_batch`; at most `max_waiting` may wait.

    `owner_of` says whose an item is; of one owner at most `max_of_one` wait once there is more than a batch.

    Items may weigh differently: together those of a batch weigh at most `max_weight`, unless one alone is heavier.

    One batch is worked on at a time. A group that follows another begins its batches where the other one's end: both
    are larger then, and a batch costs much the same whatever its size.
    """

    def __init__(
        self,
        do_batch: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        max_batch: int,
        max_waiting: int,
        weigh: Callable[[Item], int] = lambda _: 1,
        max_weight: int | None = None,
        owner_of: Callable[[Item], str] = lambda _: "",
        max_of_one: int | None = None,
    ) -> None:
        self._do_batch = do_batch
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._weigh = weigh
        self._max_weight = max_batch if max_weight is None else max_weight
        self._owner_of = owner_of
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._crowd: Crowd[tuple[Item, asyncio.Future[Answer]]] | None = None
        self._calm = min(max_batch, max_waiting)
        self._max_of_one = max(self._calm, max_waiting if max_of_one is None else max_of_one)
        self._worker: asyncio.Task[None] | None = None
        self._follows: GroupCommit[Any, Any] | None = None
        self._between = asyncio.Event()
        self._between.set()

    @property
    def waiting(self) -> int:
        """How many items wait for the next batch."""
        return len(self._waiting) + (len(self._crowd) if self._crowd is not None else 0)

    def follow(self, other: "GroupCommit[Any, Any]") -> None:
        """From now on a batch begins where one of the other group's has ended, if one is worked on."""
        self._follows = other

    async def do(self, item: Item) -> Answer:
        """Answers one item after its batch was committed.

        Raises Overloaded before anything is done if too many wait, in all or of this item's owner, or whatever the
        batch raised for this item alone.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._crowd is None and len(self._waiting) < self._calm:
            self._waiting.append((item, future))
        else:
            self._join_crowd(item, future)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    def _join_crowd(self, item: Item, future: asyncio.Future[Answer]) -> None:
        """More waits than one batch takes: from now on owners take turns, until nobody is left."""
        if self._crowd is None:
            self._crowd = Crowd(self._max_of_one)
            while self._waiting:
                entry = self._waiting.popleft()
                self._crowd.join(self._owner_of(entry[0]), entry)
        owner = self._owner_of(item)
        if self.waiting >= self._max_waiting:
            # Whoever has most in line is refused rather than somebody who has little.
            last = self._crowd.give_way(owner)
            if last is None:
                raise Overloaded(retry_after_seconds=RETRY_SECONDS)
            _fail([last], Overloaded(retry_after_seconds=RETRY_SECONDS, of_one=True))
        if not self._crowd.join(owner, (item, future)):
            raise Overloaded(retry_after_seconds=RETRY_SECONDS, of_one=True)

    async def _work(self) -> None:
        try:
            while self._waiting or self._crowd is not None:
                if self._follows is not None:
                    await self._follows.between_batches()
                batch = self._take()
                if batch:
                    self._between.clear()
                    await self._commit(batch)
                    self._between.set()
        finally:
            self._between.set()
            self._worker = None
            if self.waiting:
                self._worker = asyncio.create_task(self._work())

    async def between_batches(self) -> None:
        """Returns when no batch is worked on or one has just ended, and after 50 ms at the latest."""
        if not self._between.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FOLLOWS_WITHIN_SECONDS):
                    await self._between.wait()

    def _take(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        """The next batch, without those whose callers are gone."""
        if self._crowd is not None:
            self._waiting.extend(self._crowd.take(self._max_batch - len(self._waiting)))
            if not self._crowd:
                self._crowd = None
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        room = self._max_weight
        while self._waiting and len(batch) < self._max_batch:
            entry = self._waiting[0]
            if not entry[1].cancelled():
                room -= self._weigh(entry[0])
                if batch and room < 0:
                    break
                batch.append(entry)
            self._waiting.popleft()
        return batch

    async def _commit(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._do_batch([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is handed to whoever asked
            contended = isinstance(error, Contended)
            if not contended and (len(batch) == 1 or isinstance(error, Unavailable)):
                _fail(batch, error)
                return
            for entry in batch:
                await self._commit_alone(entry)
            return
        except BaseException:
            _fail(batch, Unavailable("The work was broken off; it is not known how far it came."))
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _commit_alone(self, entry: tuple[Item, asyncio.Future[Answer]]) -> None:
        item, future = entry
        try:
            [answer] = await giving_way(lambda: self._do_batch([item]))
        except Exception as error:  # noqa: BLE001 - it is handed to whoever asked
            _fail([entry], error)
            return
        if not future.done():
            future.set_result(answer)

    async def drain(self) -> None:
        """Returns when nothing waits and nothing is under way."""
        while self._worker is not None:
            await asyncio.wait([self._worker])


def _fail(batch: "list[tuple[Item, asyncio.Future[Answer]]]", error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)

"""Group commit: what waits together is done together, without ever waiting for company.

While one batch is being worked on, newcomers gather; they are the next batch. One failing item does not fail
its neighbours: a batch that raises is done again item by item. What is away is away for all of them: then nobody
waits for his neighbours to find that out.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

from policycore.errors import Contended, Overloaded, Unavailable
from policycore.usecases.contention import giving_way

Item = TypeVar("Item")
Answer = TypeVar("Answer")


_MOST_UNDER_WAY = 2
_may_begin: ContextVar[asyncio.Event] = ContextVar("may_begin")


def let_next_begin() -> None:
    """Says, from within the work on a batch, that the next one may begin; elsewhere it says nothing."""
    event = _may_begin.get(None)
    if event is not None:
        event.set()


class GroupCommit(Generic[Item, Answer]):
    """Coalesces concurrent calls of `do` into batches of at most `max_batch`; at most `max_waiting` may wait.

    Items may weigh differently: together those of a batch weigh at most `max_weight`, unless one alone is heavier.

    One batch is worked on at a time, unless its work says `let_next_begin`: then the next one begins while this one
    is being finished. There are never more than two.
    """

    def __init__(
        self,
        do_batch: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        max_batch: int,
        max_waiting: int,
        weigh: Callable[[Item], int] = lambda _: 1,
        max_weight: int | None = None,
    ) -> None:
        self._do_batch = do_batch
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._weigh = weigh
        self._max_weight = max_batch if max_weight is None else max_weight
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._follows: GroupCommit[Any, Any] | None = None
        self._free = asyncio.Event()
        self._free.set()

    @property
    def waiting(self) -> int:
        """How many items wait for the next batch."""
        return len(self._waiting)

    def follow(self, other: "GroupCommit[Any, Any]") -> None:
        """From now on a batch begins only where the other group's next one might."""
        self._follows = other

    async def do(self, item: Item) -> Answer:
        """Answers one item after its batch was committed.

        Raises Overloaded before anything is done if too many wait, or whatever the batch raised for this item
        alone.
        """
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(retry_after_seconds=1.0)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._news.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        under_way: list[asyncio.Task[None]] = []
        try:
            while True:
                under_way = [task for task in under_way if not task.done()]
                if self._waiting and len(under_way) < _MOST_UNDER_WAY:
                    if self._follows is not None:
                        await self._follows.until_free()
                    batch = self._take()
                    if batch:
                        under_way.append(await self._begun(batch))
                elif under_way:
                    self._news.clear()
                    await self._news.wait()
                else:
                    return
        finally:
            self._worker = None
            if self._waiting:
                self._worker = asyncio.create_task(self._work())

    async def _begun(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> asyncio.Task[None]:
        """Begins a batch; returns when the next one may begin too."""
        may_begin = asyncio.Event()
        context = copy_context()
        context.run(_may_begin.set, may_begin)
        task = asyncio.create_task(self._commit(batch), context=context)

        def finished(_: object) -> None:
            may_begin.set()
            self._news.set()

        task.add_done_callback(finished)
        self._free.clear()
        await may_begin.wait()
        self._free.set()
        return task

    async def until_free(self) -> None:
        """Returns when no batch stands between its beginning and where the next one may begin."""
        await self._free.wait()

    def _take(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        """The next batch, without those whose callers are gone."""
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

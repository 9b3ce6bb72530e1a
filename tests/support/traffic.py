"""Traffic that does not stop while something is changed: many tasks ask again and again, and keep every answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Traffic:
    """What the tasks were answered: how often each word came."""

    answers: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many answers there were."""
        return self.answers.total()

    async def more(self, number: int) -> None:
        """Returns once so many more answers have come."""
        wanted = self.count + number
        async with asyncio.timeout(30):
            while self.count < wanted:  # noqa: ASYNC110 - answers are counted, not signalled
                await asyncio.sleep(0.01)


@asynccontextmanager
async def flowing(
    ask: Callable[[int], Awaitable[str]], tasks: int = 4, pause_seconds: float = 0.05
) -> AsyncIterator[Traffic]:
    """Traffic while the block runs. `ask` takes a number of its own, and returns what was answered, as one word."""
    traffic, stop = Traffic(), asyncio.Event()

    async def run(number: int) -> None:
        while not stop.is_set():
            try:
                word = await ask(number)
            except Exception as error:  # noqa: BLE001 - whatever a caller meets is an answer here
                word = f"{type(error).__name__}: {error}"
            traffic.answers[word] += 1
            number += tasks
            await asyncio.sleep(pause_seconds)

    running = [asyncio.create_task(run(number)) for number in range(tasks)]
    try:
        yield traffic
    finally:
        stop.set()
        await asyncio.gather(*running)

"""One attempt to post one event to 3CX or to a customer's webhook."""

from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from sender import steps
from sender.destinations.signed_event import Destination, Event
from sender.egress import Door
from sender.model import PostOutcome, PostResult, WithheldError
from sender.record import Recorder
from sender.turns import Turns

LONGEST_POST_SECONDS = 15.0


class Posting:
    """Posts events. Holds nothing."""

    def __init__(
        self,
        *,
        destinations: Mapping[str, Destination],
        door: Door,
        turns: Turns,
        recorder: Recorder,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._destinations = destinations
        self._door = door
        self._turns = turns
        self._recorder = recorder
        self._now = now
        self._monotonic = monotonic

    async def post(
        self, kind: str, event: Event, timeout_seconds: float = LONGEST_POST_SECONDS
    ) -> PostResult:
        """What came of one try. Raises nothing but cancellation; `timeout_seconds` is cut to 15 s."""
        began = self._monotonic()
        found = await self._post(kind, event, min(timeout_seconds, LONGEST_POST_SECONDS))
        if kind in self._destinations:
            self._recorder.post(kind, event.delivery_id, found, self._monotonic() - began)
        return found

    async def _post(self, kind: str, event: Event, timeout_seconds: float) -> PostResult:
        destination = self._destinations.get(kind)
        if destination is None:
            return PostResult(PostOutcome.BLOCKED, "There is no such kind of destination.")
        request = destination.build(event, self._now())
        if request is None:
            return PostResult(PostOutcome.TAKEN, "The event stays inside the product.", 200)
        deadline = self._monotonic() + timeout_seconds
        try:
            async with self._turns.turn(_host(event.url), timeout_seconds):
                left = max(deadline - self._monotonic(), 0.0)
                steps.passed("deliver.posting")
                exchange = await self._door.exchange(request, timeout_seconds=left, before_write=_nothing)
        except WithheldError:
            return PostResult(PostOutcome.RETRY, "Too many events are being posted to this host.")
        return destination.parse(exchange, self._now())


def _host(url: str) -> str:
    """Whose turn it is; whatever cannot be read shares one, and is refused by the door."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _nothing() -> None:
    """An event needs no permit."""

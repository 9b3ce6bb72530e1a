"""Whether an address answers: how far a connection comes, through the same guarded door as everything else."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sender.egress import Door
from sender.model import HttpAnswer, HttpRequest, TransportFailure, WithheldError
from sender.turns import Turns

CHECK_SECONDS = 10.0
_SERVICE = "hubgate"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far it came. `failure` is empty if an answer came; its words are those of the transport."""

    failure: str
    http_status: int = 0
    is_gateway: bool = False


class Reaching:
    """Looks at addresses, in turns of its own: looking takes nobody's turn to post."""

    def __init__(self, door: Door, turns: Turns, monotonic: Callable[[], float]) -> None:
        self._door = door
        self._turns = turns
        self._monotonic = monotonic

    async def reach(self, url: str, timeout_seconds: float, *, gateway: bool) -> Reach:
        """One look. A gateway is greeted; anything else is asked with OPTIONS, which changes nothing (RFC 9110,
        section 9.2.1). Raises nothing but cancellation; `timeout_seconds` is cut to 10 s.
        """
        deadline = self._monotonic() + min(timeout_seconds, CHECK_SECONDS)
        address = f"{url.rstrip('/')}/" if gateway else url
        request = HttpRequest("GET" if gateway else "OPTIONS", address)
        try:
            async with self._turns.turn(_host(url), max(deadline - self._monotonic(), 0.0)):
                seconds = max(deadline - self._monotonic(), 0.0)
                exchange = await self._door.exchange(request, timeout_seconds=seconds, before_write=_nothing)
        except WithheldError:
            return Reach("overloaded")
        if isinstance(exchange, TransportFailure):
            return Reach(exchange.kind.value)
        return Reach("", exchange.status, gateway and _greeted(exchange))


def _greeted(answer: HttpAnswer) -> bool:
    """Whether the answer is a gateway's greeting."""
    if answer.status != 200 or not answer.complete:
        return False
    try:
        found: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("service") == _SERVICE


def _host(url: str) -> str:
    """Whose turn it is; whatever cannot be read shares one, and is refused by the door."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _nothing() -> None:
    """Looking needs no permit."""

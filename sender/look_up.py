"""Looks at back ends for messages whose outcome is unknown. Sends nothing: a permit and a guard have no part in it."""

from collections.abc import Callable, Mapping

from sender import steps
from sender.backends.chats import in_order
from sender.backends.wire import ChatView
from sender.deliver import Route
from sender.egress import Door
from sender.model import FoundMessage, LookUp, LookUpOutcome, LookUpResult, UnaddressableError, WithheldError
from sender.turns import Turns

LOOK_UP_SECONDS = 10.0

_NOT_OFFERED = LookUpResult(LookUpOutcome.NOT_OFFERED, "not_offered")


class LookUps:
    """Asks back ends what they have of a chat, through the same doors as attempts, and in turns of its own: looking
    takes nobody's turn to send.
    """

    def __init__(self, routes: Mapping[str, Route], turns: Turns, monotonic: Callable[[], float]) -> None:
        self._routes = routes
        self._turns = turns
        self._monotonic = monotonic

    async def look_up(self, wanted: LookUp, timeout_seconds: float = LOOK_UP_SECONDS) -> LookUpResult:
        """What the back end has. Raises nothing but cancellation; `timeout_seconds` is cut to 10 s."""
        deadline = self._monotonic() + min(timeout_seconds, LOOK_UP_SECONDS)
        route = self._routes.get(wanted.connection.backend)
        if route is None or route.backend.chats is None:
            return _NOT_OFFERED
        instance_id = wanted.connection.instance_id
        try:
            await self._turns.take(instance_id, deadline - self._monotonic())
        except WithheldError as withheld:
            return LookUpResult(LookUpOutcome.FAILED, withheld.code)
        try:
            steps.passed("look.taken")
            return await self._ask(route.door, route.backend.chats, wanted, deadline)
        except UnaddressableError:
            return _NOT_OFFERED
        finally:
            self._turns.give_back(instance_id)

    async def _ask(self, door: Door, chats: ChatView, wanted: LookUp, deadline: float) -> LookUpResult:
        """Every part of the chat; one part that cannot be seen makes all of it unseen."""
        found: dict[str, FoundMessage] = {}
        for request in chats.build(wanted):
            seconds = deadline - self._monotonic()
            part = chats.parse(
                await door.exchange(request, timeout_seconds=seconds, before_write=_nothing), wanted
            )
            if part.outcome is not LookUpOutcome.LOOKED:
                return part
            found.update((each.external_message_id, each) for each in part.found)
        steps.passed("look.answering")
        return LookUpResult(LookUpOutcome.LOOKED, "looked", in_order(found.values()))


def _nothing() -> None:
    """Looking needs no permit."""

"""What reading a back end's chats has in common: failures, moments, how far a message is. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sender.model import Exchange, FoundMessage, LookUp, LookUpOutcome, LookUpResult, TransportFailure

AT_ONCE = 50
"""Messages that are asked for at once. A chat that has more since then is not judged by a part of it."""

KINDS = ("accepted", "sent", "failed", "delivered", "read")
"""How far a message is, in rising order: what was delivered has not failed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_SECOND = 253_402_300_799


def unanswered(exchange: Exchange) -> LookUpResult | None:
    """Why an exchange tells nothing of a chat, or None if it does."""
    if isinstance(exchange, TransportFailure):
        return failed(exchange.kind.value)
    if not exchange.complete:
        return failed("cut_short")
    return None if 200 <= exchange.status < 300 else failed(f"http_{exchange.status}")


def failed(reason: str) -> LookUpResult:
    """Looking told nothing."""
    return LookUpResult(LookUpOutcome.FAILED, reason)


def looked(found: Iterable[FoundMessage], wanted: LookUp) -> LookUpResult:
    """The messages that are not older than what is looked for, each once, the oldest first."""
    # Back ends round moments down to whole seconds.
    since = whole_seconds(wanted.since)
    by_id = {each.external_message_id: each for each in found if whole_seconds(each.sent_at) >= since}
    return LookUpResult(LookUpOutcome.LOOKED, "looked", in_order(by_id.values()))


def in_order(found: Iterable[FoundMessage]) -> tuple[FoundMessage, ...]:
    """Messages, the oldest first."""
    return tuple(sorted(found, key=lambda each: (each.sent_at, each.external_message_id)))


def moment(seconds: object) -> datetime | None:
    """A moment from seconds since 1970, as a number or as text; None if it is neither."""
    try:
        whole = int(float(seconds)) if isinstance(seconds, int | float | str) else -1
    except (ValueError, OverflowError):
        return None
    return _EPOCH + timedelta(seconds=whole) if 0 <= whole <= _LATEST_SECOND else None


def whole_seconds(moment: datetime) -> int:
    """Seconds since 1970, rounded down."""
    return int((moment - _EPOCH).total_seconds())


def furthest(kinds: Iterable[str]) -> str:
    """The kind that goes furthest; `accepted` if there is none."""
    return max((kind for kind in kinds if kind in KINDS), key=KINDS.index, default=KINDS[0])

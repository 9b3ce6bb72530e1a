"""What settles a message whose outcome is unknown: when its back end is looked at, and what a look proves. Pure.

A message that is found was sent. One that is not found may still have been: back ends record after sending, may fail
to, and may send late. So nothing but a receipt, a look that finds it, or a person settles it, and nothing sends it
again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

SETTLE_AFTER = timedelta(hours=24)
"""How long a message is unknown before a person may settle it."""

CLOCK_LEEWAY = timedelta(minutes=2)
"""How far a back end's clock may be behind: what it recorded so long before the attempt may be the attempt."""

_LOOKS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 20, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400)
)
"""After how long a message's back end is looked at: ten times in all."""


class PersonsFinding(IntEnum):
    """What a person found out; numbers as in `records.proto`."""

    SENT = 1
    NOT_SENT = 2


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A message whose back end is to be looked at. `looks` counts this look too."""

    message_id: str
    instance_id: str
    person_id: str
    phone: str
    lid: str
    bsuid: str
    text: str
    attempted_at: datetime
    looks: int

    @property
    def since(self) -> datetime:
        """The earliest moment at which a back end may have recorded it."""
        return self.attempted_at - CLOCK_LEEWAY


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """What a back end has. `kind` is `accepted`, `sent`, `delivered`, `read` or `failed`."""

    external_message_id: str
    sent_at: datetime
    kind: str


def next_look_at(unknown_since: datetime, looks: int) -> datetime | None:
    """When to look after `looks` looks; None if that was enough."""
    return unknown_since + _LOOKS[looks] if looks < len(_LOOKS) else None


def match(
    unnamed: Sequence[str], found: Sequence[FoundMessage], known: Collection[str]
) -> list[tuple[str, FoundMessage]]:
    """(message id, what a back end has of it), or nothing if that is not certain.

    `unnamed` are the messages with one text to one person that may have left and whose id at the back end is not known,
    the oldest first; `known` the ids there that are another message's. Only as many as are missing can be matched: of
    two messages and one record, either may be the one that left.
    """
    left = [each for each in found if each.external_message_id not in known]
    return list(zip(unnamed, left, strict=True)) if len(left) == len(unnamed) else []

"""Phone systems as the policy core sees them: what is asked of them, what comes back, which calls are one. Pure words
and rules, and the protocols of those who do it.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from policycore.pbx_authors import WrittenInChat

ONE_CALL = timedelta(seconds=120)
"""Calls of one person that lie no further apart are one: socket and history tell of the same call with other times, and
who calls again at once is told once."""

TOLD_WITHIN = timedelta(minutes=30)
"""So long after it was found a call is tried to be told, if it cannot be at once."""

FIRST_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class PbxTarget:
    """How a phone system is reached."""

    integration_id: str
    base_url: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldWatch:
    """The right to watch a phone system, held by `holder` until the lease ends. `revision` is that of the settings."""

    target: PbxTarget
    holder: str
    revision: int
    known_until: datetime
    every_extension_listed: bool
    catch_up: timedelta
    missed_calls: bool = True
    who_replied: bool = False


@dataclass(frozen=True, slots=True)
class MissedCall:
    """A call from outside that nobody answered. `caller` is as the phone system writes it, until it is normalised."""

    caller: str
    began_at: datetime
    ended_at: datetime
    reached_dn: str
    from_history: bool


@dataclass(frozen=True, slots=True)
class PbxNews:
    """What a sender said of a phone system."""

    state: str
    reason: str
    missed: tuple[MissedCall, ...]
    known_until: datetime


@dataclass(frozen=True, slots=True)
class UntoldCall:
    """A missed call that its caller has not been told of."""

    call_id: str
    integration_id: str
    caller: str
    began_at: datetime
    ended_at: datetime
    reached_dn: str
    tries: int
    found_at: datetime


@dataclass(frozen=True, slots=True)
class MessagingTrunk:
    """A trunk that can carry messages. The address holds a key."""

    number: str
    name: str
    provider: str
    enabled: bool
    webhook_url: str = field(repr=False)
    did_numbers: tuple[str, ...] = ()


def retry_after(tries: int) -> timedelta:
    """How long to wait after so many tries: twice as long each time."""
    doubled: int = 2 ** min(max(tries - 1, 0), 10)
    return min(FIRST_RETRY * doubled, LONGEST_RETRY)


class LeaseLost(Exception):
    """The right to watch has ended, or what it was given for has changed."""


class SenderGone(Exception):
    """No sender watches: none is connected, or the one that did is gone. The text is a short stable word."""


class PbxSenders(Protocol):
    """Has senders watch and read phone systems."""

    def watch(self, held: HeldWatch) -> AsyncGenerator[PbxNews, None]:
        """News until the sender ends it. Raises `SenderGone`."""

    async def trunks(self, target: PbxTarget) -> tuple[Sequence[MessagingTrunk], str]:
        """Trunks that can carry messages, and why none could be read. Never raises for one that failed."""

    async def chats(self, target: PbxTarget, since: datetime) -> tuple[Sequence[WrittenInChat], str]:
        """What was written in chats, and why that could not be read. Never raises for one that failed."""


class PbxLedger(Protocol):
    """Keeps who watches what, and which calls were missed."""

    async def claim(self, holder: str, seconds: float, limit: int) -> list[HeldWatch]:
        """Watches that nobody holds, now held by `holder`."""

    async def extend(self, held: HeldWatch, seconds: float) -> None:
        """Holds on. Raises `LeaseLost`."""

    async def release(self, held: HeldWatch) -> None:
        """Lets go, if it is still held."""

    async def take_news(self, held: HeldWatch, news: PbxNews) -> int:
        """Keeps what is new, its callers normalised; returns how many calls were not known. Raises `LeaseLost`."""

    async def untold(self, held: HeldWatch, limit: int) -> list[UntoldCall]:
        """Calls whose turn to be told has come."""

    async def note_told(self, call_id: str, outcome: str) -> None:
        """The caller was told, or will not be."""

    async def note_tried(self, call: UntoldCall, outcome: str) -> None:
        """It could not be decided now; another time it may."""

    async def clean(self) -> int:
        """Forgets calls that are too old to come again."""

"""Whether an instance's sends are still acknowledged: judged by receipts, not by the state that it reports. Pure.

A number linked as WhatsApp Web is can say `open` and keep what it accepts to itself
(https://github.com/EvolutionAPI/evolution-api/issues/2403). WhatsApp's own acknowledgement, `sent`, comes within
seconds even if the person's phone is off, so its absence tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

FEWEST = 3
"""Sends in a row without acknowledgement, below which nothing is said."""

FIRST_HOLD = timedelta(minutes=1)
LONGEST_HOLD = timedelta(minutes=15)
"""Nothing is sent for as long as nothing has been acknowledged, within these bounds; then sends try again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a back end's acknowledgement may take, and whether an instance without any is held."""

    wait: timedelta
    holds: bool


PATIENCE: Mapping[str, Patience] = {
    "evolution": Patience(timedelta(minutes=1), holds=True),
    "waha": Patience(timedelta(minutes=1), holds=True),
    # Meta's answer is WhatsApp's own. Its webhooks may be late as a whole, which is no reason not to send.
    "cloud_api": Patience(timedelta(minutes=10), holds=False),
}
"""By back end. The sandbox acknowledges with its answer, and is not watched."""


@dataclass(frozen=True, slots=True)
class Send:
    """A message that an instance accepted, or may have accepted. `changed_at` is when its receipt came, if one did."""

    accepted_at: datetime
    acknowledged: bool
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """An instance that stopped to acknowledge: since its first send without acknowledgement; held until, if at all."""

    since: datetime
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class Suspect:
    """An instance that is marked, or whose newest send has no acknowledgement."""

    instance_id: str
    backend: str
    reopened_at: datetime
    mark: Mark | None


def judge(
    sends: Sequence[Send], mark: Mark | None, reopened_at: datetime, patience: Patience, now: datetime
) -> Mark | None:
    """The mark that an instance deserves now, or None if it is well, or nothing can be said.

    `sends` are its newest ones, the newest first; `reopened_at` is when its reported state last changed.
    """
    if mark is not None:
        return _still(sends, mark, reopened_at, patience, now)
    ripe = [each for each in sends if each.accepted_at <= now - patience.wait]
    row = []
    for each in ripe:
        if each.acknowledged or each.accepted_at <= reopened_at:
            break
        row.append(each)
    if len(row) < FEWEST:
        return None
    since = row[-1].accepted_at
    heard = [each.changed_at for each in sends if each.acknowledged]
    # Who never acknowledged anything may not be set up to tell; who did so since then is well.
    if not heard or max(heard) > since:
        return None
    return Mark(since, now + FIRST_HOLD if patience.holds else None)


def _still(
    sends: Sequence[Send], mark: Mark, reopened_at: datetime, patience: Patience, now: datetime
) -> Mark | None:
    if reopened_at > mark.since or any(each.acknowledged and each.changed_at > mark.since for each in sends):
        return None
    if mark.held_until is None:
        return mark
    tried_again = any(mark.held_until <= each.accepted_at <= now - patience.wait for each in sends)
    if not tried_again:
        return mark
    return Mark(mark.since, now + min(max(now - mark.since, FIRST_HOLD), LONGEST_HOLD))

"""Marks instances whose sends are not acknowledged any more, and unmarks them when receipts come again."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from policycore.acknowledgement import PATIENCE, Mark, Send, Suspect, judge

_log = structlog.get_logger(__name__)


class Acknowledgements(Protocol):
    """What instances sent, and how they are marked. The store implements it."""

    async def suspects(self) -> tuple[datetime, list[Suspect]]:
        """The database's time, and the instances that need a closer look."""

    async def sends(self, instance_id: str) -> Sequence[Send]:
        """An instance's newest sends of the last day, the newest first."""

    async def change(self, suspect: Suspect, mark: Mark | None) -> bool:
        """Marks or unmarks, unless somebody else did so meanwhile; returns whether it did."""


class AcknowledgementWatch:
    """One process's looks. `changed` is called after a mark was changed: the configuration holds it."""

    def __init__(self, acknowledgements: Acknowledgements, changed: Callable[[], None]) -> None:
        self._acknowledgements = acknowledgements
        self._changed = changed

    async def look(self) -> int:
        """Looks at every suspect; returns how many instances are marked then."""
        now, suspects = await self._acknowledgements.suspects()
        marked = 0
        for suspect in suspects:
            patience = PATIENCE[suspect.backend]
            sends = await self._acknowledgements.sends(suspect.instance_id)
            mark = judge(sends, suspect.mark, suspect.reopened_at, patience, now)
            marked += mark is not None
            if mark != suspect.mark and await self._acknowledgements.change(suspect, mark):
                self._changed()
                _tell(suspect, mark)
        return marked


def _tell(suspect: Suspect, mark: Mark | None) -> None:
    if mark is None:
        _log.info("instance.acknowledges_again", instance_id=suspect.instance_id)
        return
    _log.warning(
        "instance.unacknowledged",
        instance_id=suspect.instance_id,
        since=mark.since.isoformat(timespec="seconds"),
        held_until=mark.held_until.isoformat(timespec="seconds") if mark.held_until else None,
    )

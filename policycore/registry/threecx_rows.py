"""Owns the rows of phone systems' APIs as the registry keeps them. Field names are those of the tables. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ThreecxApiRow:
    """How a phone system is asked. `revision` rises with every change."""

    integration_id: str
    base_url: str
    client_id: str
    client_secret_sealed: bytes = field(repr=False)
    missed_calls: bool
    who_replied: bool
    webhook_discovery: bool
    every_extension_listed: bool
    catch_up_seconds: int
    revision: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class ThreecxApiState:
    """How watching goes: `idle`, `waiting`, `connecting`, `watching` or `failing`."""

    state: str
    reason: str
    since: datetime
    known_until: datetime
    last_missed_at: datetime | None
    untold: int


class ThreecxApiRows(Protocol):
    """The rows; whoever changes one holds that of its integration."""

    async def find(self, integration_id: str) -> ThreecxApiRow | None:
        """What is set, if anything is."""

    async def put(self, row: ThreecxApiRow, *, known_until: datetime | None) -> None:
        """Inserts or replaces. With `known_until`, calls before that are not asked for any more."""

    async def remove(self, integration_id: str) -> None:
        """Deletes settings, watch and calls."""

    async def state(self, integration_id: str) -> ThreecxApiState:
        """How watching goes, of one that is set."""

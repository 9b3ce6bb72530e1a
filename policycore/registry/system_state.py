"""Owns how the state of the system is told. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One part: `database`, `counters`, `sender 127.0.0.1:8072`, `clock`, … and one plain sentence about it."""

    name: str
    healthy: bool
    explanation: str


@dataclass(frozen=True, slots=True)
class SystemState:
    """How everything is."""

    components: tuple[ComponentState, ...]
    version: str
    schema_revision: str
    database_time: datetime


class SystemWatch(Protocol):
    """Looks at every part."""

    async def look(self) -> SystemState:
        """How everything is now. Does not raise for a part that is broken."""

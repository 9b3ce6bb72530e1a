"""How many bytes of large bodies are held at once: a few owners' megabytes never take the memory of all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from edge.errors import NoRoomError

FREE_BYTES: Final = 131_072
"""What every body may have without being counted: ordinary ones pass however full it is."""
BYTES_IN_ALL: Final = 256 * 1024 * 1024
BYTES_PER_OWNER: Final = 64 * 1024 * 1024
"""Four of the largest bodies at once: whoever sends more of them holds up itself alone."""


class BodyClaim:
    """What one request holds."""

    def __init__(self, room: "BodyRoom", owner: str) -> None:
        self._room = room
        self._owner = owner
        self._bytes = 0
        self.counted_bytes = 0

    def take(self, size: int) -> None:
        """Claims room for further bytes of the body. Raises NoRoomError."""
        self._bytes += size
        counted = max(self._bytes - FREE_BYTES, 0)
        self._room.change(self._owner, counted - self.counted_bytes)
        self.counted_bytes = counted


class BodyRoom:
    """Counts what all claims hold, per owner and together."""

    def __init__(self, in_all: int = BYTES_IN_ALL, per_owner: int = BYTES_PER_OWNER) -> None:
        self._in_all = in_all
        self._per_owner = per_owner
        self._held = 0
        self._held_by: dict[str, int] = {}

    @contextmanager
    def claim(self, owner: str) -> Iterator[BodyClaim]:
        """A claim for one request; what it took is given back at the end."""
        claim = BodyClaim(self, owner)
        try:
            yield claim
        finally:
            self.change(owner, -claim.counted_bytes)

    def change(self, owner: str, size: int) -> None:
        """Takes or, with a negative size, gives back. Raises NoRoomError, and then takes nothing."""
        held_by = self._held_by.get(owner, 0) + size
        if size > 0 and (self._held + size > self._in_all or held_by > self._per_owner):
            raise NoRoomError
        self._held += size
        if held_by:
            self._held_by[owner] = held_by
        else:
            self._held_by.pop(owner, None)

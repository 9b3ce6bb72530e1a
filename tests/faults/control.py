"""The few bytes that the harness shares with a process it started: where to die, and how far its clock is off."""

import mmap
import struct
from pathlib import Path

_LAYOUT = struct.Struct("<dii")
NOWHERE = -1


class Control:
    """One process's control block, in a file that both sides map."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(_LAYOUT.pack(0.0, NOWHERE, 0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _LAYOUT.size)

    def read(self) -> tuple[float, int, int]:
        """Seconds that the clock is off, the number of the step to die at, and how many passings are left."""
        offset, step, left = _LAYOUT.unpack_from(self._memory)
        return offset, step, left

    def arm(self, step: int, passings: int) -> None:
        """The process dies at this step, the so-manieth time it passes it."""
        _LAYOUT.pack_into(self._memory, 0, self.read()[0], step, passings)

    def disarm(self) -> None:
        """The process lives on."""
        self.arm(NOWHERE, 0)

    def shift(self, seconds: float) -> None:
        """The process's wall clock goes this much ahead (behind, if negative)."""
        _, step, left = self.read()
        _LAYOUT.pack_into(self._memory, 0, seconds, step, left)

    def close(self) -> None:
        """Unmaps the file."""
        self._memory.close()

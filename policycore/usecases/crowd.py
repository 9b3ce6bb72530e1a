"""Lines of several owners who take turns: what a queue becomes when more waits than is worked on at once.

Pure. One owner's thousand items then hold up another's single one by one turn, and not by a thousand.
"""

from collections import deque
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Crowd(Generic[Entry]):
    """Entries by owner; of one owner at most `most_of_one` wait."""

    def __init__(self, most_of_one: int) -> None:
        self._most_of_one = most_of_one
        self._lines: dict[str, deque[Entry]] = {}
        self._turns: deque[str] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def join(self, owner: str, entry: Entry) -> bool:
        """Puts an entry at the end of its owner's line; False, and nothing is done, if that line is full."""
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = deque()
            self._turns.append(owner)
        elif len(line) >= self._most_of_one:
            return False
        line.append(entry)
        self._count += 1
        return True

    def give_way(self, owner: str) -> Entry | None:
        """Takes the newest entry out of the longest line, if that is longer than `owner`'s would be with one more."""
        longest = max(self._lines, key=self._length, default=owner)
        if self._length(longest) <= self._length(owner) + 1:
            return None
        self._count -= 1
        return self._lines[longest].pop()

    def _length(self, owner: str) -> int:
        line = self._lines.get(owner)
        return len(line) if line is not None else 0

    def take(self, count: int) -> list[Entry]:
        """At most `count` entries: one of each owner in turn, each owner's in the order in which they came."""
        taken: list[Entry] = []
        while self._turns and len(taken) < count:
            owner = self._turns.popleft()
            line = self._lines[owner]
            taken.append(line.popleft())
            if line:
                self._turns.append(owner)
            else:
                del self._lines[owner]
        self._count -= len(taken)
        return taken

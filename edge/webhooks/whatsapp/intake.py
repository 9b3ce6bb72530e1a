"""Collects what one body holds, so that one broken element never loses the others.

Pure. Sentences name an element by its position, never by its content.
"""

from collections.abc import Callable, Iterable, Iterator

from edge.webhooks.whatsapp.fields import Json
from edge.webhooks.whatsapp.model import Delivery, InboundEvent

MAX_SENTENCES = 100
"""Broken elements that are named one by one; further ones are only counted."""


MAX_ELEMENTS = 100_000
"""Elements of one body that are read, of all levels together; Meta, who sends the largest, stops at 1,000."""


class UnusableError(ValueError):
    """An element that lacks what makes it usable.

    Says what, as the end of a sentence, without quoting the element.
    """


class Intake:
    """Collects events, sentences about broken elements, and the number of ignored ones."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._events: list[InboundEvent] = []
        self._sentences: list[str] = []
        self._unnamed = 0
        self._ignored = 0
        self._left = MAX_ELEMENTS

    def counted(self, elements: Iterable[object]) -> Iterator[tuple[int, object]]:
        """The elements with their positions, from 1, for as long as `MAX_ELEMENTS` allows."""
        for position, element in enumerate(elements, start=1):
            if self._left == 0:
                return
            self._left -= 1
            yield position, element

    def take_each(
        self, label: str, elements: Iterable[object], read: Callable[[Json], InboundEvent | None]
    ) -> None:
        """Read a list of objects; `label` and a position name each of them."""
        for position, element in self.counted(elements):
            if isinstance(element, dict):
                self.take(f"{label} {position}", element, read)
            else:
                self.reject(f"{label} {position}: is not an object.")

    def take(self, where: str, element: Json, read: Callable[[Json], InboundEvent | None]) -> None:
        """Read one element.

        `read` answers with what it found, or None to ignore it, or raises UnusableError.
        """
        try:
            outcome = read(element)
        except UnusableError as broken:
            self.reject(f"{where}: {broken}")
        except Exception as unexpected:  # noqa: BLE001 - whatever is wrong with this element, the others are kept
            self.reject(f"{where}: has an unexpected shape ({type(unexpected).__name__}).")
        else:
            if outcome is None:
                self.ignore()
            else:
                self._events.append(outcome)

    def reject(self, sentence: str) -> None:
        """Note one broken element."""
        if len(self._sentences) < MAX_SENTENCES:
            self._sentences.append(sentence)
        else:
            self._unnamed += 1

    def ignore(self) -> None:
        """Note one element that is of no concern."""
        self._ignored += 1

    def delivery(self) -> Delivery:
        """Everything collected so far."""
        sentences = list(self._sentences)
        if self._unnamed:
            sentences.append(f"{self._unnamed} more elements could not be parsed.")
        if self._left == 0:
            sentences.append(f"Only the first {MAX_ELEMENTS} elements were read.")
        return Delivery(tuple(self._events), tuple(sentences), self._ignored)


def same_name(named: str, external_name: str) -> bool:
    """Whether an element that says it is `named` is this instance's.

    Letter case and blanks do not matter. An element without a name, or an instance without one, cannot be
    told apart and is taken: the address it came to, and its secret, are the instance's own.
    """
    ours = external_name.strip().casefold()
    theirs = named.strip().casefold()
    return not ours or not theirs or ours == theirs

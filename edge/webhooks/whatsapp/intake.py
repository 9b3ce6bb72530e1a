"""Collects what one body holds, so that one broken element never loses the others.

Pure. Sentences name an element by its position, never by its content.
"""

from collections.abc import Callable

from edge.webhooks.whatsapp.model import Delivery, InboundEvent

MAX_SENTENCES = 100
"""Broken elements that are named one by one; further ones are only counted."""


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

    def take(self, where: str, element: object, read: Callable[[object], InboundEvent | None]) -> None:
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
        return Delivery(tuple(self._events), tuple(sentences), self._ignored)


def same_name(named: str, external_name: str) -> bool:
    """Whether an element that says it is `named` is this instance's.

    Letter case and blanks do not matter. An element without a name, or an instance without one, cannot be
    told apart and is taken: the address it came to, and its secret, are the instance's own.
    """
    ours = external_name.strip().casefold()
    theirs = named.strip().casefold()
    return not ours or not theirs or ours == theirs

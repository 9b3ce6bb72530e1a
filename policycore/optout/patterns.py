"""Owns the small language in which the data files write phrases, and its compiled form, linear in time.

Pure. A pattern is words with spaces between. `a/b` is one of several words, `@name` a word of a class, `?` at
the end makes the word optional, `..` stands for up to three words of any kind that are not negations. All
patterns run together over the words of a message, one step a word, so no text makes matching slow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from policycore.optout.fold import HARD_BREAK, SOFT_BREAK, fold

GAP_WORDS = 3
"""How many words `..` may stand for at most."""

_EXPANSIONS_AT_MOST = 5_000


class PatternError(ValueError):
    """A pattern in a data file cannot be understood; the message names the pattern."""


@dataclass(frozen=True, slots=True)
class Element:
    """One step of a pattern: the folded words that fit; none means a gap."""

    words: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """A pattern for the machine: `avoid` is what its gaps must not pass over."""

    elements: tuple[Element, ...]
    avoid: frozenset[str] = frozenset()
    counts_alone: bool = True
    """False for a negation, which matters only beside a phrase, and not across a pause: "no, stop it"."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a pattern matched: token indexes, `end` exclusive, and the index of the pattern."""

    start: int
    end: int
    pattern: int


def parse(pattern: str, classes: Mapping[str, Sequence[str]]) -> tuple[Element, ...]:
    """Parse one pattern. Raises PatternError: unknown class, no required word, a gap at either end."""
    elements: list[Element] = []
    for part in pattern.split():
        if part == "..":
            elements.append(Element(()))
            continue
        optional = part.endswith("?")
        written = part[:-1] if optional else part
        if "/" not in written and not written.startswith("@"):
            elements.extend(Element((word,), optional) for word in fold(written).split())
            continue
        elements.append(Element(_alternatives(written, classes, pattern), optional))
    if all(element.optional for element in elements) or not elements[0].words or not elements[-1].words:
        raise PatternError(f"pattern {pattern!r} must hold a required word, and no gap at either end")
    return tuple(elements)


def _alternatives(written: str, classes: Mapping[str, Sequence[str]], pattern: str) -> tuple[str, ...]:
    words: list[str] = []
    for name in written.split("/"):
        if name.startswith("@") and name[1:] not in classes:
            raise PatternError(f"pattern {pattern!r} names the unknown class {name!r}")
        words.extend(classes[name[1:]] if name.startswith("@") else [name])
    folded = tuple(dict.fromkeys(fold(word) for word in words))
    if any(not word or " " in word for word in folded):
        raise PatternError(f"pattern {pattern!r}: each alternative must be one word, found {folded}")
    return folded


def expand(elements: Sequence[Element]) -> list[tuple[str, ...]]:
    """Return every sequence of words that a pattern without gaps stands for."""
    choices: list[tuple[str, ...]] = []
    count = 1
    for element in elements:
        if not element.words:
            raise PatternError("a stand-alone entry must not have a gap")
        choices.append((*element.words, "") if element.optional else element.words)
        count *= len(choices[-1])
    if count > _EXPANSIONS_AT_MOST:
        raise PatternError(f"an entry stands for {count} sequences, more than {_EXPANSIONS_AT_MOST}")
    return [tuple(word for word in chosen if word) for chosen in product(*choices)]


@dataclass(slots=True, eq=False)
class _Node:
    """What was matched so far; `edges` leads on by word, `gap` is how many other words may come before."""

    pattern: int
    avoid: frozenset[str]
    crosses_pauses: bool
    edges: dict[str, list["_Node"]] = field(default_factory=dict)
    gap: int = 0
    accepts: bool = False


class PhraseMachine:
    """All patterns of all languages, compiled to one machine that reads a message once."""

    def __init__(self, patterns: Iterable[Compiled]) -> None:
        """Take the patterns; `Span.pattern` is the index in their order."""
        self._first: dict[str, list[_Node]] = {}
        anchors: set[str] = set()
        for index, compiled in enumerate(patterns):
            elements = compiled.elements
            if compiled.counts_alone:
                anchors.update(_anchor(elements))
            nodes = [_Node(index, compiled.avoid, compiled.counts_alone) for _ in range(len(elements) + 1)]
            for position in range(len(elements) - 1, -1, -1):
                self._link(nodes, elements, position)
            for word, targets in nodes[0].edges.items():
                self._first.setdefault(word, []).extend(targets)
        self._anchors = frozenset(anchors)

    @staticmethod
    def _link(nodes: list[_Node], elements: Sequence[Element], position: int) -> None:
        """Join a node to what may follow it. Runs from the end, so that what follows is linked already."""
        node, following, element = nodes[position], nodes[position + 1], elements[position]
        following.accepts = following.accepts or position == len(elements) - 1
        for word in element.words:
            node.edges.setdefault(word, []).append(following)
        if element.optional or not element.words:
            for word, targets in following.edges.items():
                node.edges.setdefault(word, []).extend(targets)
            node.accepts = following.accepts and bool(element.words)
            node.gap = following.gap if element.words else GAP_WORDS

    def spans(self, tokens: Sequence[str]) -> list[Span]:
        """Return every match in folded `tokens` (with breaks), none across the end of a sentence."""
        if self._anchors.isdisjoint(tokens):
            return []
        found: dict[Span, None] = {}
        active: list[tuple[_Node, int, int]] = []
        for index, token in enumerate(tokens):
            if token == SOFT_BREAK:
                active = [(node, start, skips) for node, start, skips in active if node.crosses_pauses]
                continue
            following = self._step(active, token) if active and token != HARD_BREAK else []
            for node in self._first.get(token, ()):
                following.append((node, index, node.gap))
            for node, start, _ in following:
                if node.accepts:
                    found[Span(start, index + 1, node.pattern)] = None
            active = following
        return list(found)

    @staticmethod
    def _step(active: list[tuple[_Node, int, int]], token: str) -> list[tuple[_Node, int, int]]:
        following: list[tuple[_Node, int, int]] = []
        for node, start, skips in active:
            targets = node.edges.get(token)
            if targets:
                for target in targets:
                    following.append((target, start, target.gap))
            if skips and token not in node.avoid:
                following.append((node, start, skips - 1))
        return following


def _anchor(elements: Sequence[Element]) -> tuple[str, ...]:
    """The words of the required element that is longest on average, as long words are rare.

    A message without any of them cannot match, which spares most messages the machine.
    """
    required = [element.words for element in elements if element.words and not element.optional]
    return max(required, key=lambda words: sum(map(len, words)) / len(words))
